package org.clnorm;

import static org.clnorm.TensorChecks.like;
import static org.clnorm.TensorChecks.noOverlap;
import static org.clnorm.TensorChecks.onDevice;
import static org.clnorm.TensorChecks.unchanged;

import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;

/**
 * Batch normalization (Ioffe and Szegedy, 2015) of tensors of shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W):
 *
 * <pre>y = act(γ·(x − mean)/√(variance + ε) + β + residual)</pre>
 *
 * with one mean, variance, γ and β per channel. In training mode, mean and variance are those of the batch, over N and
 * the spatial dimensions, the variance divided by the number of values m; they also enter the running statistics. In
 * evaluation mode they are the running statistics.
 *
 * <p>The layer owns γ, β, their gradients and the running statistics, all on its device. {@link #backward} is of the
 * last {@link #forward} and needs that x (and y, where there were both a residual and an activation) to be unchanged;
 * it says so when they are not. The caller owns every tensor that it gives or gets. A layer is used by one thread at a
 * time. Calls do not wait for the device, except under {@link NonFinitePolicy#THROW}.
 *
 * <p>In place: y may be x in evaluation mode (there is no backward pass then) and may be the residual in both; dx or
 * dresidual may be dy. Any other overlap is refused.
 */
public final class BatchNorm implements AutoCloseable {
    /** How a layer is to be. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final int channels;
        // Written on a fresh copy only, before anybody else sees it.
        private double epsilon = 1e-5;
        private boolean scale = true;
        private boolean shift = true;
        private Activation activation = Activation.NONE;
        private RunningAverage runningAverage = RunningAverage.exponential(0.1);
        private RunningVariance runningVariance = RunningVariance.UNBIASED;
        private NonFinitePolicy nonFinite = NonFinitePolicy.PROPAGATE;
        private boolean accumulateGradients;

        private Builder(int channels) {
            if (channels < 1) {
                throw new IllegalArgumentException("channels must be at least 1, but given was " + channels);
            }
            this.channels = channels;
        }

        private Builder with(Consumer<Builder> change) {
            Builder copy = new Builder(channels);
            copy.epsilon = epsilon;
            copy.scale = scale;
            copy.shift = shift;
            copy.activation = activation;
            copy.runningAverage = runningAverage;
            copy.runningVariance = runningVariance;
            copy.nonFinite = nonFinite;
            copy.accumulateGradients = accumulateGradients;
            change.accept(copy);
            return copy;
        }

        /** ε, added to the variance inside the square root; 1e-5 unless said. */
        public Builder epsilon(double epsilon) {
            if (!(epsilon >= 0 && epsilon <= Float.MAX_VALUE)) {
                throw new IllegalArgumentException("epsilon must be finite and at least 0, but given was " + epsilon);
            }
            return with(copy -> copy.epsilon = epsilon);
        }

        /** Whether there is a γ; yes unless said. */
        public Builder scale(boolean scale) {
            return with(copy -> copy.scale = scale);
        }

        /** Whether there is a β; yes unless said. */
        public Builder shift(boolean shift) {
            return with(copy -> copy.shift = shift);
        }

        /** What is applied in the same pass; nothing unless said. */
        public Builder activation(Activation activation) {
            Objects.requireNonNull(activation, "activation");
            return with(copy -> copy.activation = activation);
        }

        /** How a batch enters the running statistics; {@code exponential(0.1)} unless said. */
        public Builder runningAverage(RunningAverage runningAverage) {
            Objects.requireNonNull(runningAverage, "runningAverage");
            return with(copy -> copy.runningAverage = runningAverage);
        }

        /** Which variance enters the running variance; the unbiased one unless said. */
        public Builder runningVariance(RunningVariance runningVariance) {
            Objects.requireNonNull(runningVariance, "runningVariance");
            return with(copy -> copy.runningVariance = runningVariance);
        }

        /** What NaN and infinite batch statistics do; they propagate unless said. */
        public Builder nonFinite(NonFinitePolicy nonFinite) {
            Objects.requireNonNull(nonFinite, "nonFinite");
            return with(copy -> copy.nonFinite = nonFinite);
        }

