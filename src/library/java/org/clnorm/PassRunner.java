package org.clnorm;

import static org.clnorm.TensorChecks.onDevice;

import java.util.Arrays;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * A layer's passes: it checks their arguments, has the backend do them, and keeps what a forward pass leaves in the
 * state that it is told. Used by whoever is in the layer.
 */
final class PassRunner {
    /** The normalization by given statistics, with γ and β per sample. */
    static final Normalization CONDITIONAL =
            new Normalization(Grouping.batch(), Normalization.Statistic.CENTERED, true, null);

    private final Normalizer layer;
    private final Device device;
    private final Options options;
    private final Belongings own;
    private final Parameter gamma;
    private final Parameter beta;
    private final Running running;
    private final InPlace inPlace = new InPlace();
    private final Operands none = new Operands();
    // Of the call that is in, and as they were since the last of its kind: a steady step finds them as it needs them.
    private final Arguments ofForward = new Arguments();
    private final Arguments ofBackward = new Arguments();
    private final Operands forForward = new Operands();
    private final Operands forBackward = new Operands();
    private final Operands forReduce = new Operands();

    /** Which statistics normalize; see {@link Normalizer#train}. */
    boolean training = true;
    /** The weight of the batch's own statistics in evaluation; 0 unless adapted. */
    double batchWeight;
    /**
     * The observer of the moments of every forward pass's batch, if there is one; none enter the running statistics
     * then.
     */
    Consumer<ChannelMoments> observer;

    /** Which steps of the next batches take part; null for all. */
    Mask mask;

    PassRunner(Normalizer layer) {
        this.layer = layer;
        this.device = layer.device();
        this.options = layer.options();
        this.own = layer.own();
        this.gamma = layer.gamma().orElse(null);
        this.beta = layer.beta().orElse(null);
        this.running = layer.running();
    }

    /** Refuses an x that is not on the device, or of a shape that the layer is not for. */
    void checkInput(Tensor x) {
        onDevice("x", x, device);
        x.check("x", Memory.Access.INPUT);
        layer.checkShape(x);
    }

