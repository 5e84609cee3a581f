package org.clnorm;

import java.nio.FloatBuffer;
import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Weight normalization (Salimans and Kingma, 2016): weights w of 2 to 5 dimensions, (outputs, inputs, ...), by
 * direction and length,
 *
 * <pre>w = g·v/max(‖v‖, ε)</pre>
 *
 * with one g, which is the layer's γ, and one Euclidean length ‖v‖ for each row, which is an index of the first
 * dimension. v is the x of {@link #forward}, w its y; {@link #backward} takes the gradient by w to those by v and g.
 * Training and evaluation are the same.
 */
public final class WeightNorm extends Normalizer {
    private static final Options DEFAULTS = new Options().beta(false).epsilon(0);

    /** The settings of a layer. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final long rows;
        private final Options options;

        private Builder(long rows, Options options) {
            this.rows = rows;
            this.options = options;
        }

        /**
         * Sets ε, the least number that is divided by; 0 unless said, so that a row of zeros gives NaN, as in PyTorch.
         *
         * @param epsilon 0, or a number from {@link Float#MIN_NORMAL} to {@link Float#MAX_VALUE}
         * @throws IllegalArgumentException for any other number
         */
        public Builder epsilon(double epsilon) {
            return new Builder(rows, options.epsilon(epsilon));
        }

        /** Says whether backward passes add to the gradient of g; they overwrite it unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return new Builder(rows, options.accumulateGradients(accumulateGradients));
        }

        /**
         * Makes a layer with g = 1.
         *
         * @param device the device that the layer works on
         * @throws IllegalStateException when the device is closed
         */
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
     * A builder of a layer with g = 1 and the defaults that the setters state; see {@link #setToNorms} on other g.
     *
     * @param rows how many rows the weights have, the size of their first dimension, at least 1; g is of shape (rows)
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
     * @param v the weights whose lengths are taken, of 2 to 5 dimensions, the first of size (rows)
     * @throws IllegalArgumentException for a tensor that {@link #forward} would refuse
     * @throws IllegalStateException when the layer or v is closed
     */
    public void setToNorms(Tensor v) {
        Objects.requireNonNull(v, "v");
        alone(() -> {
            calls().checkInput(v);
            int length = Math.toIntExact(v.shape().elements() / rows);
            float[] row = new float[length];
            float[] norms = new float[Math.toIntExact(rows)];
            for (int i = 0; i < norms.length; i++) {
                // The first dimension is the slowest in both layouts.
                v.slice((long) i * length, Shape.of(length), Layout.CHANNELS_FIRST)
                        .download(FloatBuffer.wrap(row));
                double sum = 0;
                for (float element : row) {
                    sum += (double) element * element;
                }
                norms[i] = (float) Math.sqrt(sum);
            }
            gamma().orElseThrow().value().upload(norms);
        });
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
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