        /** Whether backward passes add to the gradients of γ and β; they overwrite unless said. */
        public Builder accumulateGradients(boolean accumulateGradients) {
            return with(copy -> copy.accumulateGradients = accumulateGradients);
        }

        /** A layer in training mode on a device, with γ = 1, β = 0, running mean 0 and running variance 1. */
        public BatchNorm build(Device device) {
            return new BatchNorm(this, Objects.requireNonNull(device, "device"));
        }
    }

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

    /** The running statistics and their count of batches by channel. */
    private record Running(Tensor mean, Tensor variance, Tensor absorbed, RunningStatistics operands)
            implements LayerState.Tracked {
        void reset() {
            mean.fill(0);
            variance.fill(1);
            absorbed.fill(0);
        }
    }

    private final Builder options;
    private final Device device;
    private final Parameter gamma;
    private final Parameter beta;
    private final Running running;
    private final SavedStatistics saved;
    private final Tensor savedMean;
    private final Tensor savedInvstd;
    /** All that the layer owns, which no output may overwrite. */
    private final Tensor[] own;

    private final Lease lease;

    private boolean training = true;
    private long batchesTracked;
    private Memo memo;
    /** Whether there is a forward pass to go back through, that of the memo. */
    private boolean forwarded;

    // The last passes, each used again as long as the operands stay the same.
    private ForwardTraining trainingPass;
    private ForwardInference inferencePass;
    private Backward backwardPass;

    private BatchNorm(Builder options, Device device) {
        this.options = options;
        this.device = device;
        Shape perChannel = Shape.of(options.channels);
        this.gamma = options.scale ? parameter("weight", perChannel) : null;
        this.beta = options.shift ? parameter("bias", perChannel) : null;
        this.running = options.runningAverage.isTracked() ? running(perChannel) : null;
        this.saved = device.backend().newSavedStatistics(options.channels);
        Tensor holder = Tensor.owning(
                device, perChannel, Layout.CHANNELS_FIRST, saved.mean().memory(), 0);
        this.savedMean = Tensor.over(holder, saved.mean(), perChannel);
        this.savedInvstd = Tensor.over(holder, saved.inverseStandardDeviation(), perChannel);
        List<Tensor> vectors = vectors();
        this.own = Stream.concat(vectors.stream(), Stream.of(savedMean, savedInvstd))
                .toArray(Tensor[]::new);
        this.lease = Lease.of(
                this,
                "batch normalization of " + options.channels + " channels",
                device.lease(),
                release(holder, saved, vectors));
        reset();
    }

    private static Runnable release(Tensor holder, SavedStatistics saved, List<Tensor> vectors) {
        return () -> {
            holder.close();
            saved.close();
            vectors.forEach(Tensor::close);
        };
    }

    private List<Tensor> vectors() {
        Stream<Tensor> statistics =
                running == null ? Stream.of() : Stream.of(running.mean, running.variance, running.absorbed);
        return Stream.concat(statistics, parameterStream().flatMap(p -> Stream.of(p.value(), p.gradient())))
                .toList();
    }

    private Parameter parameter(String name, Shape perChannel) {
        return new Parameter(
                name,
                device.allocate(perChannel, Layout.CHANNELS_FIRST),
                device.allocate(perChannel, Layout.CHANNELS_FIRST));
    }

    private Running running(Shape perChannel) {
        Tensor mean = device.allocate(perChannel, Layout.CHANNELS_FIRST);
        Tensor variance = device.allocate(perChannel, Layout.CHANNELS_FIRST);
        Tensor absorbed = device.allocate(perChannel, Layout.CHANNELS_FIRST);
        return new Running(
                mean,
                variance,
                absorbed,
                new RunningStatistics(
                        mean.operand(),
                        variance.operand(),
                        absorbed.operand(),
                        options.runningAverage,
                        options.runningVariance));
    }

    /**
     * A layer over so many channels, with the field's defaults; see the setters.
     *
     * @throws IllegalArgumentException for fewer than one
     */
    public static Builder builder(int channels) {
        return new Builder(channels);
    }

    /** The device it works on. */
    public Device device() {
        return device;
    }

    /** ε, added to the variance inside the square root. */
    public double epsilon() {
        return options.epsilon;
    }

    /** What is applied in the same pass. */
    public Activation activation() {
        return options.activation;
    }

    /** Normalizes with the statistics of each batch from now on. */
    public void train() {
        lease.check();
        training = true;
    }

    /** Normalizes with the running statistics from now on (with the batch's own where none are kept). */
    public void eval() {
        lease.check();
        training = false;
    }

    /** Whether it is in training mode. */
    public boolean isTraining() {
        return training;
    }

    /** Sets γ = 1, β = 0, their gradients 0, running mean 0, running variance 1, and no batch tracked. */
    public void reset() {
        lease.check();
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
        batchesTracked = 0;
        forget();
    }

    /** The last forward pass is no longer to be gone back through. */
    private void forget() {
        forwarded = false;
        trainingPass = null;
        inferencePass = null;
        backwardPass = null;
        if (memo != null) {
            memo.end();
            memo = null;
        }
    }

    /**
     * Normalizes.
     *
     * @param x of shape (N, C, spatial...)
     * @return y, of x's shape and layout; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or another device, and in training mode for a batch
     *     with one value per channel
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}
     */
    public Tensor forward(Tensor x) {
        checkInput(x);
        Tensor y = device.allocate(x.shape(), x.layout());
        try {
            forward(x, y);
        } catch (RuntimeException e) {
            y.close();
            throw e;
        }
        return y;
    }

    /** Normalizes x into y; see {@link #forward(Tensor)} and the class comment on in-place use. */
    public void forward(Tensor x, Tensor y) {
        forward(x, null, y);
    }

    /**
     * Normalizes x, adds the residual, applies the activation, all in one pass, into y.
     *
     * @param residual of x's shape and layout, or null for none
     */
    public void forward(Tensor x, Tensor residual, Tensor y) {
        checkInput(x);
        like("y", y, "x", x);
        boolean batchStatistics = training || running == null;
        noOverlap("y", y, "x", x, !batchStatistics);
        if (residual != null) {
            like("residual", residual, "x", x);
            noOverlap("y", y, "residual", residual, true);
        }
        refuseOwn("y", y);

        Shape shape = x.shape();
        if (batchStatistics && shape.batch() * shape.spatial() == 1) {
            throw new IllegalArgumentException("Batch statistics need more than one value per channel, but x has shape "
                    + shape + "; use eval() to normalize with running statistics");
        }
        if (memo != null && !memo.isOf(!batchStatistics, residual != null, x, y)) {
            forget();
        }
        forwarded = false;
        if (shape.elements() > 0) {
            if (batchStatistics) {
                normalizeWithBatchStatistics(x, residual, y);
            } else {
                inferencePass = inference(inferencePass, x, operandOf(residual), y.operand());
                device.backend().forward(inferencePass);
            }
        }
        if (memo == null) {
            memo = new Memo(!batchStatistics, residual != null, x, y);
        }
        memo.begin();
        forwarded = true;
    }

    private void normalizeWithBatchStatistics(Tensor x, Tensor residual, Tensor y) {
        boolean update = training && running != null;
        trainingPass = training(trainingPass, x, operandOf(residual), y.operand(), update ? running.operands : null);
        device.backend().forward(trainingPass);
        if (update) {
            batchesTracked++;
        }
    }

    /**
     * The last pass, if it has these operands, or a new one. An operand is a tensor's own, so that its identity is the
     * tensor's; asking for it checks that the tensor is open.
     */
    private ForwardTraining training(
            ForwardTraining last, Tensor x, Operand residual, Operand y, RunningStatistics update) {
        return last != null
                        && last.x() == x.operand()
                        && last.residual() == residual
                        && last.y() == y
                        && last.gamma() == valueOf(gamma)
                        && last.beta() == valueOf(beta)
                        && last.running() == update
                ? last
                : new ForwardTraining(
                        x.shape(),
                        x.layout(),
                        x.operand(),
                        residual,
                        y,
                        options.activation,
                        valueOf(gamma),
                        valueOf(beta),
                        options.epsilon,
                        saved,
                        update,
                        options.nonFinite);
    }

    private ForwardInference inference(ForwardInference last, Tensor x, Operand residual, Operand y) {
        return last != null
                        && last.x() == x.operand()
                        && last.residual() == residual
                        && last.y() == y
                        && last.gamma() == valueOf(gamma)
                        && last.beta() == valueOf(beta)
                        && last.mean() == running.mean.operand()
                        && last.variance() == running.variance.operand()
                ? last
                : new ForwardInference(
                        x.shape(),
                        x.layout(),
                        x.operand(),
                        residual,
                        y,
                        options.activation,
                        valueOf(gamma),
                        valueOf(beta),
                        options.epsilon,
                        running.mean.operand(),
                        running.variance.operand(),
                        saved);
    }

    private Backward gradient(Backward last, Tensor dy, Operand y, Operand dx, Operand dresidual) {
        return last != null
                        && last.frozen() == memo.frozen
                        && last.dy() == dy.operand()
                        && last.x() == memo.x.operand()
                        && last.y() == y
                        && last.dx() == dx
                        && last.dresidual() == dresidual
                        && last.dgamma() == gradientOf(gamma)
                        && last.dbeta() == gradientOf(beta)
                ? last
                : new Backward(
                        dy.shape(),
                        dy.layout(),
                        memo.frozen,
                        dy.operand(),
                        memo.x.operand(),
                        y,
                        options.activation,
                        saved,
                        dx,
                        dresidual,
                        gradientOf(gamma),
                        gradientOf(beta),
                        options.accumulateGradients);
    }

    /**
     * The gradients of the last forward pass: sets (or adds to) those of γ and β, and returns that of x.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return dx, of the same shape and layout; the caller closes it
     * @throws IllegalStateException without a forward pass, or when x was written since
     */
    public Tensor backward(Tensor dy) {
        checkGradient(dy);
        Tensor dx = device.allocate(dy.shape(), dy.layout());
        try {
            backward(dy, dx);
        } catch (RuntimeException e) {
            dx.close();
            throw e;
        }
        return dx;
    }

    /** Writes the gradient of x into dx; see {@link #backward(Tensor)}. */
    public void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Writes the gradients of x and of the residual.
     *
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     */
    public void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        checkGradient(dy);
        like("dx", dx, "dy", dy);
        noOverlap("dx", dx, "dy", dy, true);
        noOverlap("dx", dx, "x", memo.x, false);
        refuseOwn("dx", dx);
        boolean needsY = memo.residual && options.activation != Activation.NONE;
        if (needsY) {
            noOverlap("dx", dx, "y", memo.y, false);
        }
        if (dresidual != null) {
            if (!memo.residual) {
                throw new IllegalArgumentException("dresidual was given, but the last forward pass had no residual");
            }
            like("dresidual", dresidual, "dy", dy);
            noOverlap("dresidual", dresidual, "dy", dy, true);
            noOverlap("dresidual", dresidual, "dx", dx, false);
            noOverlap("dresidual", dresidual, "x", memo.x, false);
            if (needsY) {
                noOverlap("dresidual", dresidual, "y", memo.y, false);
            }
            refuseOwn("dresidual", dresidual);
        }
        if (dy.shape().elements() > 0) {
            Operand y = needsY ? memo.y.operand() : null;
            backwardPass = gradient(backwardPass, dy, y, dx.operand(), operandOf(dresidual));
            device.backend().backward(backwardPass);
        } else if (!options.accumulateGradients) {
            parameters().forEach(Parameter::zeroGradient);
        }
        dx.touch();
        if (dresidual != null) {
            dresidual.touch();
        }
    }

    /** γ, PyTorch's {@code weight}, if the layer has it. */
    public Optional<Parameter> gamma() {
        lease.check();
        return Optional.ofNullable(gamma);
    }

    /** β, PyTorch's {@code bias}, if the layer has it. */
    public Optional<Parameter> beta() {
        lease.check();
        return Optional.ofNullable(beta);
    }

    /** What an optimizer updates: γ and β, those that there are. */
    public List<Parameter> parameters() {
        lease.check();
        return parameterStream().toList();
    }

    private Stream<Parameter> parameterStream() {
        return Stream.of(Optional.ofNullable(gamma), Optional.ofNullable(beta)).flatMap(Optional::stream);
    }

    /** The running mean, of shape (C), if one is kept. */
    public Optional<Tensor> runningMean() {
        lease.check();
        return Optional.ofNullable(running).map(Running::mean);
    }

    /** The running variance, of shape (C), if one is kept. */
    public Optional<Tensor> runningVariance() {
        lease.check();
        return Optional.ofNullable(running).map(Running::variance);
    }

    /** How many batches the running statistics have seen: PyTorch's {@code num_batches_tracked}. */
    public long batchesTracked() {
        return batchesTracked;
    }

    /**
     * γ, β, the running statistics and the number of batches in them, those that there are: {@code weight}, {@code
     * bias}, {@code running_mean}, {@code running_var} and {@code num_batches_tracked}. Waits for the device.
     */
    public StateDict stateDict() {
        return state().save();
    }

    /**
     * Sets what {@link #stateDict} gives, by name. The state of a layer with the same options gives its outputs, bit for
     * bit. With {@code num_batches_tracked}, every channel's running statistics count as of that many batches (also a
     * channel that sat some out, under {@link NonFinitePolicy#SKIP_RUNNING_UPDATE}); without, counts stay as they are.
     * Arrays may be of any floating-point type; float64 is rounded to float32. Gradients stay, and {@link #backward}
     * needs another forward pass.
     *
     * @throws IllegalArgumentException when a name is missing or unexpected, or an array has another shape or type; the
     *     message lists all that is wrong, and nothing was changed
     */
    public void loadState(StateDict state) {
        load(state, true);
    }

    /**
     * The same for the names that the layer and the state have in common.
     *
     * @return the names that they do not
     * @throws IllegalArgumentException when an array has another shape or type; nothing was changed
     */
    public StateDict.Difference loadStateLeniently(StateDict state) {
        return load(state, false);
    }

    private StateDict.Difference load(StateDict state, boolean strict) {
        LayerState.Loading loading = state().check(state, strict);
        forget();
        batchesTracked = loading.upload();
        return loading.difference();
    }

    private LayerState state() {
        return new LayerState(parameters(), running, batchesTracked);
    }

    /** The mean that the last forward pass over a non-empty batch used, of shape (C). The next one overwrites it. */
    public Tensor savedMean() {
        lease.check();
        return savedMean;
    }

    /** 1/√(variance + ε) as the last forward pass over a non-empty batch used it, of shape (C). */
    public Tensor savedInverseStandardDeviation() {
        lease.check();
        return savedInvstd;
    }

    /** Closes the parameters and statistics too. Closing twice is harmless. */
    @Override
    public void close() {
        lease.close();
        forget();
    }

    private void checkInput(Tensor x) {
        lease.check();
        onDevice("x", x, device);
        int rank = x.shape().rank();
        if (rank < 2 || rank > 5 || x.shape().channels() != options.channels) {
            throw new IllegalArgumentException(
                    "x must have shape (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) with C = " + options.channels
                            + ", but given was " + x.shape());
        }
    }

    private void checkGradient(Tensor dy) {
        lease.check();
        if (!forwarded) {
            throw new IllegalStateException("backward needs a forward pass before it");
        }
        unchanged("x", memo.x, memo.xWatch);
        if (memo.residual && options.activation != Activation.NONE) {
            unchanged("y", memo.y, memo.yWatch);
        }
        like("dy", dy, "x", memo.x);
    }

    private void refuseOwn(String name, Tensor output) {
        for (Tensor mine : own) {
            noOverlap(name, output, "the layer's own parameters and statistics", mine, false);
        }
    }

    private static Operand operandOf(Tensor tensor) {
        return tensor == null ? null : tensor.operand();
    }

    private static Operand valueOf(Parameter parameter) {
        return parameter == null ? null : parameter.value().operand();
    }

    private static Operand gradientOf(Parameter parameter) {
        return parameter == null ? null : parameter.gradient().operand();
    }
}