    /**
     * A forward pass.
     *
     * @param to where it leaves what its backward pass needs; null for a state that is taken for it
     * @param counts whether the batch may enter the running statistics
     * @return where it left that
     */
    ForwardState forward(
            ForwardState to, Tensor x, Tensor residual, Tensor y, Besides.Forward besides, boolean counts) {
        checkInput(x);
        if (mask != null || besides.sum() != null) {
            layer.checkExtras(x);
        }
        SampleAffine affine = besides.affine();
        ChannelMoments given = besides.given();
        Tensor normalized = besides.sum() == null ? x : besides.sum();
        boolean evaluates = !training && running != null;
        boolean frozen = evaluates || training && layer.trainsByRunning(x.shape());
        boolean perSample = affine != null;
        ofForward
                .put(Role.X, normalized)
                .put(Role.ADDEND, besides.sum() == null ? null : x)
                .put(Role.RESIDUAL, residual)
                .put(Role.Y, Objects.requireNonNull(y, "y"))
                .put(Role.GAMMA, perSample ? affine.gamma() : null)
                .put(Role.BETA, perSample ? affine.beta() : null);
        boolean adds = besides.sum() != null;
        boolean overX = !adds
                && !evaluates
                && x.isSamePlaceAs(y)
                && checkMayBeX(x, y, residual, perSample || given != null || mask != null);
        Arguments.Rule[] rules =
                adds ? Arguments.FORWARD_ADDED : evaluates || overX ? Arguments.FORWARD_OVER_X : Arguments.FORWARD;
        ofForward.check(rules, false, own);
        if (evaluates && batchWeight > 0 && perSample) {
            throw new IllegalStateException(
                    "Evaluation that adapts to the batch takes no gamma and beta per sample; use eval()");
        }
        if (mask != null) {
            mask.check(x, layer.rowsOf(x));
        }
        if (!frozen && given == null) {
            layer.checkCount(x.shape(), mask);
        }
        if (overX) {
            inPlace.check(gamma);
        }
        Consumer<ChannelMoments> sees = observer;
        if (sees != null) {
            sees.accept(given == null ? moments(x).get() : given);
        }

        Normalization now = frozen || given != null
                ? perSample ? CONDITIONAL : Normalization.BATCH
                : layer.normalization(x.shape(), x.layout(), perSample);
        ForwardState into = to == null ? own.take(now, x.shape(), x.layout()) : to;
        try {
            boolean any = given == null ? x.shape().elements() > 0 : given.count() > 0;
            Room room = any ? own.roomFor(into, now, x.shape(), x.layout()) : null;
            into.restart();
            into.combined = given;
            into.normalization = now;
            into.hasStatistics = any;
            into.frozen = frozen;
            into.inPlace = overX;
            into.hasResidual = residual != null && !adds;
            into.hadGamma = perSample && affine.gamma() != null;
            into.hadBeta = perSample && affine.beta() != null;
            if (room != null) {
                into.settle(room);
                run(into, x, given, counts);
            }
            if (adds) {
                normalized.touch();
            }
            if (!overX) {
                into.x.begin(normalized);
            }
            into.keep(mask);
            if (needsResidual(into)) {
                into.residual.begin(residual);
            } else {
                into.residual.end();
            }
            y.touch();
            into.y.begin(y); // which may take x's place or the residual's, whose watch sees it
            if (overX) {
                into.x.begin(y);
            }
            if (now.grouping().affineByElement()) {
                watch(into.gamma, gamma);
                watch(into.beta, beta);
            }
            into.isForwarded = true;
        } catch (RuntimeException e) {
            if (to == null) {
                own.giveBack(into);
            }
            throw e;
        }
        return into;
    }

    /**
     * Refuses a y that is x where the backward pass could not do without x.
     *
     * @param more whether there is a mask, or γ and β per sample, or moments of several parts
     */
    private boolean checkMayBeX(Tensor x, Tensor y, Tensor residual, boolean more) {
        if (!options.inPlace || residual != null || more) {
            throw new IllegalArgumentException("y may not share memory with x in training"
                    + (options.inPlace
                            ? " where there is a residual, a mask, gamma and beta per sample or moments of several parts"
                            : ", unless the layer is built with BatchNorm.Builder.inPlace")
                    + ", but given were " + y + " and " + x);
        }
        return true;
    }

    /** Does a forward pass over elements. */
    private void run(ForwardState into, Tensor x, ChannelMoments given, boolean counts) {
        boolean adapted = !training && into.frozen && batchWeight > 0 && perChannel(x, mask) > 0;
        ChannelMoments by = adapted ? mixed(moments(x).get()) : given;
        ofForward.putTo(forForward, Arguments.FORWARD);
        forForward.put(Role.ADDEND, ofForward.operand(Role.ADDEND));
        if (!into.normalization.perSample()) {
            forForward.put(Role.GAMMA, valueOf(gamma)).put(Role.BETA, valueOf(beta));
        }
        boolean isGiven = into.frozen && !adapted;
        putMask(forForward, mask, into);
        putGiven(isGiven);
        if (isGiven) {
            Running.putNone(forForward);
            prepared(PassKind.INFERENCE, into.normalization, x, forForward).run(forForward, into.coefficients());
        } else {
            normalize(into.normalization, x, by, into.coefficients(), counts);
        }
        if (into.inPlace) {
            prepared(PassKind.INVERSION, into.normalization, x, none).run(none, into.coefficients());
        }
    }

    /** Makes the running statistics operands that a pass normalizes by, or not. */
    private void putGiven(boolean isGiven) {
        forForward
                .put(Role.MEAN, isGiven ? running.mean.operand() : null)
                .put(Role.VARIANCE, isGiven ? running.variance.operand() : null);
    }

