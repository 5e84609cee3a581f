package org.clnorm;

import java.util.Arrays;
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
 * each element of a row. A channels-last tensor of shape (N, C, H, W) lies as (N, H, W, C), so that the one dimension
 * (C) normalizes over the channels of each pixel; one of {@link Device#rows(long...)} lies as it was made, its features
 * last. All dimensions may be those of a row. Training and evaluation are the same.
 *
 * <p>{@link #overChannels} makes a layer over the channels of each position, whatever the layout is. Of a channels-last
 * tensor, and of one of shape (N, C), it is what {@code builder(C)} is. The channels of other channels-first tensors lie
 * apart, and there the layer is slower: a forward pass is two, over the positions and over the channels, and a backward pass
 * three. What they leave to each other, 4 bytes for each element, is of so many samples at a time as a quarter of the
 * device's cache has room for, and of one at least; the device keeps that memory for all such layers. Where the cache holds
 * it, memory sees x, y and the gradients go by little more often than in a layer over rows. γ·dy has to be in the range of
 * float32 then. On such tensors the layer takes no mask, makes no sum ({@link #forwardAdding}) and shows no saved
 * statistics; all else is the same.
 */
public final class LayerNorm extends RowNormalizer {
    private static final Options DEFAULTS = new Options();

    /** The settings of a layer. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final RowShape row;
        private final boolean overChannels;
        private final Options options;

        private Builder(RowShape row, boolean overChannels, Options options) {
            this.row = row;
            this.overChannels = overChannels;
            this.options = options;
        }

        private Builder with(Options changed) {
            return new Builder(row, overChannels, changed);
        }

        private String what() {
            return "layer normalization over " + (overChannels ? row.elements() + " channels" : row);
        }

        /**
         * Sets ε, which is added to the variance inside the square root; 1e-5 unless said.
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

        /** Says whether there is a β; yes unless said. */
        public Builder beta(boolean beta) {
            return with(options.beta(beta));
        }

        /**
         * Sets the activation, which is applied in the same pass; none unless said.
         *
         * @param activation {@link Activation#NONE} for none
         */
        public Builder activation(Activation activation) {
            return with(options.activation(activation));
        }

        /** Says whether backward passes add to the gradients of γ and β; they overwrite them unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return with(options.accumulateGradients(accumulateGradients));
        }

        /**
         * Makes a layer with γ = 1 and β = 0.
         *
         * @param device the device that the layer works on
         * @throws IllegalStateException when the device is closed
         */
        public LayerNorm build(Device device) {
            return new LayerNorm(this, options, Objects.requireNonNull(device, "device"));
        }

        /**
         * Makes a layer that has the γ and β of another: the same {@link Parameter}s, on the same device, and all else
         * of its own. {@link Layer} says what that means.
         *
         * @param owner the layer that the parameters are of, which accumulates gradients, as this must
         * @throws IllegalArgumentException when one of the two does not accumulate gradients, when the owner has no γ or β
         *     of this layer's shape, and when this layer has none to share
         * @throws IllegalStateException when the owner or its device is closed
         */
        public LayerNorm buildSharing(Layer owner) {
            return new LayerNorm(this, options.sharing(Objects.requireNonNull(owner, "owner")), owner.device());
        }
    }

    private static final Normalization POSITIONS = new Normalization(new Grouping.Positions(), Statistic.CENTERED);

    private final Builder builder;
    private final RowShape row;
    private final Normalization own;
    /** Over the channels of channels-first tensors of 2 to 5 dimensions that have one position. */
    private final Normalization[] ofOnePosition = new Normalization[4];

    private LayerNorm(Builder builder, Options options, Device device) {
        super(device, options, builder.row.shape(), builder.what());
        this.builder = builder;
        this.row = builder.row;
        this.own = rows(row.rank());
        Arrays.setAll(ofOnePosition, i -> rows(i + 1));
    }

    private static Normalization rows(int dimensions) {
        return new Normalization(new Grouping.Rows(dimensions, true), Statistic.CENTERED);
    }

    @Override
    Normalizer twin() {
        return new LayerNorm(builder, builder.options, device());
    }

    /**
     * A builder of a layer with the field's defaults, which the setters state.
     *
     * @param normalizedDimensions the dimensions of a row, in the order of memory: 1 to 5 numbers, each at least 1; γ
     *     and β are of this shape
     * @throws IllegalArgumentException for none or more than five, or one below 1
     */
    public static Builder builder(long... normalizedDimensions) {
        Objects.requireNonNull(normalizedDimensions, "normalizedDimensions");
        return new Builder(new RowShape(normalizedDimensions), false, DEFAULTS);
    }

    /**
     * A builder of a layer over the channels of each pixel of tensors (N, C, spatial...) of either layout, with the field's
     * defaults, which the setters state. The class comment says what it costs where they are channels-first.
     *
     * @param channels C, at least 1; γ and β are of shape (C)
     * @throws IllegalArgumentException for a number below 1
     */
    public static Builder overChannels(long channels) {
        if (channels < 1) {
            throw new IllegalArgumentException("channels must be at least 1, but given was " + channels);
        }
        return new Builder(new RowShape(channels), true, DEFAULTS);
    }

    /**
     * The saved mean: that of each row of the last forward pass over a non-empty x, of shape (rows). It is the layer's
     * own tensor; the next pass overwrites it, and one over another shape or layout closes it.
     *
     * @throws IllegalStateException before there was such a pass, when it was over the channels of a channels-first tensor,
     *     and when the layer is closed
     */
    public Tensor savedMean() {
        return shownMean();
    }

    /**
     * The saved inverse standard deviation, 1/√(variance + ε), of each row of the last forward pass over a non-empty x,
     * of shape (rows). It is the layer's own tensor, and holds as long as {@link #savedMean} does.
     *
     * @throws IllegalStateException before there was such a pass, when it was over the channels of a channels-first tensor,
     *     and when the layer is closed
     */
    public Tensor savedInverseStandardDeviation() {
        return shownInvstd();
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
        if (!builder.overChannels || layout == Layout.CHANNELS_LAST) {
            return own;
        }
        return shape.spatial() == 1 ? ofOnePosition[shape.rank() - 2] : POSITIONS;
    }

    @Override
    void checkShape(Tensor x) {
        if (!builder.overChannels) {
            row.check(x);
        } else if (!RowShape.isLayerRank(x.shape().rank()) || x.shape().channels() != row.elements()) {
            throw new IllegalArgumentException("x must have 2 to 5 dimensions, the second of them " + row.elements()
                    + " channels, but given was " + x.shape());
        }
    }

    @Override
    void checkExtras(Tensor x) {
        if (normalization(x.shape(), x.layout(), false) == POSITIONS) {
            throw new IllegalArgumentException(
                    "A layer normalization over the channels of channels-first tensors takes no"
                            + " mask and makes no sum, as it does of channels-last ones, but x was " + x);
        }
    }
}
