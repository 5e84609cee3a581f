package org.clnorm;

import java.util.Objects;
import java.util.function.Supplier;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Renormalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * Batch normalization (Ioffe and Szegedy, 2015) of tensors of shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W):
 *
 * <pre>y = act(γ·(x − mean)/√(variance + ε) + β + residual)</pre>
 *
 * with one mean, variance, γ and β per channel. In training mode, mean and variance are those of the batch, over N and
 * the spatial dimensions, the variance divided by the number of values m; they also enter the running statistics. In
 * evaluation mode they are the running statistics.
 *
 * <p>Two variants change what training does: ghost batches (Hoffer, Hubara and Soudry, 2017), which
 * {@link Builder#virtualBatch} asks for, and batch renormalization (Ioffe, 2017), which {@link Builder#renormalization}
 * asks for.
 *
 * <p>A batch that is spread over several devices is normalized as one by {@link #moments}, {@link #forwardCombined},
 * {@link #gradientSums} and {@link #backwardCombined}, between which the program carries numbers from device to device.
 *
 * <p>Who owns what, what {@link #backward} needs, and what may be in place is said at {@link Normalizer}.
 */
public final class BatchNorm extends RunningNormalizer {
    /** The least |γ| with which a layer trains in place: 2⁻¹⁰; see {@link Builder#inPlace}. */
    public static final float LEAST_GAMMA_IN_PLACE = 0x1p-10f;

    private static final Options DEFAULTS = new Options().runningAverage(RunningAverage.exponential(0.1));

    /** The settings of a layer. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final int channels;
        private final Options options;
        private final long virtualBatch;
        private final LastVirtualBatch last;
        private final RenormalizationSchedule renormalization;

        private Builder(
                int channels,
                Options options,
                long virtualBatch,
                LastVirtualBatch last,
                RenormalizationSchedule renormalization) {
            this.channels = channels;
            this.options = options;
            this.virtualBatch = virtualBatch;
            this.last = last;
            this.renormalization = renormalization;
        }

        private Builder with(Options changed) {
            return new Builder(channels, changed, virtualBatch, last, renormalization);
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

        /**
         * Says how a batch enters the running statistics; {@code exponential(0.1)} unless said.
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
         * Says what NaN and infinite batch statistics do; they propagate unless said.
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
         * Says whether y may be x in training too, without a residual; it may not unless said. A forward pass then writes
         * y over x, and its backward pass has x again from y, as in Rota Bulò, Porzi and Kontschieder, "In-place activated
         * BatchNorm", 2018: y is what must be unchanged until then, and x is not kept. Each call is in place or not as its
         * arguments are. {@link #bytesSaved} reports what that saves.
         *
         * <p>The activation is one that can be undone: none, or a leaky ReLU with a slope from 1/1024 to 1024. No |γ| may
         * be below {@link #LEAST_GAMMA_IN_PLACE}, nor be infinite or NaN: a forward pass in place refuses it by an {@link
         * IllegalStateException} with the channel's number, before anything is changed. For that it reads γ, and waits for
         * the device, when γ was written since it was last looked at, as by an optimizer's step.
         *
         * <p>What y's rounding took from x is lost. With u = 2⁻²⁴ for a y of float32, 2⁻¹¹ of float16 and 2⁻⁸ of bfloat16,
         * the x̂ that the gradients are made of is off by at most
         *
         * <pre>δ = (2u + 2⁻²¹)·(|x̂| + |β|/|γ|)</pre>
         *
         * where y is a normal number of its type: the error grows with 1/|γ| as soon as there is a β. By the largest δ of a
         * channel of m values, its dγ is off by at most δ·Σ|dy'|, and a dx by |γ|·invstd·δ·(1 + |x̂|)·Σ|dy'|·(1 + |x̂|)/m,
         * dy' being dy by the activation's derivative.
         *
         * <p>Where {@link NonFinitePolicy#THROW} refuses a batch, its x is overwritten all the same.
         */
        public Builder inPlace(boolean inPlace) {
            return with(options.inPlace(inPlace));
        }

        /**
         * Asks for ghost batch normalization: in training, each run of so many samples is a batch with statistics of
         * its own, the last run having what is left; they enter the running statistics one after the other. Evaluation
         * is without. The whole batch is one unless said. A batch whose last virtual batch has a single value per
         * channel is refused; {@link #virtualBatch(long, LastVirtualBatch)} has other ways.
         *
         * @param samples how many samples a virtual batch has, at least 1
         * @throws IllegalArgumentException for fewer than one
         */
        public Builder virtualBatch(long samples) {
            return virtualBatch(samples, LastVirtualBatch.REFUSE);
        }

        /**
         * Asks for ghost batch normalization, as {@link #virtualBatch(long)} does, and says what becomes of a last
         * virtual batch that has a single value per channel.
         *
         * @param samples how many samples a virtual batch has, at least 1
         * @param last what becomes of it
         * @throws IllegalArgumentException for fewer than one sample
         */
        public Builder virtualBatch(long samples, LastVirtualBatch last) {
            Objects.requireNonNull(last, "last");
            if (samples < 1) {
                throw new IllegalArgumentException(
                        "A virtual batch must have at least 1 sample, but given was " + samples);
            }
            return new Builder(channels, options, samples, last, renormalization);
        }

        /**
         * Asks for batch renormalization: in training, y = act(γ·((x − mean)/√(variance + ε)·r + d) + β + residual),
         * where r and d, which count as constants in the backward pass, take the batch's statistics to the running ones
         * as far as the schedule's bounds let them. There is none unless said.
         *
         * @param schedule the bounds of r and d; null for no renormalization
         */
        public Builder renormalization(RenormalizationSchedule schedule) {
            return new Builder(channels, options, virtualBatch, last, schedule);
        }

        /**
         * Makes a layer in training mode, with γ = 1, β = 0, running mean 0 and running variance 1.
         *
         * @param device the device that the layer works on
         * @throws IllegalStateException for renormalization without running statistics or with virtual batches; for
         *     {@link LastVirtualBatch#RUNNING} without running statistics; for {@link #inPlace} with renormalization,
         *     virtual batches or an activation that cannot be undone; and when the device is closed
         */
        public BatchNorm build(Device device) {
            return make(options, Objects.requireNonNull(device, "device"));
        }

        /**
         * Makes a layer in training mode that has the γ and β of another: the same {@link Parameter}s, on the same
         * device, and all else of its own. {@link Layer} says what that means.
         *
         * @param owner the layer that the parameters are of, which accumulates gradients, as this must
         * @throws IllegalArgumentException when one of the two does not accumulate gradients, when the owner has no γ or β
         *     of this layer's shape, and when this layer has none to share
         * @throws IllegalStateException for renormalization without running statistics or with virtual batches, and
         *     when the owner or its device is closed
         */
        public BatchNorm buildSharing(Layer owner) {
            return make(options.sharing(Objects.requireNonNull(owner, "owner")), owner.device());
        }

        private BatchNorm make(Options options, Device device) {
            if (renormalization != null && !options.runningAverage.isTracked()) {
                throw new IllegalStateException(
                        "Batch renormalization needs running statistics, but runningAverage was "
                                + options.runningAverage);
            }
            if (renormalization != null && virtualBatch != Long.MAX_VALUE) {
                throw new IllegalStateException(
                        "Batch renormalization has no virtual batches, but virtualBatch was " + virtualBatch);
            }
            if (options.inPlace) {
                InPlace.check(options.activation);
                if (renormalization != null || virtualBatch != Long.MAX_VALUE) {
                    throw new IllegalStateException("Training in place has no virtual batches and no batch"
                            + " renormalization, but "
                            + (renormalization != null
                                    ? "renormalization was " + renormalization
                                    : "virtualBatch was " + virtualBatch));
                }
            }
            if (last == LastVirtualBatch.RUNNING && !options.runningAverage.isTracked()) {
                throw new IllegalStateException(
                        "A last virtual batch that is normalized by the running statistics needs"
                                + " some, but runningAverage was " + options.runningAverage);
            }
            return new BatchNorm(this, options, device);
        }
    }

    private final Builder builder;
    private final long virtualBatch;
    private final LastVirtualBatch last;
    private final Normalization virtual;
    /** Of a batch whose last virtual batch has a single value per channel; null where that is refused. */
    private final Normalization leavingOne;

    private final RenormalizationSchedule schedule;
    /** The last normalization with renormalization, by the bounds that were the schedule's then. */
    private Normalization renormalized;

    private BatchNorm(Builder builder, Options options, Device device) {
        super(device, options, builder.channels, "batch normalization of " + builder.channels + " channels");
        this.builder = builder;
        this.virtualBatch = builder.virtualBatch;
        this.last = builder.last;
        this.virtual = new Normalization(new Grouping.Batch(virtualBatch), Statistic.CENTERED);
        this.leavingOne = switch (last) {
            case REFUSE -> null;
            case MERGE ->
                new Normalization(new Grouping.Batch(virtualBatch, Grouping.Batch.Rest.MERGED), Statistic.CENTERED);
            case RUNNING ->
                new Normalization(new Grouping.Batch(virtualBatch, Grouping.Batch.Rest.GIVEN), Statistic.CENTERED);
        };
        this.schedule = builder.renormalization;
        prepare(Normalization.BATCH, Shape.of(1, builder.channels));
    }

    @Override
    Normalizer twin() {
        return new BatchNorm(builder, builder.options, device());
    }

    /**
     * A builder of a layer with the field's defaults, which the setters state.
     *
     * @param channels how many channels the layer is for, C, at least 1
     * @throws IllegalArgumentException for fewer than one
     */
    public static Builder builder(int channels) {
        return new Builder(
                Options.count("channels", channels), DEFAULTS, Long.MAX_VALUE, LastVirtualBatch.REFUSE, null);
    }

    /**
     * The saved mean: the one that the last forward pass over a non-empty batch used, of shape (C). It is the layer's
     * own tensor; the next pass overwrites it, or closes it when it is another kind of pass.
     *
     * @throws IllegalStateException when that pass had several virtual batches, and when the layer is closed
     */
    public Tensor savedMean() {
        return shownMean();
    }

    /**
     * The saved inverse standard deviation, 1/√(variance + ε) as the last forward pass over a non-empty batch used it,
     * of shape (C). It is the layer's own tensor, and holds as long as {@link #savedMean} does.
     *
     * @throws IllegalStateException when that pass had several virtual batches, and when the layer is closed
     */
    public Tensor savedInverseStandardDeviation() {
        return shownInvstd();
    }

    /**
     * The bytes that the last forward pass in training did without, because y took x's place: those of a y beside x; else
     * 0.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public long bytesSaved() {
        return answer(() -> own().last().bytesSaved());
    }

    /**
     * The settings that replicas of a layer must have in common, in words: how many channels, ε, whether there are γ and
     * β, the activation, how running statistics are made, and what becomes of statistics that are not finite. Equal
     * settings have equal words.
     */
    public String settings() {
        Options options = options();
        return channels() + " channels, epsilon " + options.epsilon + ", " + (options.gamma ? "" : "no ") + "gamma, "
                + (options.beta ? "" : "no ") + "beta, activation " + options.activation
                + (options.activation.slope() == 0 ? "" : " " + options.activation.slope()) + ", running average "
                + options.runningAverage.kind() + " " + options.runningAverage.newBatchWeight() + ", "
                + options.runningVariance + " running variance, non-finite " + options.nonFinite;
    }

    /**
     * The moments of x, as the first step of a forward pass takes them; nothing of the layer changes. Those of an empty
     * x are {@linkplain ChannelMoments#empty empty}. Waits for the device.
     *
     * @param x this part of the batch, of shape (N, C, spatial...); N may be 0
     * @throws IllegalArgumentException for an x of a wrong shape or on another device
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public ChannelMoments moments(Tensor x) {
        return startMoments(x).get();
    }

    /**
     * Begins to take the {@link #moments} of x, without a wait for the device: what is enqueued after it is computed while the
     * caller waits for them, by what is returned.
     *
     * @param x this part of the batch, of shape (N, C, spatial...); N may be 0
     * @return what waits for the moments, of x as it was in this call; it throws an IllegalStateException once the device is
     *     closed
     * @throws IllegalArgumentException for an x of a wrong shape or on another device
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public Supplier<ChannelMoments> startMoments(Tensor x) {
        return calls().moments(x);
    }

    /**
     * Makes a forward pass in training over a part of a batch, such as a replica's: as
     * {@link #forward(Tensor, Tensor, Tensor)}, but by the moments of the whole. The part may be empty, and may have
     * one value per channel. The running statistics take in the whole as one batch, with its count, so that those of
     * all replicas stay the same.
     *
     * @param x this part of the batch, of shape (N, C, spatial...); N may be 0
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @param all the {@link #moments} of all parts, x among them, {@linkplain ChannelMoments#combine combined}
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, and for moments of another number of channels, of
     *     fewer values than x has, its mask's steps alone counted, or of one value per channel
     * @throws IllegalStateException in evaluation mode, for a layer with virtual batches or renormalization, and when
     *     the layer is closed or in the middle of another call
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, on every replica, when a moment is not finite
     */
    public void forwardCombined(Tensor x, Tensor residual, Tensor y, ChannelMoments all) {
        checkCombined(x, all);
        calls().forward(x, residual, y, new Besides.Forward(null, all, null));
    }

    /**
     * Makes a forward pass over a part of a batch, as {@link #forwardCombined} does, to go back through it later, by
     * {@link ForwardPass#gradientSums} and {@link ForwardPass#backwardCombined}.
     *
     * @param x this part of the batch, of shape (N, C, spatial...); N may be 0
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @param all the {@link #moments} of all parts, x among them, {@linkplain ChannelMoments#combine combined}
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, and for moments of another number of channels, of
     *     fewer values than x has, its mask's steps alone counted, or of one value per channel
     * @throws IllegalStateException in evaluation mode, for a layer with virtual batches or renormalization, and when
     *     the layer is closed or in the middle of another call
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, on every replica, when a moment is not finite
     */
    public ForwardPass recordCombined(Tensor x, Tensor residual, Tensor y, ChannelMoments all) {
        checkCombined(x, all);
        return calls().record(x, residual, y, new Besides.Forward(null, all, null), true);
    }

    private void checkCombined(Tensor x, ChannelMoments all) {
        Objects.requireNonNull(all, "all");
        calls().checkInput(x);
        checkWhole();
        if (!isTraining()) {
            throw new IllegalStateException(
                    "forwardCombined is for training, but the layer is in evaluation mode, which is forward");
        }
        long own = calls().count(x);
        boolean none = all.count() == 0 && x.shape().elements() > 0; // a mask may leave none
        if (all.channels() != channels() || all.count() < own || all.count() == 1 || none) {
            throw new IllegalArgumentException("The moments must be of all parts, x " + x.shape()
                    + " among them, and of more than one value per channel, but given were those of " + all.count()
                    + " values in each of " + all.channels() + " channels");
        }
    }

    /**
     * The sums of the backward pass over the part of the batch that the last {@link #forwardCombined} had: Σdy' and
     * Σdy'·(x − mean), dy' being dy where the activation let it through, else 0. Waits for the device.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return the sums of this part alone, 0 for an empty one
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device
     * @throws IllegalStateException when the last forward pass was another, when a tensor that must be unchanged was
     *     written or closed since, and when the layer is closed or in the middle of another call
     */
    public GradientSums gradientSums(Tensor dy) {
        return startGradientSums(dy).get();
    }

    /**
     * Begins to take the {@link #gradientSums}, without a wait for the device, as {@link #startMoments} does.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return what waits for the sums; it throws an IllegalStateException once the device is closed
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device
     * @throws IllegalStateException as {@link #gradientSums} does
     */
    public Supplier<GradientSums> startGradientSums(Tensor dy) {
        return calls().sums(null, dy);
    }

    /**
     * Goes back through the last {@link #forwardCombined}, by the sums over all parts. The gradients of γ and β are set
     * (or added to, where the layer accumulates) by this part of the batch alone, Σdy'·(x − mean)·invstd and Σdy' of
     * its own values, invstd being the inverse standard deviation: as in PyTorch's SyncBatchNorm, those of all replicas
     * are to be added up, or averaged, with the other parameters' gradients.
     *
     * @param dy the same tensor as in the {@link #gradientSums} before, unchanged
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted
     * @param all the {@link #gradientSums} of all parts, {@linkplain GradientSums#combine combined}
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where {@link Normalizer} does not allow it, for a dresidual when the forward pass had no
     *     residual, and for sums of other counts than the forward pass's moments
     * @throws IllegalStateException when the last forward pass was another or was gone back through already, when there
     *     were no {@code gradientSums} of this dy, when a tensor that must be unchanged was written or closed since,
     *     and when the layer is closed or in the middle of another call
     */
    public void backwardCombined(Tensor dy, Tensor dx, Tensor dresidual, GradientSums all) {
        Objects.requireNonNull(dx, "dx");
        Objects.requireNonNull(all, "all");
        calls().backward(null, dy, dx, dresidual, new Besides.Backward(null, all, null));
    }

    private void checkWhole() {
        if (virtualBatch != Long.MAX_VALUE || schedule != null) {
            throw new IllegalStateException("A layer with "
                    + (schedule != null ? "batch renormalization" : "virtual batches")
                    + " takes no moments of several parts");
        }
    }

    /**
     * Switches to evaluation that adapts to the batch, until {@link #eval} or {@link #train}: with w =
     * {@code batchWeight},
     *
     * <pre>mean = (1 − w)·running mean + w·batch mean, variance = (1 − w)·running variance + w·batch variance</pre>
     *
     * as in Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation", 2020,
     * where w = n/(n + N) for n values at hand and a prior of the weight of N. The distance of the two means is no part
     * of the variance, and the batch's is the biased one: w = 0 is {@link #eval}, and w = 1 normalizes as training
     * does. Running statistics stay as they are. A forward pass waits for the device; its backward pass takes the
     * statistics as constants.
     *
     * @param batchWeight w, the weight of the batch's own statistics, from 0 to 1
     * @throws IllegalArgumentException for a weight that is not from 0 to 1
     * @throws IllegalStateException for a layer without running statistics, and when the layer is closed or in the
     *     middle of another call
     */
    public void evalAdapted(double batchWeight) {
        checkOpen();
        if (!(batchWeight >= 0 && batchWeight <= 1)) {
            throw new IllegalArgumentException("batchWeight must be from 0 to 1, but given was " + batchWeight);
        }
        if (running() == null) {
            throw new IllegalStateException(
                    "A layer without running statistics evaluates with the batch's own, and has nothing to adapt");
        }
        calls().mode(false, batchWeight);
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
        if (perSample) {
            return PassRunner.CONDITIONAL;
        }
        if (!isTraining()) {
            return Normalization.BATCH;
        }
        if (schedule != null) {
            return renormalized(schedule.rMax(batchesTracked()), schedule.dMax(batchesTracked()));
        }
        if (!hasVirtualBatches(shape)) {
            return Normalization.BATCH;
        }
        if (!leavesOne(shape)) {
            return virtual;
        }
        boolean isAll = last == LastVirtualBatch.MERGE && shape.batch() == virtualBatch + 1;
        return isAll ? Normalization.BATCH : leavingOne;
    }

    private boolean hasVirtualBatches(Shape shape) {
        return isTraining() && virtualBatch < shape.batch();
    }

    /** Whether the last of the virtual batches of such an x, each of several samples, has a single value per channel. */
    private boolean leavesOne(Shape shape) {
        return virtualBatch > 1 && shape.batch() % virtualBatch == 1 && shape.spatial() == 1;
    }

    @Override
    boolean trainsByRunning(Shape shape) {
        return last == LastVirtualBatch.RUNNING && leavesOne(shape) && shape.batch() == 1;
    }

    private Normalization renormalized(double rMax, double dMax) {
        LinearSchedule.checkBounds(rMax, dMax);
        Renormalization last = renormalized == null ? null : renormalized.renormalization();
        if (last == null || last.rMax() != rMax || last.dMax() != dMax) {
            renormalized =
                    new Normalization(Grouping.batch(), Statistic.CENTERED, false, new Renormalization(rMax, dMax));
        }
        return renormalized;
    }

    @Override
    void checkMaskable() {
        if (virtualBatch != Long.MAX_VALUE) {
            throw new IllegalStateException("A layer with virtual batches takes no mask");
        }
    }

    @Override
    void checkCount(Shape shape, Mask mask) {
        if (mask != null && mask.count() < 2) {
            throw new IllegalArgumentException("Batch statistics need more than one value per channel, but of the "
                    + mask + "; use eval() to normalize with running statistics");
        }
        if (shape.batch() * shape.spatial() == 1) {
            throw new IllegalArgumentException("Batch statistics need more than one value per channel, but x has shape "
                    + shape + "; use eval() to normalize with running statistics");
        }
        if (hasVirtualBatches(shape)) {
            boolean isRefused = last == LastVirtualBatch.REFUSE && leavesOne(shape);
            if (isRefused || virtualBatch == 1 && shape.spatial() == 1) {
                throw new IllegalArgumentException("Batch statistics need more than one value per channel, but of "
                        + shape + ", in virtual batches of " + virtualBatch + " samples, "
                        + (isRefused
                                ? "the last has only one; LastVirtualBatch.MERGE and RUNNING are ways to normalize it"
                                : "each has only one"));
            }
        }
    }

    @Override
    void checkRecomputable() {
        if (schedule != null) {
            throw new IllegalStateException(
                    "Batch renormalization depends on the running statistics, which the first pass"
                            + " over a batch changes, so that a second one gives something else");
        }
    }

    @Override
    void checkConditional() {
        if (virtualBatch != Long.MAX_VALUE || schedule != null) {
            throw new IllegalStateException("A layer with "
                    + (schedule != null ? "batch renormalization" : "virtual batches")
                    + " takes no gamma and beta per sample");
        }
    }

    @Override
    void checkTracking(boolean tracking) {
        if (!tracking && schedule != null) {
            throw new IllegalStateException(
                    "Batch renormalization uses and updates the running statistics in one pass, so"
                            + " that tracking cannot be switched off; use eval() to leave them as they are");
        }
    }
}