    private static void watch(Watch watch, Parameter parameter) {
        if (parameter != null) {
            watch.begin(parameter.value());
        }
    }

    /** Normalizes by the statistics of x, or by given moments. */
    private void normalize(Normalization now, Tensor x, ChannelMoments by, Coefficients coefficients, boolean counts) {
        boolean update = counts && training && observer == null && running != null && running.isTracking();
        if (update) {
            running.putTo(forForward);
        } else {
            Running.putNone(forForward);
            putGiven(now.grouping().givenSamples(x.shape()) > 0);
        }
        forForward.absorbed(false);
        try {
            if (by == null) {
                prepared(PassKind.TRAINING, now, x, forForward).run(forForward, coefficients);
            } else {
                if (training && options.nonFinite == NonFinitePolicy.THROW) {
                    checkFinite(by);
                }
                coefficients.writeMoments(by, update ? options.runningVariance : RunningVariance.BIASED);
                prepared(PassKind.COMBINED, Normalization.BATCH, x, forForward).run(forForward, coefficients);
            }
        } finally {
            if (forForward.areAbsorbed()) {
                running.count();
            }
        }
    }

    /** Which steps take part, and of rows not how many, since a row has its elements. */
    private static void putMask(Operands operands, Mask mask, ForwardState of) {
        Grouping grouping = of.normalization.grouping();
        boolean counted = mask != null && !(grouping instanceof Grouping.Rows);
        operands.put(Role.VALID, mask == null ? null : mask.states().operand())
                .put(Role.COUNTS, counted ? mask.counts(grouping instanceof Grouping.Channels && !of.frozen) : null);
    }

    /** The pass of a kind over tensors like x and the operands. */
    private PreparedPass prepared(PassKind kind, Normalization normalization, Tensor x, Operands operands) {
        return own.passes().get(kind, normalization, x.shape(), x.layout(), operands);
    }

    /** Refuses moments that are not finite as float32, in which statistics are kept. */
    static void checkFinite(ChannelMoments moments) {
        double[] mean = moments.mean();
        double[] variance = moments.variance(RunningVariance.BIASED);
        for (int c = 0; c < mean.length; c++) {
            if (!(Float.isFinite((float) mean[c]) && Float.isFinite((float) variance[c]))) {
                throw new NonFiniteException(c, mean[c], variance[c]);
            }
        }
    }

    /** The running statistics with a batch's mixed in at its weight; the variances are averaged as the means are. */
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

    /** The moments of each channel of x, which was checked before; what is returned waits for them. */
    Supplier<ChannelMoments> moments(Tensor x) {
        int channels = Math.toIntExact(x.shape().channels());
        if (x.shape().elements() == 0) {
            return () -> ChannelMoments.empty(channels);
        }
        Coefficients scratch = own.scratch(channels);
        if (mask != null) {
            mask.check(x, layer.rowsOf(x));
        }
        forReduce
                .clear()
                .put(Role.X, x.operand())
                .put(Role.VALID, mask == null ? null : mask.states().operand());
        prepared(PassKind.MOMENTS, Normalization.BATCH, x, forReduce).run(forReduce, scratch);
        return scratch.readMoments(perChannel(x, mask));
    }

    /** How many values each channel of x has that take part. */
    static long perChannel(Tensor x, Mask mask) {
        return mask == null ? x.shape().batch() * x.shape().spatial() : mask.count();
    }

