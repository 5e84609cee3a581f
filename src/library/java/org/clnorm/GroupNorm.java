package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Group normalization (Wu and He, 2018) of tensors of shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W):
 *
 * <pre>y = act(γ·(x − mean)/√(variance + ε) + β + residual)</pre>
 *
 * with one mean and variance for each sample and each run of C/groups neighbouring channels, over these and the spatial
 * dimensions, and one γ and β per channel. Training and evaluation are the same.
 */
public final class GroupNorm extends ChannelNormalizer {
    private static final Options DEFAULTS = new Options();

    /** The settings of a layer. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final int groups;
        private final int channels;
        private final Options options;

        private Builder(int groups, int channels, Options options) {
            this.groups = groups;
            this.channels = channels;
            this.options = options;
        }

        private Builder with(Options changed) {
            return new Builder(groups, channels, changed);
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
        public GroupNorm build(Device device) {
            return new GroupNorm(this, options, Objects.requireNonNull(device, "device"));
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
        public GroupNorm buildSharing(Layer owner) {
            return new GroupNorm(this, options.sharing(Objects.requireNonNull(owner, "owner")), owner.device());
        }
    }

    private final Builder builder;
    private final int groups;
    private final Normalization own;
    private final Normalization conditional;

    private GroupNorm(Builder builder, Options options, Device device) {
        super(
                device,
                options,
                builder.channels,
                "group normalization of " + builder.channels + " channels in " + builder.groups + " groups");
        this.builder = builder;
        this.groups = builder.groups;
        Grouping grouping = new Grouping.Channels(groups);
        this.own = new Normalization(grouping, Statistic.CENTERED);
        this.conditional = new Normalization(grouping, Statistic.CENTERED, true, null);
    }

    @Override
    Normalizer twin() {
        return new GroupNorm(builder, builder.options, device());
    }

    /**
     * A builder of a layer with the field's defaults, which the setters state.
     *
     * @param groups how many groups the channels form, at least 1
     * @param channels how many channels the layer is for, C, a multiple of the groups
     * @throws IllegalArgumentException for fewer than one of either, or groups that do not divide the channels
     */
    public static Builder builder(int groups, int channels) {
        Options.count("groups", groups);
        Options.count("channels", channels);
        if (channels % groups != 0) {
            throw new IllegalArgumentException(
                    "groups must divide channels, but given were " + groups + " groups and " + channels + " channels");
        }
        return new Builder(groups, channels, DEFAULTS);
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
        return perSample ? conditional : own;
    }

    @Override
    void checkCount(Shape shape, Mask mask) {
        if (shape.channels() / groups * shape.spatial() == 1) {
            throw new IllegalArgumentException("Group statistics need more than one value per group, but x has shape "
                    + shape + " in " + groups + " groups");
        }
    }
}
