package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Root mean square layer normalization (Zhang and Sennrich, 2019) of tensors of 2 to 5 dimensions:
 *
 * <pre>y = act(γ·x/√(mean of x² + ε) + residual)</pre>
 *
 * with one mean for each row, that is over the last dimensions in the order of memory, and one γ for each element of a
 * row; see {@link LayerNorm} on rows. Training and evaluation are the same.
 */
public final class RmsNorm extends RowNormalizer {
    private static final Options DEFAULTS =
            new Options().beta(false).epsilon(0x1p-23); // the distance from 1 to the next float32

    /** The settings of a layer. Immutable: each setter returns a new builder. */
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

        /**
         * Sets ε, which is added to the mean inside the square root; 2⁻²³ ≈ 1.2e-7 unless said, as in PyTorch for
         * float32.
         *
         * @param epsilon 0, or a number from {@link Float#MIN_NORMAL} to {@link Float#MAX_VALUE}
         * @throws IllegalArgumentException for any other number
         */
        public Builder epsilon(double epsilon) {
            return with(options.epsilon(epsilon));
        }

        /** Says whether there is a γ; yes unless said. */
        public Builder gamma(boolean gamma) {
            return with(options.gamma(gamma));
        }

        /**
         * Sets the activation, which is applied in the same pass; none unless said.
         *
         * @param activation {@link Activation#NONE} for none
         */
        public Builder activation(Activation activation) {
            return with(options.activation(activation));
        }

        /** Says whether backward passes add to the gradient of γ; they overwrite it unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return with(options.accumulateGradients(accumulateGradients));
        }

        /**
         * Makes a layer with γ = 1.
         *
         * @param device the device that the layer works on
         * @throws IllegalStateException when the device is closed
         */
        public RmsNorm build(Device device) {
            return new RmsNorm(this, options, Objects.requireNonNull(device, "device"));
        }

        /**
         * Makes a layer that has the γ of another: the same {@link Parameter}, on the same device, and all else of its
         * own. {@link Layer} says what that means.
         *
         * @param owner the layer that the parameter is of, which accumulates gradients, as this must
         * @throws IllegalArgumentException when one of the two does not accumulate gradients, when the owner has no γ
         *     of this layer's shape, and when this layer has none to share
         * @throws IllegalStateException when the owner or its device is closed
         */
        public RmsNorm buildSharing(Layer owner) {
            return new RmsNorm(this, options.sharing(Objects.requireNonNull(owner, "owner")), owner.device());
        }
    }

    private final Builder builder;
    private final RowShape row;
    private final Normalization own;

    private RmsNorm(Builder builder, Options options, Device device) {
        super(device, options, builder.row.shape(), "root mean square normalization over " + builder.row);
        this.builder = builder;
        this.row = builder.row;
        this.own = new Normalization(new Grouping.Rows(row.rank(), true), Statistic.ROOT_MEAN_SQUARE);
    }

    @Override
    Normalizer twin() {
        return new RmsNorm(builder, builder.options, device());
    }

    /**
     * A builder of a layer with the field's defaults, which the setters state.
     *
     * @param normalizedDimensions the dimensions of a row, in the order of memory: 1 to 5 numbers, each at least 1; γ
     *     is of this shape
     * @throws IllegalArgumentException for none or more than five, or one below 1
     */
    public static Builder builder(long... normalizedDimensions) {
        Objects.requireNonNull(normalizedDimensions, "normalizedDimensions");
        return new Builder(new RowShape(normalizedDimensions), DEFAULTS);
    }

    /**
     * The saved inverse root mean square, 1/√(mean of x² + ε), of each row of the last forward pass over a non-empty x,
     * of shape (rows). It is the layer's own tensor; the next pass overwrites it, and one over another shape or layout
     * closes it.
     *
     * @throws IllegalStateException before there was such a pass, and when the layer is closed
     */
    public Tensor savedInverseRootMeanSquare() {
        return shownInvstd();
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
        return own;
    }

    @Override
    void checkShape(Tensor x) {
        row.check(x);
    }
}
