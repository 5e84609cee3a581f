package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Layer normalization (Ba, Kiros and Hinton, 2016) of tensors of 2 to 5 dimensions:
 *
 * <pre>y = act(γ·(x − mean)/√(variance + ε) + β + residual)</pre>
 *
 * with one mean and variance for each row, that is over the last dimensions in the order of memory, and one γ and β for
 * each element of a row. A channels-last tensor of shape (N, C, H, W) lies as (N, H, W, C), so that the one dimension (C)
 * normalizes over the channels of each pixel. All dimensions may be those of a row. Training and evaluation are the same.
 */
public final class LayerNorm extends Normalizer {
    private static final Options DEFAULTS = new Options();

    /** How a layer is to be. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final RowShape row;
        private final Options options;

        private Builder(RowShape row, Options options) {
            this.row = row;
            this.options = options;
        }

        private Builder with(Options changed) {
            return new Builder(row, changed);
        }

        /** ε, added to the variance inside the square root; 1e-5 unless said. */
        public Builder epsilon(double epsilon) {
            return with(options.epsilon(epsilon));
        }

        /** Whether there is a γ; yes unless said. */
        public Builder scale(boolean scale) {
            return with(options.scale(scale));
        }

        /** Whether there is a β; yes unless said. */
        public Builder shift(boolean shift) {
            return with(options.shift(shift));
        }

        /** What is applied in the same pass; nothing unless said. */
        public Builder activation(Activation activation) {
            return with(options.activation(activation));
        }

        /** Whether backward passes add to the gradients of γ and β; they overwrite unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return with(options.accumulateGradients(accumulateGradients));
        }

        /** A layer on a device, with γ = 1 and β = 0. */
        public LayerNorm build(Device device) {
            return new LayerNorm(this, Objects.requireNonNull(device, "device"));
        }
    }

    private final Builder builder;
    private final RowShape row;
    private final Normalization own;

    private LayerNorm(Builder builder, Device device) {
        super(device, builder.options, builder.row.shape(), "layer normalization over " + builder.row);
        this.builder = builder;
        this.row = builder.row;
        this.own = new Normalization(new Grouping.Rows(row.rank(), true), Statistic.CENTERED);
    }

    @Override
    Normalizer twin() {
        return new LayerNorm(builder, device());
    }

    /**
     * A layer over rows of these dimensions, with the field's defaults; see the setters.
     *
     * @param normalizedDimensions in the order of memory; γ and β are of this shape
     * @throws IllegalArgumentException for none or more than five, or one below 1
     */
    public static Builder builder(long... normalizedDimensions) {
        Objects.requireNonNull(normalizedDimensions, "normalizedDimensions");
        return new Builder(new RowShape(normalizedDimensions), DEFAULTS);
    }

    /**
     * The mean of each row of the last forward pass over elements, of shape (rows). The next pass overwrites it; one over
     * another shape or layout closes it.
     *
     * @throws IllegalStateException before there was one
     */
    public Tensor savedMean() {
        return shownMean();
    }

    /** 1/√(variance + ε) of each row; see {@link #savedMean}. */
    public Tensor savedInverseStandardDeviation() {
        return shownInvstd();
    }

    @Override
    Normalization normalization(Shape shape, boolean perSample) {
        return own;
    }

    @Override
    void checkShape(Tensor x) {
        row.check(x);
    }
}
