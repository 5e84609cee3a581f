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

    /** How a layer is to be. Immutable: each setter returns a new builder. */
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
        public GroupNorm build(Device device) {
            return new GroupNorm(this, Objects.requireNonNull(device, "device"));
        }
    }

    private final Builder builder;
    private final int groups;
    private final Normalization own;
    private final Normalization conditional;

    private GroupNorm(Builder builder, Device device) {
        super(
                device,
                builder.options,
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
        return new GroupNorm(builder, device());
    }

    /**
     * A layer over so many channels in so many groups, with the field's defaults; see the setters.
     *
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
    Normalization normalization(Shape shape, boolean perSample) {
        return perSample ? conditional : own;
    }

    @Override
    void checkCount(Shape shape) {
        if (shape.channels() / groups * shape.spatial() == 1) {
            throw new IllegalArgumentException("Group statistics need more than one value per group, but x has shape "
                    + shape + " in " + groups + " groups");
        }
    }
}
