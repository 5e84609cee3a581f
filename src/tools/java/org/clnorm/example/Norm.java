package org.clnorm.example;

import java.util.Locale;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.GroupNorm;
import org.clnorm.InstanceNorm;
import org.clnorm.LastVirtualBatch;
import org.clnorm.LayerNorm;
import org.clnorm.Normalizer;
import org.clnorm.RenormalizationSchedule;
import org.clnorm.RmsNorm;
import org.clnorm.Shape;

/** Which normalization stands between the dense layer and the ReLU. */
public enum Norm {
    /** Batch normalization. */
    BATCH("batch normalization", "batch-normalized"),
    /** Layer normalization of each digit's hidden units. */
    LAYER("layer normalization", "layer-normalized"),
    /** RMS normalization of each digit's hidden units. */
    RMS("RMS normalization", "RMS-normalized"),
    /** Group normalization, the hidden units in {@link #GROUPS} groups. */
    GROUP("group normalization", "group-normalized"),
    /** Instance normalization, the hidden units being {@link #GROUPS} channels with several values each. */
    INSTANCE("instance normalization", "instance-normalized"),
    /** Ghost batch normalization, in about four virtual batches. */
    GHOST("ghost batch normalization", "ghost-normalized"),
    /** Batch renormalization. */
    RENORM("batch renormalization", "batch-renormalized"),
    /** Nothing. */
    NONE("no normalization", "plain");

    /** Of the hidden units. */
    static final int GROUPS = 8;

    private static final int VIRTUAL_BATCHES = 4;

    private final String title;
    private final String kind;

    Norm(String title, String kind) {
        this.title = title;
        this.kind = kind;
    }

    /** As in "with batch normalization". */
    public String title() {
        return title;
    }

    /** What a network with it is. */
    String kind() {
        return kind;
    }

    /** A large learning rate at which it was seen to learn: those of single digits bear less than those of batches. */
    public double largeRate() {
        return switch (this) {
            case BATCH, GHOST, RENORM, NONE -> 4;
            case LAYER, RMS, GROUP -> 2;
            case INSTANCE -> 1;
        };
    }

    /** Whether evaluation is by running statistics. */
    boolean isOfBatches() {
        return this == BATCH || this == GHOST || this == RENORM;
    }

    /** Whether a diagnoser can look into it: it compares the statistics of one batch with the running ones. */
    boolean isDiagnosed() {
        return this == BATCH || this == RENORM;
    }

    /**
     * How the layer is to see so many rows of so many hidden units. One value is no instance, so for instance
     * normalization they are channels of several values.
     */
    public Shape shape(long rows, int units) {
        return this == INSTANCE ? Shape.of(rows, GROUPS, units / GROUPS) : Shape.of(rows, units);
    }

    /**
     * The layer.
     *
     * @param device what it works on
     * @param activation what it does in the same pass
     * @param batch the rows of every training batch
     * @param units a multiple of {@link #GROUPS}
     */
    public Normalizer build(Device device, Activation activation, int batch, int units) {
        return switch (this) {
            case BATCH -> BatchNorm.builder(units).activation(activation).build(device);
            case LAYER -> LayerNorm.builder(units).activation(activation).build(device);
            case RMS -> RmsNorm.builder(units).activation(activation).build(device);
            case GROUP ->
                GroupNorm.builder(GROUPS, units).activation(activation).build(device);
            case INSTANCE -> InstanceNorm.builder(GROUPS).activation(activation).build(device);
            case GHOST ->
                BatchNorm.builder(units)
                        .activation(activation)
                        .virtualBatch(virtualBatch(batch), LastVirtualBatch.MERGE)
                        .build(device);
            case RENORM ->
                BatchNorm.builder(units)
                        .activation(activation)
                        .renormalization(RenormalizationSchedule.linear(3, 5, 100, 400))
                        .build(device);
            case NONE -> throw new IllegalArgumentException("There is no layer for no normalization");
        };
    }

    /** A quarter of a batch; a single digit that is left joins the last. */
    static int virtualBatch(int batch) {
        return Math.max(2, batch / VIRTUAL_BATCHES);
    }

    /** As options have it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