    /** The sums Σdy' and Σdy'·(x − mean) of each channel, for a forward pass that was given moments; likewise. */
    Supplier<GradientSums> sums(ForwardState of, Tensor dy) {
        checkForwarded(of);
        putBackward(of, dy, null, null, Besides.Backward.NOTHING);
        ofBackward.check(Arguments.BACKWARD, false, own);
        checkCombined(of, "gradientSums", true);
        of.forgetSums();
        Supplier<GradientSums> sums;
        if (dy.shape().elements() == 0) {
            GradientSums none = GradientSums.empty(of.combined.channels());
            sums = () -> none;
        } else {
            ofBackward.putTo(forReduce, Arguments.BACKWARD);
            putMask(forReduce, of.mask(), of);
            prepared(PassKind.SUMS, Normalization.BATCH, dy, forReduce).run(forReduce, of.coefficients());
            sums = of.coefficients().readSums(perChannel(dy, of.mask()));
        }
        of.summed.begin(dy);
        of.sums = sums;
        return sums;
    }

    private void putBackward(ForwardState of, Tensor dy, Tensor dx, Tensor dresidual, Besides.Backward besides) {
        SampleAffine gradients = besides.gradients();
        ofBackward
                .put(Role.X, of.x.tensor())
                .put(Role.Y, needsY(of) ? of.y.tensor() : needsResidual(of) ? of.residual.tensor() : null)
                .put(Role.DY, Objects.requireNonNull(dy, "dy"))
                .put(Role.PAST, besides.past())
                .put(Role.DX, dx)
                .put(Role.DRESIDUAL, dresidual)
                .put(Role.DGAMMA, gradients == null ? null : gradients.gamma())
                .put(Role.DBETA, gradients == null ? null : gradients.beta());
    }

    /** Whether the activation's derivative is had from y, and not from x. */
    private boolean needsY(ForwardState of) {
        return of.hasResidual && isActivated() && options.activation.kind().isByOutput();
    }

    /** Whether it is had from x and the residual, which is in y's place then. */
    private boolean needsResidual(ForwardState of) {
        return of.hasResidual && !options.activation.kind().isByOutput();
    }

    private boolean isActivated() {
        return options.activation.kind() != Activation.Kind.NONE;
    }

    /** A backward pass; of a forward pass with γ and β per sample, their gradients are as wanted. */
    void backward(ForwardState of, Tensor dy, Tensor dx, Tensor dresidual, Besides.Backward besides) {
        checkForwarded(of);
        Objects.requireNonNull(dx, "dx");
        putBackward(of, dy, dx, dresidual, besides);
        Tensor dgamma = ofBackward.get(Role.DGAMMA);
        Tensor dbeta = ofBackward.get(Role.DBETA);
        GradientSums all = besides.all();
        checkCombined(of, all == null ? "backward" : "backwardCombined", all != null);
        checkHad("dresidual", dresidual, of.hasResidual, "had no residual");
        checkHad("A gradient of gamma", dgamma, of.hadGamma, "had none per sample to be the gradient of");
        checkHad("A gradient of beta", dbeta, of.hadBeta, "had none per sample to be the gradient of");
        ofBackward.check(Arguments.BACKWARD, options.accumulateGradients, own);
        if (all != null) {
            checkSums(of, dy, all);
        }
        if (of.wentBack && !of.isRetained) {
            throw new IllegalStateException(
                    of == own.last()
                            ? "The last forward pass was gone back through already: call forward before another backward,"
                                    + " or retainForward after it to go back through it more than once"
                            : "This forward pass was gone back through already: record another, or retain it to go back"
                                    + " through it more than once");
        }

        if (dy.shape().elements() > 0) {
            ofBackward.putTo(forBackward, Arguments.BACKWARD);
            if (!of.normalization.perSample()) {
                forBackward.put(Role.DGAMMA, gradientOf(gamma)).put(Role.DBETA, gradientOf(beta));
            }
            boolean byElement = of.normalization.grouping().affineByElement();
            putMask(forBackward, of.mask(), of);
            forBackward
                    .put(Role.GAMMA, byElement ? valueOf(gamma) : null)
                    .put(Role.BETA, byElement ? valueOf(beta) : null);
            PassKind kind =
                    of.frozen ? PassKind.FROZEN_BACKWARD : of.inPlace ? PassKind.BACKWARD_IN_PLACE : PassKind.BACKWARD;
            if (all != null) {
                of.coefficients().writeSums(of.sums.get(), all);
                kind = PassKind.COMBINED_BACKWARD;
            }
            prepared(kind, of.normalization, dy, forBackward).run(forBackward, of.coefficients());
        } else if (!options.accumulateGradients) {
            zeroGradients(of, dgamma, dbeta);
        }
        of.wentBack = true;
        ofBackward.touchOutputs(Arguments.BACKWARD);
    }

