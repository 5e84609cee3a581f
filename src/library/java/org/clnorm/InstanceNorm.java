package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Instance normalization (Ulyanov, Vedaldi and Lempitsky, 2016) of tensors of shape (N, C, L), (N, C, H, W) or (N, C,
 * D, H, W):
 *
 * <pre>y = act(γ·(x − mean)/√(variance + ε) + β + residual)</pre>
 *
 * with one mean and variance for each sample and channel, over the spatial dimensions, and one γ and β per channel. A
 * layer may keep running statistics, the average of those over the samples, which then normalize in evaluation mode,
 * also tensors of shape (N, C); otherwise evaluation is the same as training.
 */
public final class InstanceNorm extends RunningNormalizer {
    private static final Options DEFAULTS = new Options();

    /** The settings of a layer. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final int channels;
        private final Options options;

        private Builder(int channels, Options options) {
            this.channels = channels;
            this.options = options;
        }

        private Builder with(Options changed) {
            return new Builder(channels, changed);
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

        /** Says whether there is a γ; yes unless said (PyTorch has neither γ nor β unless {@code affine} is said). */
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

        /**
         * Says how a batch enters the running statistics; none are kept unless said. {@code exponential(0.1)} is
         * PyTorch's {@code track_running_stats}.
         *
         * @param runningAverage {@link RunningAverage#none} for a layer without running statistics
         */
        public Builder runningAverage(RunningAverage runningAverage) {
            return with(options.runningAverage(runningAverage));
        }

        /**
         * Says which variance enters the running variance; the unbiased one unless said.
         *
         * @param runningVariance the estimate of the variance
         */
        public Builder runningVariance(RunningVariance runningVariance) {
            return with(options.runningVariance(runningVariance));
        }

        /**
         * Says what NaN and infinite statistics do; they propagate unless said.
         *
         * @param nonFinite the policy
         */
        public Builder nonFinite(NonFinitePolicy nonFinite) {
            return with(options.nonFinite(nonFinite));
        }

        /** Says whether backward passes add to the gradients of γ and β; they overwrite them unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return with(options.accumulateGradients(accumulateGradients));
        }

        /**
         * Makes a layer in training mode, with γ = 1, β = 0, and any running mean 0 and running variance 1.
         *
         * @param device the device that the layer works on
         * @throws IllegalStateException when the device is closed
         */
        public InstanceNorm build(Device device) {
            return new InstanceNorm(this, options, Objects.requireNonNull(device, "device"));
        }

        /**
         * Makes a layer in training mode that has the γ and β of another: the same {@link Parameter}s, on the same
         * device, and all else of its own. {@link Layer} says what that means.
         *
         * @param owner the layer that the parameters are of, which accumulates gradients, as this must
         * @throws IllegalArgumentException when one of the two does not accumulate gradients, when the owner has no γ or β
         *     of this layer's shape, and when this layer has none to share
         * @throws IllegalStateException when the owner or its device is closed
         */
        public InstanceNorm buildSharing(Layer owner) {
            return new InstanceNorm(this, options.sharing(Objects.requireNonNull(owner, "owner")), owner.device());
        }
    }

    private final Builder builder;
    private final Normalization own;
    private final Normalization conditional;

    private InstanceNorm(Builder builder, Options options, Device device) {
        super(device, options, builder.channels, "instance normalization of " + builder.channels + " channels");
        this.builder = builder;
        Grouping grouping = new Grouping.Channels(builder.channels);
        this.own = new Normalization(grouping, Statistic.CENTERED);
        this.conditional = new Normalization(grouping, Statistic.CENTERED, true, null);
    }

    @Override
    Normalizer twin() {
        return new InstanceNorm(builder, builder.options, device());
    }

    /**
     * A builder of a layer without running statistics and with the field's defaults, which the setters state.
     *
     * @param channels how many channels the layer is for, C, at least 1
     * @throws IllegalArgumentException for fewer than one
     */
    public static Builder builder(int channels) {
        return new Builder(Options.count("channels", channels), DEFAULTS);
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
        return perSample ? conditional : own;
    }

    @Override
    void checkCount(Shape shape, Mask mask) {
        if (shape.spatial() == 1) {
            throw new IllegalArgumentException(
                    "Instance statistics need more than one value per sample and channel, but x has shape " + shape
                            + "; only running statistics, in evaluation mode, normalize such a tensor");
        }
    }
}
