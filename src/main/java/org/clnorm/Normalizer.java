package org.clnorm;

import static org.clnorm.TensorChecks.like;
import static org.clnorm.TensorChecks.noOverlap;
import static org.clnorm.TensorChecks.onDevice;
import static org.clnorm.TensorChecks.unchanged;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;

/**
 * What all normalization layers have in common. A layer computes
 *
 * <pre>y = act(γ·x̂ + β + residual)</pre>
 *
 * where x̂ is x with each group of its elements normalized; the layers differ in what a group is and by what it is divided.
 *
 * <p>The layer owns γ, β, their gradients and any running statistics, all on its device. {@link #backward} is of the
 * last {@link #forward} and needs that x (and y, where there were both a residual and an activation; and γ and β, where they go by the element of a
 * row) to be unchanged;
 * it says so when they are not. The caller owns every tensor that it gives or gets. Calls do not wait for the device, except
 * under {@link NonFinitePolicy#THROW}.
 *
 * <p>A layer is for one call at a time: one that comes in the middle of another, from another thread, throws {@link
 * IllegalStateException} and does nothing. Any thread may {@link #close} it: the call that is in is waited for, and those
 * that come later throw the same.
 *
 * <p>In place: y may be x where running statistics are used (there is no backward pass then) and may be the residual
 * always; dx or dresidual may be dy. Any other overlap is refused.
 *
 * <p>Freezing is three switches, each on its own: {@link Parameter#freeze} of γ or β ends the computation of its
 * gradient; {@link RunningNormalizer#trackRunning} says whether batches enter the running statistics; {@link #train} and
 * {@link #eval} say which statistics normalize. A layer that is to be as it is for good has all three.
 */