    /** Goes back through a forward pass, with a dx that the caller closes. */
    Tensor backward(ForwardState of, Tensor dy) {
        checkForwarded(of);
        TensorChecks.like("dy", dy, "x", of.x.tensor());
        Tensor dx = device.allocate(dy.shape(), dy.layout(), of.x.tensor().type());
        try {
            backward(of, dy, dx, null, Besides.Backward.NOTHING);
        } catch (RuntimeException e) {
            dx.close();
            throw e;
        }
        return dx;
    }

    /** Refuses where there is no forward pass, or where what it read has changed. */
    private void checkForwarded(ForwardState of) {
        if (!of.isForwarded) {
            throw new IllegalStateException("backward needs a forward pass before it");
        }
        TensorChecks.unchanged(of.inPlace ? "y" : "x", of.x);
        TensorChecks.unchanged("mask", of.states);
        if (needsY(of)) {
            TensorChecks.unchanged("y", of.y);
        }
        if (needsResidual(of)) {
            TensorChecks.unchanged("residual", of.residual);
        }
        if (of.normalization.grouping().affineByElement()) {
            TensorChecks.unchanged("gamma", of.gamma);
            TensorChecks.unchanged("beta", of.beta);
        }
    }

    private static void checkHad(String name, Tensor given, boolean had, String what) {
        if (given != null && !had) {
            throw new IllegalArgumentException(name + " was given, but the last forward pass " + what);
        }
    }

    private static void checkCombined(ForwardState of, String what, boolean wanted) {
        if ((of.combined != null) != wanted) {
            throw new IllegalStateException(
                    wanted
                            ? what
                                    + " is of a forwardCombined, but the last forward pass was with statistics of its own"
                            : what + " is of a forward pass with statistics of its own, but the last one was"
                                    + " forwardCombined, which takes gradientSums and backwardCombined");
        }
    }

    private static void checkSums(ForwardState of, Tensor dy, GradientSums all) {
        if (of.summed.tensor() != dy || of.summed.isWritten()) {
            throw new IllegalStateException("backwardCombined needs gradientSums of the same dy before it, but "
                    + (of.summed.tensor() == null
                            ? "there were none since the forward pass"
                            : of.summed.tensor() != dy
                                    ? "the last ones were of another tensor"
                                    : "dy was written since"));
        }
        ChannelMoments moments = of.combined;
        if (all.channels() != moments.channels() || all.count() != moments.count()) {
            throw new IllegalArgumentException("The sums must be of all parts that the forward pass's moments are of, "
                    + moments.count() + " values in each of " + moments.channels() + " channels, but given were "
                    + all.count() + " in " + all.channels());
        }
    }

    /** Sets the gradients by a batch of no elements. */
    private void zeroGradients(ForwardState of, Tensor dgamma, Tensor dbeta) {
        if (!of.normalization.perSample()) {
            layer.parameters().stream()
                    .filter(parameter -> !parameter.isFrozen())
                    .forEach(Parameter::zeroGradient);
        }
        if (dgamma != null) {
            dgamma.fill(0);
        }
        if (dbeta != null) {
            dbeta.fill(0);
        }
    }

    private static Operand valueOf(Parameter parameter) {
        return parameter == null ? null : parameter.value().operand();
    }

    private static Operand gradientOf(Parameter parameter) {
        return parameter == null || parameter.isFrozen()
                ? null
                : parameter.gradient().operand();
    }
}
