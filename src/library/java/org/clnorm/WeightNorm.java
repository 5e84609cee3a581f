package org.clnorm;

import java.nio.FloatBuffer;
import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Weight normalization (Salimans and Kingma, 2016): weights w of 2 to 5 dimensions, (outputs, inputs, ...), by direction
 * and length,
 *
 * <pre>w = g·v/max(‖v‖, ε)</pre>
 *
 * with one g, the parameter {@code weight}, and one Euclidean length ‖v‖ for each row, which is an index of the first
 * dimension. v is the x of {@link #forward}, w its y; {@link #backward} takes the gradient by w to those by v and g.
 * Training and evaluation are the same.
 */
public final class WeightNorm extends Normalizer {
    private static final Options DEFAULTS = new Options().shift(false).epsilon(0);

    /** How a layer is to be. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final long rows;
        private final Options options;

        private Builder(long rows, Options options) {
            this.rows = rows;
            this.options = options;
        }

        /** ε, the least that is divided by; 0 unless said, so that a row of zeros gives NaN, as in PyTorch. */
        public Builder epsilon(double epsilon) {
            return new Builder(rows, options.epsilon(epsilon));
        }

        /** Whether backward passes add to the gradient of g; they overwrite unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return new Builder(rows, options.accumulateGradients(accumulateGradients));
        }

        /** A layer on a device, with g = 1. */
        public WeightNorm build(Device device) {
            return new WeightNorm(this, Objects.requireNonNull(device, "device"));
        }
    }

    private final Builder builder;
    private final long rows;
    /** For tensors of 2, 3, 4 and 5 dimensions. */
    private final Normalization[] byRank = new Normalization[4];

    private WeightNorm(Builder builder, Device device) {
        super(device, builder.options, Shape.of(builder.rows), "weight normalization of " + builder.rows + " rows");
        this.builder = builder;
        this.rows = builder.rows;
        for (int i = 0; i < byRank.length; i++) {
            byRank[i] = new Normalization(new Grouping.Rows(i + 1, false), Statistic.LENGTH);
        }
    }

    @Override
    Normalizer twin() {
        return new WeightNorm(builder, device());
    }

    /**
     * A layer for weights of so many rows, with g = 1; see the setters and {@link #setToNorms}.
     *
     * @throws IllegalArgumentException for fewer than one
     */
    public static Builder builder(long rows) {
        if (rows < 1) {
            throw new IllegalArgumentException("rows must be at least 1, but given was " + rows);
        }
        return new Builder(rows, DEFAULTS);
    }

    /**
     * Sets g = ‖v‖ for each row, so that w = v. Waits for the device; lengths are summed in double precision.
     *
     * @throws IllegalArgumentException for a tensor that {@link #forward} would refuse
     */
    public void setToNorms(Tensor v) {
        Objects.requireNonNull(v, "v");
        checkInput(v);
        int length = Math.toIntExact(v.shape().elements() / rows);
        float[] row = new float[length];
        float[] norms = new float[Math.toIntExact(rows)];
        for (int i = 0; i < norms.length; i++) {
            // The first dimension is the slowest in both layouts.
            v.slice((long) i * length, Shape.of(length), Layout.CHANNELS_FIRST).download(FloatBuffer.wrap(row));
            double sum = 0;
            for (float element : row) {
                sum += (double) element * element;
            }
            norms[i] = (float) Math.sqrt(sum);
        }
        gamma().orElseThrow().value().upload(norms);
    }

    @Override
    Normalization normalization(Shape shape, boolean perSample) {
        return byRank[shape.rank() - 2];
    }

    @Override
    void checkShape(Tensor x) {
        int rank = x.shape().rank();
        if (!RowShape.isLayerRank(rank) || x.shape().batch() != rows) {
            throw new IllegalArgumentException(
                    "x must have 2 to 5 dimensions, the first of size " + rows + ", but given was " + x.shape());
        }
    }
}