public abstract sealed class Normalizer implements AutoCloseable
        permits ChannelNormalizer, LayerNorm, RmsNorm, WeightNorm, L2Norm {
    /** By given statistics, with γ and β per sample. */
    static final Normalization CONDITIONAL =
            new Normalization(Grouping.batch(), Normalization.Statistic.CENTERED, true, null);

    /** What {@link #backward} needs of a {@link #forward}. */
    private record Memo(
            boolean frozen, boolean residual, Tensor x, Tensor.Watch xWatch, Tensor y, Tensor.Watch yWatch) {
        Memo(boolean frozen, boolean residual, Tensor x, Tensor y) {
            this(frozen, residual, x, x.watch(), y, y.watch());
        }

        boolean isOf(boolean frozen, boolean residual, Tensor x, Tensor y) {
            return this.frozen == frozen && this.residual == residual && this.x == x && this.y == y;
        }

        /** From here on, writes count; that of y too, which may take x's place. */
        void begin() {
            xWatch.begin();
            y.touch();
            yWatch.begin();
        }

        void end() {
            xWatch.end();
            yWatch.end();
        }
    }

    /** The sums of this part of a batch, and of which dy they are. */
    private record Summed(Tensor dy, Tensor.Watch watch, GradientSums sums) {}

    private final Options options;
    private final Device device;
    private final String what;
    private final Parameter gamma;
    private final Parameter beta;
    private final Running running;
    /** Of γ and β, which a backward pass over rows reads again: they are too many to be kept with the statistics. */
    private final Tensor.Watch gammaWatch;

    private final Tensor.Watch betaWatch;
    private final Belongings own;

    private boolean training = true;
    /** Of the batch's own statistics in evaluation; 0 unless adapted. */
    private double batchWeight;
    /** Gets the moments of every forward pass's batch, if there is one. */
    private Consumer<ChannelMoments> observer;

    private Memo memo;
    /** Whether there is a forward pass to go back through, that of the memo. */
    private boolean forwarded;
    /** Whether that was gone back through. */
    private boolean wentBack;
    /** Whether it may be gone back through again. */
    private boolean isRetained;

    // Of that forward pass, beside the memo: these may differ from step to step over the same tensors.
    private Normalization normalization;
    private boolean conditional;
    private boolean scaled;
    private boolean shifted;
    /** The moments that it was given; null when they were its own. */
    private ChannelMoments combined;
    /** What was summed for its backward pass; null when nothing was. */
    private Summed summed;

    /** Those of the call that is in. */
    private final Operands operands = new Operands();

    /**
     * A layer in training mode.
     *
     * @param affine of γ and β, as far as the options have them, and of running statistics, likewise
     * @param what it is, for messages
     */
    Normalizer(Device device, Options options, Shape affine, String what) {
        this.what = what;
        this.device = device;
        this.options = options;
        this.own = new Belongings(this, device, options, what);
        try {
            this.gamma = options.scale ? own.parameter("weight", affine) : null;
            this.beta = options.shift ? own.parameter("bias", affine) : null;
            this.running = options.runningAverage.isTracked() ? own.running(affine) : null;
            initialize();
        } catch (RuntimeException e) {
            own.lease().close();
            throw e;
        }
        this.gammaWatch = gamma == null ? null : gamma.value().watch();
        this.betaWatch = beta == null ? null : beta.value().watch();
    }

    /** What a pass over x's own statistics is. The same object for the same pass. */
    abstract Normalization normalization(Shape shape, boolean perSample);

    /** Another layer of the same kind and settings on the same device, as it is when it is new. */
    abstract Normalizer twin();

    /** Refuses an x that the layer is not for. */
    abstract void checkShape(Tensor x);

    /** Refuses an x that has too few values for statistics of its own. */
    void checkCount(Shape shape) {}

    /** The device it works on. */
    public final Device device() {
        return device;
    }

    /** ε, as the builder has it. */
    public final double epsilon() {
        return options.epsilon;
    }

    /** What is applied in the same pass. */
    public final Activation activation() {
        return options.activation;
    }

    /**
     * Does once what a first pass over such x does and later ones need not, so that none waits for a compiler: in training
     * what a forward pass and its backward pass need, in evaluation what a forward pass does. The layer stays as it is; for
     * as long as this takes, there are a layer and tensors like those of such a pass beside it.
     *
     * @param shape of x
     * @param layout of x
     * @param type of x, y and their gradients
     * @param residual whether there is a residual too
     * @throws IllegalArgumentException for a shape that a forward pass would refuse
     */
    public final void prepare(Shape shape, Layout layout, DataType type, boolean residual) {
        Objects.requireNonNull(shape, "shape");
        Objects.requireNonNull(layout, "layout");
        Objects.requireNonNull(type, "type");
        alone(() -> {
            try (Normalizer twin = twin();
                    Tensor x = device.tensor(shape, layout, type);
                    Tensor added = residual ? device.tensor(shape, layout, type) : null;
                    Tensor y = device.tensor(shape, layout, type);
                    Tensor dy = device.tensor(shape, layout, type)) {
                if (!training) {
                    twin.adapt(batchWeight);
                }
                twin.forward(x, added, y);
                if (training) {
                    twin.backward(dy, dy, added);
                }
            }
        });
    }

    /** The same for float32 and no residual. */
    public final void prepare(Shape shape, Layout layout) {
        prepare(shape, layout, DataType.FLOAT32, false);
    }

    /** Normalizes with the statistics of what it is given from now on. */
    public final void train() {
        alone(() -> {
            training = true;
            batchWeight = 0;
        });
    }

    /**
     * Normalizes with the running statistics from now on; where none are kept, with the statistics of what it is given, as
     * in training.
     */
    public final void eval() {
        adapt(0);
    }

    /** Evaluation with the batch's own statistics at that weight. */
    final void adapt(double weight) {
        alone(() -> {
            training = false;
            batchWeight = weight;
        });
    }

    /**
     * From now on in training, with the moments of every batch going to an observer, and none into the running statistics.
     *
     * @return what ends this, and sets the mode back; it works whatever has become of the layer
     */
    final Runnable observe(Consumer<ChannelMoments> to) {
        return answer(() -> {
            if (observer != null) {
                throw new IllegalStateException(own.lease().described() + ", is being observed already");
            }
            boolean wasTraining = training;
            double weight = batchWeight;
            training = true;
            observer = to;
            return () -> {
                observer = null;
                training = wasTraining;
                batchWeight = weight;
                forwarded = false;
            };
        });
    }

    /** Whether it is in training mode. */
    public final boolean isTraining() {
        return training;
    }

    /** Sets γ = 1, β = 0, their gradients 0, running mean 0, running variance 1, and no batch tracked. */
    public final void reset() {
        alone(() -> {
            initialize();
            forget();
        });
    }

    private void initialize() {
        if (gamma != null) {
            gamma.value().fill(1);
            gamma.zeroGradient();
        }
        if (beta != null) {
            beta.value().fill(0);
            beta.zeroGradient();
        }
        if (running != null) {
            running.reset();
        }
    }

    /** The last forward pass is no longer to be gone back through. */
    private void forget() {
        forwarded = false;
        combined = null;
        forgetSums();
        operands.clear();
        Memo last = memo;
        memo = null;
        if (last != null) {
            last.end();
        }
    }

    private void forgetSums() {
        Summed last = summed;
        summed = null;
        if (last != null) {
            last.watch.end();
        }
    }

    /**
     * Normalizes.
     *
     * @param x of a shape that the layer is for
     * @return y, of x's shape and layout; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or another device, and for one that has too few values
     *     for statistics of its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}
     */
    public final Tensor forward(Tensor x) {
        own.enter();
        try {
            checkInput(x);
            Tensor y = device.allocate(x.shape(), x.layout(), x.type());
            try {
                pass(x, null, y, null, null);
            } catch (RuntimeException e) {
                y.close();
                throw e;
            }
            return y;
        } finally {
            own.leave();
        }
    }

    /** Normalizes x into y; see {@link #forward(Tensor)} and the class comment on in-place use. */
    public final void forward(Tensor x, Tensor y) {
        forward(x, null, y);
    }

    /**
     * Normalizes x, adds the residual, applies the activation, all in one pass, into y.
     *
     * @param residual of x's shape and layout, or null for none
     */
    public final void forward(Tensor x, Tensor residual, Tensor y) {
        normalize(x, residual, y, null, null);
    }

    /**
     * A forward pass.
     *
     * @param affine γ and β per sample; null for the layer's own
     * @param given moments of a batch that x is a part of, in training; null for x's own
     */
    final void normalize(Tensor x, Tensor residual, Tensor y, SampleAffine affine, ChannelMoments given) {
        own.enter();
        try {
            pass(x, residual, y, affine, given);
        } finally {
            own.leave();
        }
    }

    private void pass(Tensor x, Tensor residual, Tensor y, SampleAffine affine, ChannelMoments given) {
        checkInput(x);
        like("y", y, "x", x);
        y.check("y", Memory.Access.OUTPUT);
        boolean frozen = !training && running != null;
        noOverlap("y", y, "x", x, frozen);
        if (residual != null) {
            like("residual", residual, "x", x);
            residual.check("residual", Memory.Access.INPUT);
            noOverlap("y", y, "residual", residual, true);
        }
        if (affine != null) {
            checkPerSample("scale", affine.scale(), x.shape());
            checkPerSample("shift", affine.shift(), x.shape());
            checkIfGiven("scale", affine.scale(), Memory.Access.INPUT);
            checkIfGiven("shift", affine.shift(), Memory.Access.INPUT);
            noOverlapIfGiven("y", y, "scale", affine.scale());
            noOverlapIfGiven("y", y, "shift", affine.shift());
        }
        own.refuse("y", y);
        Shape shape = x.shape();
        boolean perSample = affine != null;
        boolean adapted = frozen && batchWeight > 0;
        if (adapted && perSample) {
            throw new IllegalStateException(
                    "Evaluation that adapts to the batch takes no scale and shift per sample; use eval()");
        }
        if (!frozen && given == null) {
            checkCount(shape);
        }
        Consumer<ChannelMoments> sees = observer;
        if (sees != null) {
            sees.accept(given == null ? momentsOf(x) : given);
        }

        Normalization now = frozen || given != null
                ? perSample ? CONDITIONAL : Normalization.BATCH
                : normalization(shape, perSample);
        boolean any = given == null ? shape.elements() > 0 : given.count() > 0;
        Room room = any ? own.roomFor(now, shape, x.layout()) : null;
        if (memo != null && !memo.isOf(frozen, residual != null, x, y)) {
            forget();
        }
        forwarded = false;
        wentBack = false;
        isRetained = false;
        forgetSums();
        combined = given;
        normalization = now;
        conditional = perSample;
        scaled = perSample && affine.scale() != null;
        shifted = perSample && affine.shift() != null;
        if (room != null) {
            own.settle(room);
            ChannelMoments mixed = adapted ? mixed(momentsOf(x)) : null;
            putForward(x, residual, y, affine);
            if (given != null) {
                normalizeBy(given, x, room);
            } else if (adapted) {
                combine(mixed, RunningVariance.BIASED, x, room);
            } else if (frozen) {
                operands.put(Role.MEAN, running.mean.operand()).put(Role.VARIANCE, running.variance.operand());
                prepared(PassKind.INFERENCE, now, x).run(operands, room.saved());
            } else {
                normalizeByItself(now, x, room);
            }
        }
        if (memo == null) {
            memo = new Memo(frozen, residual != null, x, y);
        }
        memo.begin();
        if (gammaWatch != null) {
            gammaWatch.begin();
        }
        if (betaWatch != null) {
            betaWatch.begin();
        }
        forwarded = true;
    }

    private void putForward(Tensor x, Tensor residual, Tensor y, SampleAffine affine) {
        operands.clear()
                .put(Role.X, x.operand())
                .put(Role.RESIDUAL, operandOf(residual))
                .put(Role.Y, y.operand())
                .put(Role.GAMMA, affine == null ? valueOf(gamma) : operandOf(affine.scale()))
                .put(Role.BETA, affine == null ? valueOf(beta) : operandOf(affine.shift()));
    }

    /** The pass of a kind over tensors like x and the operands. */
    private PreparedPass prepared(PassKind kind, Normalization normalization, Tensor x) {
        return own.passes().get(kind, normalization, x.shape(), x.layout(), operands);
    }

    private void normalizeByItself(Normalization now, Tensor x, Room room) {
        boolean update = training && updates();
        if (update) {
            running.putTo(operands);
        }
        prepared(PassKind.TRAINING, now, x).run(operands, room.saved());
        if (update) {
            running.count();
        }
    }

    private boolean updates() {
        return running != null && running.isTracking() && observer == null;
    }

    private void normalizeBy(ChannelMoments given, Tensor x, Room room) {
        if (options.nonFinite == NonFinitePolicy.THROW) {
            checkFinite(given);
        }
        boolean update = updates();
        if (update) {
            running.putTo(operands);
        }
        combine(given, update ? options.runningVariance : RunningVariance.BIASED, x, room);
        if (update) {
            running.count();
        }
    }

    private void combine(ChannelMoments moments, RunningVariance estimate, Tensor x, Room room) {
        room.saved().writeMoments(moments, estimate);
        prepared(PassKind.COMBINED, Normalization.BATCH, x).run(operands, room.saved());
    }

    /** As float32, in which statistics are kept. */
    static void checkFinite(ChannelMoments moments) {
        double[] mean = moments.mean();
        double[] variance = moments.variance(RunningVariance.BIASED);
        for (int c = 0; c < mean.length; c++) {
            if (!(Float.isFinite((float) mean[c]) && Float.isFinite((float) variance[c]))) {
                throw new NonFiniteException(c, mean[c], variance[c]);
            }
        }
    }

    /** The running statistics with a batch's at its weight; the variances are averaged as the means are. */
    private ChannelMoments mixed(ChannelMoments batch) {
        float[] runningMean = running.mean.download();
        float[] runningVariance = running.variance.download();
        double[] mean = batch.mean();
        double[] variance = batch.variance(RunningVariance.BIASED);
        Arrays.setAll(mean, c -> (1 - batchWeight) * runningMean[c] + batchWeight * mean[c]);
        Arrays.setAll(variance, c -> (1 - batchWeight) * runningVariance[c] + batchWeight * variance[c]);
        return new ChannelMoments(
                batch.count(),
                mean,
                Arrays.stream(variance).map(v -> v * batch.count()).toArray());
    }

    /** The moments of each channel of x, which has been checked; waits. */
    final ChannelMoments momentsOf(Tensor x) {
        int channels = Math.toIntExact(x.shape().channels());
        if (x.shape().elements() == 0) {
            return ChannelMoments.empty(channels);
        }
        Coefficients scratch = own.scratch(channels);
        operands.clear().put(Role.X, x.operand());
        prepared(PassKind.MOMENTS, Normalization.BATCH, x).run(operands, scratch);
        return scratch.readMoments(perChannel(x));
    }

    private static long perChannel(Tensor x) {
        return x.shape().batch() * x.shape().spatial();
    }

    /**
     * The gradients of the last forward pass: sets (or adds to) those of γ and β, except of one that is frozen, and returns
     * that of x.
     *
     * <p>A forward pass is gone back through once, unless {@link #retainForward} says otherwise. Gradients are numbers and no
     * functions: there are no gradients of gradients.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return dx, of the same shape and layout; the caller closes it
     * @throws IllegalStateException without a forward pass, when that was gone back through already, or when x was written
     *     since
     */
    public final Tensor backward(Tensor dy) {
        own.enter();
        try {
            checkGradient(dy);
            Tensor dx = device.allocate(dy.shape(), dy.layout(), memo.x.type());
            try {
                passBack(dy, dx, null, null, null);
            } catch (RuntimeException e) {
                dx.close();
                throw e;
            }
            return dx;
        } finally {
            own.leave();
        }
    }

    /**
     * Lets the last forward pass be gone back through as often as is wanted, until the next one. The same dy gives the same
     * dx, and the gradients of γ and β once more: a layer that accumulates adds them each time.
     *
     * @throws IllegalStateException without a forward pass
     */
    public final void retainForward() {
        alone(() -> {
            if (!forwarded) {
                throw new IllegalStateException("retainForward needs a forward pass before it");
            }
            isRetained = true;
        });
    }

    /** Writes the gradient of x into dx; see {@link #backward(Tensor)}. */
    public final void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Writes the gradients of x and of the residual; see {@link #backward(Tensor)}.
     *
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     */
    public final void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        goBack(dy, dx, dresidual, null, null);
    }

    /** Σdy' and Σdy'·(x − mean) of each channel, of the last forward pass, which was given moments; waits. */
    final GradientSums sumGradients(Tensor dy) {
        return answer(() -> sums(dy));
    }

    private GradientSums sums(Tensor dy) {
        checkGradient(dy);
        checkCombined("gradientSums", true);
        forgetSums();
        GradientSums sums;
        if (dy.shape().elements() == 0) {
            sums = GradientSums.empty(combined.channels());
        } else {
            operands.clear()
                    .put(Role.DY, dy.operand())
                    .put(Role.X, memo.x.operand())
                    .put(Role.Y, needsY() ? memo.y.operand() : null);
            prepared(PassKind.SUMS, Normalization.BATCH, dy)
                    .run(operands, own.room().saved());
            sums = own.room().saved().readSums(perChannel(dy));
        }
        summed = new Summed(dy, dy.watch(), sums);
        return sums;
    }

    private void checkCombined(String what, boolean wanted) {
        if ((combined != null) != wanted) {
            throw new IllegalStateException(
                    wanted
                            ? what
                                    + " is of a forwardCombined, but the last forward pass was with statistics of its own"
                            : what + " is of a forward pass with statistics of its own, but the last one was"
                                    + " forwardCombined, which takes gradientSums and backwardCombined");
        }
    }

    private void checkSums(Tensor dy, GradientSums all) {
        if (summed == null || summed.dy != dy || summed.watch.written()) {
            throw new IllegalStateException("backwardCombined needs gradientSums of the same dy before it, but "
                    + (summed == null
                            ? "there were none since the forward pass"
                            : summed.dy != dy ? "the last ones were of another tensor" : "dy was written since"));
        }
        if (all.channels() != combined.channels() || all.count() != combined.count()) {
            throw new IllegalArgumentException("The sums must be of all parts that the forward pass's moments are of, "
                    + combined.count() + " values in each of " + combined.channels() + " channels, but given were "
                    + all.count() + " in " + all.channels());
        }
    }

    /**
     * A backward pass; of a forward pass with γ and β per sample, their gradients are as wanted.
     *
     * @param all sums over all parts, where the forward pass was given moments; else null
     */
    final void goBack(Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients, GradientSums all) {
        own.enter();
        try {
            passBack(dy, dx, dresidual, gradients, all);
        } finally {
            own.leave();
        }
    }

    private void passBack(Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients, GradientSums all) {
        checkGradient(dy);
        checkCombined(all == null ? "backward" : "backwardCombined", all != null);
        if (all != null) {
            checkSums(dy, all);
        }
        boolean needsY = needsY();
        checkInputGradient(dy, dx, needsY);
        if (dresidual != null) {
            if (!memo.residual) {
                throw new IllegalArgumentException("dresidual was given, but the last forward pass had no residual");
            }
            like("dresidual", dresidual, "dy", dy);
            noOverlap("dresidual", dresidual, "dx", dx, false);
            checkInputGradientPlace("dresidual", dresidual, dy, needsY);
        }
        Tensor dscale = gradients == null ? null : gradients.scale();
        Tensor dshift = gradients == null ? null : gradients.shift();
        checkSampleGradient("gradient of scale", dscale, scaled, dy, dx, dresidual, needsY);
        checkSampleGradient("gradient of shift", dshift, shifted, dy, dx, dresidual, needsY);
        if (dscale != null && dshift != null) {
            noOverlap("gradient of scale", dscale, "gradient of shift", dshift, false);
        }

        if (wentBack && !isRetained) {
            throw new IllegalStateException("The last forward pass was gone back through already: call forward before"
                    + " another backward, or retainForward after it to go back through it more than once");
        }

        if (dy.shape().elements() > 0) {
            operands.clear()
                    .put(Role.DY, dy.operand())
                    .put(Role.X, memo.x.operand())
                    .put(Role.Y, needsY ? memo.y.operand() : null)
                    .put(Role.DX, dx.operand())
                    .put(Role.DRESIDUAL, operandOf(dresidual))
                    .put(Role.DGAMMA, conditional ? operandOf(dscale) : gradientOf(gamma))
                    .put(Role.DBETA, conditional ? operandOf(dshift) : gradientOf(beta));
            if (isAffineByElement()) {
                operands.put(Role.GAMMA, valueOf(gamma)).put(Role.BETA, valueOf(beta));
            }
            Coefficients saved = own.room().saved();
            if (all != null) {
                saved.writeSums(summed.sums, all);
                prepared(PassKind.COMBINED_BACKWARD, Normalization.BATCH, dy).run(operands, saved);
            } else {
                PassKind kind = memo.frozen ? PassKind.FROZEN_BACKWARD : PassKind.BACKWARD;
                prepared(kind, normalization, dy).run(operands, saved);
            }
        } else if (!options.accumulateGradients) {
            zeroGradients(dscale, dshift);
        }
        wentBack = true;
        dx.touch();
        touch(dresidual);
        touch(dscale);
        touch(dshift);
    }

    /** Of no elements. */
    private void zeroGradients(Tensor dscale, Tensor dshift) {
        if (!conditional) {
            parameterStream().filter(parameter -> !parameter.isFrozen()).forEach(Parameter::zeroGradient);
        }
        if (dscale != null) {
            dscale.fill(0);
        }
        if (dshift != null) {
            dshift.fill(0);
        }
    }

    /** γ, if the layer has it: PyTorch's {@code weight}. */
    public final Optional<Parameter> gamma() {
        checkOpen();
        return Optional.ofNullable(gamma);
    }

    /** β, if the layer has it: PyTorch's {@code bias}. */
    public final Optional<Parameter> beta() {
        checkOpen();
        return Optional.ofNullable(beta);
    }

    /** What an optimizer updates: γ and β, those that there are, frozen or not. */
    public final List<Parameter> parameters() {
        checkOpen();
        return parameterStream().toList();
    }

    private Stream<Parameter> parameterStream() {
        return Stream.of(Optional.ofNullable(gamma), Optional.ofNullable(beta)).flatMap(Optional::stream);
    }

    /**
     * γ, β, the running statistics and the number of batches in them, those that there are: {@code weight}, {@code
     * bias}, {@code running_mean}, {@code running_var} and {@code num_batches_tracked}. Waits for the device.
     */
    public final StateDict stateDict() {
        return answer(() -> state().save());
    }

    /**
     * Sets what {@link #stateDict} gives, by name. The state of a layer with the same options gives its outputs, bit for
     * bit. With {@code num_batches_tracked}, every channel's running statistics count as of that many batches (also a
     * channel that sat some out, under {@link NonFinitePolicy#SKIP_RUNNING_UPDATE}); without, counts stay as they are.
     * Arrays may be of any floating-point type, float64 being rounded to float32, and have more or fewer dimensions of 1,
     * such as (1, C, 1, 1), which the log then says; the count may be of any type that holds a whole number. Gradients
     * stay, and {@link #backward} needs another forward pass.
     *
     * @throws IllegalArgumentException when a name is missing or unexpected, or an array has another shape or type; the
     *     message lists all that is wrong, and nothing was changed
     */
    public final void loadState(StateDict state) {
        answer(() -> load(state, true));
    }

    /**
     * The same for the names that the layer and the state have in common.
     *
     * @return the names that they do not
     * @throws IllegalArgumentException when an array has another shape or type; nothing was changed
     */
    public final StateDict.Difference loadStateLeniently(StateDict state) {
        return answer(() -> load(state, false));
    }

    private StateDict.Difference load(StateDict state, boolean strict) {
        LayerState.Loading loading = state().check(state, strict);
        forget();
        long batches = loading.upload();
        if (running != null) {
            running.loaded(batches);
        }
        return loading.difference();
    }

    private LayerState state() {
        return new LayerState(parameterStream().toList(), running, running == null ? 0 : running.batches());
    }

    /** How it was built. */
    final Options options() {
        return options;
    }

    /** What is done with what is not finite. */
    final NonFinitePolicy nonFinite() {
        return options.nonFinite;
    }

    /** The running statistics; null where none are kept. */
    final Running running() {
        return running;
    }

    /** The mean of each group of the last forward pass over elements. */
    final Tensor shownMean() {
        return shown().mean();
    }

    /** What the last forward pass over elements multiplied each group by. */
    final Tensor shownInvstd() {
        return shown().invstd();
    }

    private Room shown() {
        checkOpen();
        Room last = own.room();
        if (last == null) {
            throw new IllegalStateException("There are no saved statistics before a forward pass");
        }
        if (last.mean() == null) {
            throw new IllegalStateException(
                    "The last forward pass was over virtual batches, each with statistics of its own that are not shown");
        }
        return last;
    }

    /** Has room for a pass from the start, so that its statistics can be asked for. */
    final void prepare(Normalization normalization, Shape shape) {
        try {
            own.settle(own.roomFor(normalization, shape, Layout.CHANNELS_FIRST));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /**
     * Closes the parameters and statistics too, once the call is over that is using them. Closing twice is harmless. From
     * inside of a call, such as by a renormalization's schedule, it waits for nothing, and the call goes on to its end.
     */
    @Override
    public final void close() {
        own.lease().close();
        if (own.isReleased()) {
            forget();
        }
    }

    /** Whether it and its device are. */
    final boolean isOpen() {
        return own.lease().isOpen() && !device.isClosed();
    }

    /** @throws IllegalStateException when closed */
    final void checkOpen() {
        own.lease().check();
    }

    /** Makes a call that uses what the layer has, alone. */
    final void alone(Runnable call) {
        own.alone(call);
    }

    /** The same, of a call that returns something. */
    final <T> T answer(Supplier<T> call) {
        return own.answer(call);
    }

    /** On the device, and of a shape that the layer is for. */
    final void checkInput(Tensor x) {
        onDevice("x", x, device);
        x.check("x", Memory.Access.INPUT);
        checkShape(x);
    }

    private void checkGradient(Tensor dy) {
        if (!forwarded) {
            throw new IllegalStateException("backward needs a forward pass before it");
        }
        unchanged("x", memo.x, memo.xWatch);
        if (needsY()) {
            unchanged("y", memo.y, memo.yWatch);
            memo.y.check("y", Memory.Access.INPUT);
        }
        if (isAffineByElement()) {
            if (gamma != null) {
                unchanged("weight", gamma.value(), gammaWatch);
            }
            if (beta != null) {
                unchanged("bias", beta.value(), betaWatch);
            }
        }
        like("dy", dy, "x", memo.x);
        dy.check("dy", Memory.Access.INPUT);
    }

    /** Whether a backward pass reads γ and β again. */
    private boolean isAffineByElement() {
        return normalization.grouping().affineByElement();
    }

    /** Whether the activation's mask is had from y, and not from x. */
    private boolean needsY() {
        return memo.residual && options.activation != Activation.NONE;
    }

    private void checkInputGradient(Tensor dy, Tensor dx, boolean needsY) {
        like("dx", dx, "dy", dy);
        checkInputGradientPlace("dx", dx, dy, needsY);
    }

    /** Where a gradient of dy's shape may lie. */
    private void checkInputGradientPlace(String name, Tensor output, Tensor dy, boolean needsY) {
        output.check(name, Memory.Access.OUTPUT);
        noOverlap(name, output, "dy", dy, true);
        noOverlap(name, output, "x", memo.x, false);
        own.refuse(name, output);
        if (needsY) {
            noOverlap(name, output, "y", memo.y, false);
        }
    }

    private void checkSampleGradient(
            String name, Tensor gradient, boolean had, Tensor dy, Tensor dx, Tensor dresidual, boolean needsY) {
        if (gradient == null) {
            return;
        }
        if (!had) {
            throw new IllegalArgumentException(
                    "A " + name + " was given, but the last forward pass had none per sample to be the gradient of");
        }
        checkPerSample(name, gradient, dy.shape());
        gradient.check(name, Memory.Access.OUTPUT);
        if (options.accumulateGradients) {
            gradient.check(name, Memory.Access.INPUT);
        }
        noOverlap(name, gradient, "dy", dy, false);
        noOverlap(name, gradient, "x", memo.x, false);
        noOverlap(name, gradient, "dx", dx, false);
        noOverlapIfGiven(name, gradient, "dresidual", dresidual);
        noOverlapIfGiven(name, gradient, "y", needsY ? memo.y : null);
        own.refuse(name, gradient);
    }

    private void checkPerSample(String name, Tensor tensor, Shape of) {
        if (tensor == null) {
            return;
        }
        onDevice(name, tensor, device);
        Shape shape = tensor.shape();
        if (shape.rank() != 2 || shape.batch() != of.batch() || shape.channels() != of.channels()) {
            throw new IllegalArgumentException(name + " must have shape (N, C) = " + Shape.of(of.batch(), of.channels())
                    + ", but given was " + shape);
        }
        if (tensor.type() != DataType.FLOAT32) {
            throw new IllegalArgumentException(name + " must be float32, but given was " + tensor.type());
        }
    }

    private static void checkIfGiven(String name, Tensor tensor, Memory.Access access) {
        if (tensor != null) {
            tensor.check(name, access);
        }
    }

    private static void noOverlapIfGiven(String name, Tensor output, String otherName, Tensor other) {
        if (other != null) {
            noOverlap(name, output, otherName, other, false);
        }
    }

    private static void touch(Tensor tensor) {
        if (tensor != null) {
            tensor.touch();
        }
    }

    private static Operand operandOf(Tensor tensor) {
        return tensor == null ? null : tensor.operand();
    }

    private static Operand valueOf(Parameter parameter) {
        return parameter == null ? null : parameter.value().operand();
    }

    private static Operand gradientOf(Parameter parameter) {
        return parameter == null || parameter.isFrozen()
                ? null
                : parameter.gradient().operand();
    }

    /** What it is, in which mode and where. */
    @Override
    public final String toString() {
        return what
                + (isOpen() ? training ? ", training, on " : ", evaluating, on " : ", closed, on ")
                + device.label();
    }
}
