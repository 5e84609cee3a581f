package org.clnorm.bench;

import java.util.List;
import java.util.Optional;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Renormalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/** Which normalization is timed, and at what. */
public enum Norm {
    /** Batch normalization. */
    BATCH("batch", "Batch norm", Statistic.CENTERED),
    /** Layer normalization over the last dimension in the order of memory. */
    LAYER("layer", "Layer norm", Statistic.CENTERED),
    /** Layer normalization over the channels of each position of channels-first tensors. */
    LAYER_CHANNELS("layer-channels", "Layer norm over channels", Statistic.CENTERED),
    /** Root mean square normalization over the last dimension in the order of memory. */
    RMS("rms", "RMS norm", Statistic.ROOT_MEAN_SQUARE),
    /** Group normalization with {@link #GROUPS} groups. */
    GROUP("group", "Group norm, 32 groups", Statistic.CENTERED),
    /** Instance normalization without running statistics. */
    INSTANCE("instance", "Instance norm", Statistic.CENTERED),
    /** Batch normalization in virtual batches of {@link #VIRTUAL_BATCH} samples, a last one merged into the one before. */
    GHOST("ghost", "Ghost batch norm, virtual batches of 8", Statistic.CENTERED),
    /** Batch renormalization. */
    RENORM("renorm", "Batch renorm", Statistic.CENTERED),
    /** Instance normalization with γ and β of each sample's own, as adaptive instance normalization has them. */
    ADAPTIVE("adaptive", "Instance norm, γ and β per sample", Statistic.CENTERED),
    /** Weight normalization of each index of the first dimension. */
    WEIGHT("weight", "Weight norm", Statistic.LENGTH),
    /** Each row, the last dimension in the order of memory, scaled to length 1. */
    L2("l2", "L2 norm", Statistic.LENGTH);

    /** Of group normalization. */
    public static final int GROUPS = 32;

    /** Samples of ghost batch normalization. */
    public static final int VIRTUAL_BATCH = 8;

    /** The bounds of renormalization. */
    public static final Renormalization RENORMALIZATION = new Renormalization(3, 5);

    private static final List<Shape> ROWS = List.of(Shape.of(4096, 1024), Shape.of(8192, 768));
    private static final List<Shape> PLANES = List.of(
            Shape.of(32, 64, 56, 56), Shape.of(32, 256, 14, 14), Shape.of(64, 512, 7, 7), Shape.of(8, 64, 112, 112));
    /** Of ConvNeXt's stages. */
    private static final List<Shape> STAGES = List.of(
            Shape.of(16, 96, 56, 56), Shape.of(16, 192, 28, 28), Shape.of(16, 384, 14, 14), Shape.of(16, 768, 7, 7));
    /** More than one virtual batch. */
    private static final List<Shape> BATCHES = PLANES.subList(0, 3);

    private final String label;
    private final String title;
    private final Statistic statistic;

    Norm(String label, String title, Statistic statistic) {
        this.label = label;
        this.title = title;
        this.statistic = statistic;
    }

    /** What a pass over such tensors is. */
    public Normalization normalization(Shape shape) {
        return switch (this) {
            case BATCH -> Normalization.BATCH;
            case LAYER, RMS, L2 -> new Normalization(new Grouping.Rows(1, true), statistic);
            case LAYER_CHANNELS -> new Normalization(new Grouping.Positions(), statistic);
            case GROUP -> new Normalization(new Grouping.Channels(GROUPS), statistic);
            case INSTANCE -> new Normalization(new Grouping.Channels((int) shape.channels()), statistic);
            case ADAPTIVE -> new Normalization(new Grouping.Channels((int) shape.channels()), statistic, true, null);
            case GHOST -> new Normalization(new Grouping.Batch(VIRTUAL_BATCH, Grouping.Batch.Rest.MERGED), statistic);
            case RENORM -> new Normalization(Grouping.batch(), statistic, false, RENORMALIZATION);
            case WEIGHT -> new Normalization(new Grouping.Rows(shape.rank() - 1, false), statistic);
        };
    }

    /** Whether there is a γ. */
    public boolean hasScale() {
        return this != L2;
    }

    /** Whether there is a β. */
    public boolean hasShift() {
        return statistic == Statistic.CENTERED;
    }

    /** Whether batches enter running statistics. */
    public boolean hasRunning() {
        return this == BATCH || this == GHOST || this == RENORM;
    }

    /** Its passes: an evaluation that is like training, or batch normalization's, is none of its own. */
    public List<Direction> directions() {
        return this == BATCH ? List.of(Direction.values()) : List.of(Direction.FORWARD, Direction.BACKWARD);
    }

    /** What is fused with it: for others than batch normalization nothing, to save time. */
    public List<Fusion> fusions() {
        return this == BATCH ? List.of(Fusion.values()) : List.of(Fusion.NONE);
    }

    /**
     * Whether layers of it can have that: an activation, a residual, which rows can add before, a mask, and y in x's place in
     * training.
     */
    public boolean isFused(Fusion fusion) {
        if (fusion.masked() && this == GHOST) {
            return false;
        }
        if (fusion.inPlace()) {
            Activation.Kind kind = fusion.activation().kind();
            boolean undone = kind == Activation.Kind.NONE || kind == Activation.Kind.LEAKY_RELU;
            return this == BATCH && undone && !fusion.adds();
        }
        return fusion.addsBefore() ? this == LAYER || this == RMS : this != WEIGHT && this != L2;
    }

    /** The shapes that are timed unless others are asked for. */
    public List<Shape> shapes() {
        return switch (this) {
            case BATCH -> Workload.SHAPES;
            case LAYER, RMS -> ROWS;
            case LAYER_CHANNELS -> STAGES;
            case GROUP, INSTANCE -> PLANES;
            case GHOST, RENORM, ADAPTIVE -> BATCHES;
            case WEIGHT -> List.of(Shape.of(512, 512, 3, 3));
            case L2 -> ROWS.subList(0, 1);
        };
    }

    /** The layouts that make a difference. */
    public List<Layout> layouts(Shape shape) {
        return shape.rank() == 2 || this == WEIGHT || this == LAYER_CHANNELS
                ? List.of(Layout.CHANNELS_FIRST)
                : List.of(Layout.values());
    }

    /** Why a shape is not for it, if it is not. */
    public Optional<String> objection(Shape shape) {
        long values = shape.batch() * shape.spatial();
        return switch (this) {
            case BATCH, RENORM -> objection(values < 2, "needs two values per channel");
            case GROUP -> objection(shape.channels() % GROUPS != 0, "needs channels in " + GROUPS + " groups");
            case INSTANCE, ADAPTIVE -> objection(shape.spatial() < 2, "needs two values per sample and channel");
            case GHOST -> objection(values < 2, "needs two values per channel");
            default -> Optional.empty();
        };
    }

    private static Optional<String> objection(boolean holds, String objection) {
        return holds ? Optional.of(objection) : Optional.empty();
    }

    /** For headings. */
    public String title() {
        return title;
    }

    @Override
    public String toString() {
        return label;
    }
}
