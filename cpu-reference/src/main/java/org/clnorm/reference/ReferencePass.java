package org.clnorm.reference;

import java.util.Arrays;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.InvertForward;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceCoefficients.Applied;
import org.clnorm.reference.ReferenceCoefficients.CombinedMoments;
import org.clnorm.reference.ReferenceCoefficients.CombinedSums;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * A pass of the CPU reference. What it makes ready is where each element belongs; that is plain memory, so that closing
 * has nothing to free.
 */
final class ReferencePass implements PreparedPass {
    private final ReferenceBackend backend;
    private final PassSpec spec;
    private ReferenceNormalization normalization;
    /** Which steps of this run take part; null for all. */
    private StepMask mask;

    ReferencePass(ReferenceBackend backend, PassSpec spec) {
        this.backend = backend;
        this.spec = spec;
        normalization = normalization(spec, null);
    }

    private static ReferenceNormalization normalization(PassSpec spec, StepMask mask) {
        Shape shape = spec.shape();
        Layout layout = spec.layout();
        if (spec instanceof ForwardTraining pass) {
            return new ReferenceNormalization(pass.normalization(), shape, layout, mask);
        }
        if (spec instanceof ForwardInference pass) {
            return ReferenceNormalization.ofGivenStatistics(pass.normalization(), shape, layout, mask);
        }
        if (spec instanceof Backward pass) {
            return pass.frozen()
                    ? ReferenceNormalization.ofGivenStatistics(pass.normalization(), shape, layout, mask)
                    : new ReferenceNormalization(pass.normalization(), shape, layout, mask);
        }
        return new ReferenceNormalization(Normalization.BATCH, shape, layout, mask);
    }

    @Override
    public void run(Operands operands, Coefficients coefficients) {
        synchronized (backend) {
            ReferenceCoefficients kept = backend.own(coefficients);
            operands.checkAre(spec.operands());
            if (spec.operands().has(Role.VALID)) { // which may say something else each time
                mask = mask(operands);
                normalization = normalization(spec, mask);
            }
            if (spec instanceof ForwardTraining pass) {
                forward(pass, operands, kept);
            } else if (spec instanceof ForwardInference pass) {
                forward(pass, operands, kept);
            } else if (spec instanceof ForwardCombined pass) {
                forward(pass, operands, kept);
            } else if (spec instanceof Backward pass) {
                backward(pass, operands, kept);
            } else if (spec instanceof BackwardCombined pass) {
                backward(pass, operands, kept);
            } else if (spec instanceof ReduceBackward pass) {
                kept.keep(sums(pass, operands, kept.applied()));
            } else if (spec instanceof ReduceForward) {
                kept.keep(moments(operands));
            } else if (spec instanceof InvertForward) {
                kept.invert();
            } else {
                throw new IllegalStateException("There is no such pass here: " + spec);
            }
        }
    }

    private StepMask mask(Operands operands) {
        Grouping grouping = spec instanceof ForwardTraining forward
                ? forward.normalization().grouping()
                : spec instanceof Backward backward ? backward.normalization().grouping() : Grouping.batch();
        long steps = grouping instanceof Grouping.Rows
                ? grouping.groups(spec.shape(), spec.layout())
                : spec.shape().batch() * spec.shape().spatial();
        return new StepMask(backend.load(operands.get(Role.VALID), steps), grouping, spec.shape(), spec.layout());
    }

    private void forward(ForwardTraining pass, Operands operands, ReferenceCoefficients kept) {
        double[] addend = load(operands, Role.ADDEND);
        double[] added = load(operands, Role.RESIDUAL);
        if (addend != null) { // What is normalized is the sum as it is stored.
            Arrays.setAll(addend, i -> addend[i] + added[i]);
            store(addend, operands, Role.X);
        }
        double[] residual = addend == null ? added : null;
        double[] x = load(operands, Role.X);
        RunningUpdate update = pass.running();
        Running running = update == null ? null : loadRunning(operands);
        Statistics own = normalization.statistics(x, pass.epsilon(), running);
        normalization.checkFinite(pass.policy(), own);
        Running updated = update == null
                ? null
                : normalization.updateRunning(running, own, update.average(), update.estimate(), pass.policy());
        Applied used = applied(withGiven(own, updated, pass.epsilon(), operands), operands);
        double[] y = normalize(x, residual, pass.activation(), used);
        if (update != null) {
            storeRunning(updated, operands);
        }
        kept.keep(used);
        storeWhereValid(y, operands, Role.Y);
    }

    /** With those that are given to samples at the end: the updated ones, as they are stored, or operands. */
    private Statistics withGiven(Statistics own, Running updated, double epsilon, Operands operands) {
        if (!normalization.hasGiven()) {
            return own;
        }
        return updated == null
                ? normalization.withGiven(own, load(operands, Role.MEAN), load(operands, Role.VARIANCE), epsilon)
                : normalization.withGiven(own, stored(updated.mean()), stored(updated.variance()), epsilon);
    }

    private static double[] stored(double[] values) {
        return Arrays.stream(values).map(value -> (float) value).toArray();
    }

    private void forward(ForwardInference pass, Operands operands, ReferenceCoefficients kept) {
        double[] invstd = ReferenceBatchNorm.inverseStandardDeviation(load(operands, Role.VARIANCE), pass.epsilon());
        Applied used = applied(normalization.given(load(operands, Role.MEAN), invstd), operands);
        double[] y = normalize(load(operands, Role.X), load(operands, Role.RESIDUAL), pass.activation(), used);
        kept.keep(used);
        storeWhereValid(y, operands, Role.Y);
    }

    private void forward(ForwardCombined pass, Operands operands, ReferenceCoefficients kept) {
        CombinedMoments combined = kept.combinedMoments();
        RunningUpdate update = pass.running();
        if (update != null && update.estimate() != combined.estimate()) {
            throw new IllegalArgumentException("The running variance takes the " + update.estimate()
                    + " estimate, but the moments were given for the " + combined.estimate() + " one");
        }
        ChannelMoments moments = combined.moments();
        double[] mean = moments.mean();
        double[] variance = moments.variance(RunningVariance.BIASED);
        double[] invstd = ReferenceBatchNorm.inverseStandardDeviation(variance, pass.epsilon());
        Applied used = applied(normalization.given(mean, invstd), operands);
        double[] y = normalize(load(operands, Role.X), load(operands, Role.RESIDUAL), pass.activation(), used);
        if (update != null) {
            storeRunning(
                    ReferenceBatchNorm.updateRunning(
                            loadRunning(operands),
                            mean,
                            variance,
                            moments.count(),
                            update.average(),
                            update.estimate(),
                            pass.policy()),
                    operands);
        }
        kept.keep(used);
        storeWhereValid(y, operands, Role.Y);
    }

    private void backward(Backward pass, Operands operands, ReferenceCoefficients kept) {
        Applied used = kept.applied();
        if (kept.isInverted() != pass.inPlace()) {
            throw new IllegalStateException("A backward pass in place comes after an inversion, and no other does, but "
                    + (pass.inPlace() ? "there was none" : "there was one"));
        }
        double[] x = load(operands, Role.X);
        double[] slopes = new double[x.length];
        Arrays.fill(slopes, 1);
        if (pass.inPlace()) {
            double[] y = x;
            Arrays.setAll(slopes, i -> ReferenceActivation.slopeAtOutput(pass.activation(), y[i]));
            x = normalization.undo(y, pass.activation(), used.gamma(), used.beta(), used.statistics());
        } else if (pass.activation().kind() != Activation.Kind.NONE) {
            slopes = slopes(x, pass.activation(), operands, used);
        }
        Gradients gradients =
                normalization.backward(load(operands, Role.DY), x, slopes, used.gamma(), used.statistics());
        double[] dgamma = accumulated(pass.accumulate(), gradients.dgamma(), operands, Role.DGAMMA);
        double[] dbeta = accumulated(pass.accumulate(), gradients.dbeta(), operands, Role.DBETA);
        double[] dx = gradients.dx();
        double[] past = load(operands, Role.PAST);
        if (past != null) {
            Arrays.setAll(dx, i -> dx[i] + past[i]);
        }
        storeWhereValid(dx, operands, Role.DX);
        storeWhereValid(gradients.dresidual(), operands, Role.DRESIDUAL);
        store(dgamma, operands, Role.DGAMMA);
        store(dbeta, operands, Role.DBETA);
    }

    private void backward(BackwardCombined pass, Operands operands, ReferenceCoefficients kept) {
        Applied used = kept.applied();
        CombinedSums sums = kept.combinedSums();
        double[] x = load(operands, Role.X);
        double[] masked = masked(x, pass.activation(), operands, used);
        double[] gamma = used.gamma();
        double[] mean = used.statistics().mean();
        double[] invstd = used.statistics().inverseStandardDeviation();
        double m = sums.all().count();
        double[] sum = sums.all().dy();
        double[] product = sums.all().dyx();
        double[] dx = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            int c = normalization.groupOf(i);
            double normalized = (x[i] - mean[c]) * invstd[c];
            double scale = gamma == null ? invstd[c] : gamma[c] * invstd[c];
            dx[i] = scale * (masked[i] - sum[c] / m - normalized * (product[c] * invstd[c]) / m);
        }
        double[] ownProduct = sums.own().dyx();
        Arrays.setAll(ownProduct, c -> ownProduct[c] * invstd[c]);
        double[] dgamma = accumulated(pass.accumulate(), ownProduct, operands, Role.DGAMMA);
        double[] dbeta = accumulated(pass.accumulate(), sums.own().dy(), operands, Role.DBETA);
        storeWhereValid(dx, operands, Role.DX);
        storeWhereValid(masked, operands, Role.DRESIDUAL);
        store(dgamma, operands, Role.DGAMMA);
        store(dbeta, operands, Role.DBETA);
    }

    private ChannelMoments moments(Operands operands) {
        Statistics statistics = normalization.statistics(load(operands, Role.X), 0, null);
        long count = valuesPerChannel();
        double[] squares =
                Arrays.stream(statistics.variance()).map(v -> v * count).toArray();
        return new ChannelMoments(count, statistics.mean(), squares);
    }

    private GradientSums sums(ReduceBackward pass, Operands operands, Applied used) {
        double[] x = load(operands, Role.X);
        double[] masked = masked(x, pass.activation(), operands, used);
        double[] mean = used.statistics().mean();
        double[] dy = new double[normalization.groups()];
        double[] dyx = new double[normalization.groups()];
        for (int i = 0; i < x.length; i++) {
            if (mask != null && !mask.takesPart(i)) {
                continue;
            }
            int c = normalization.groupOf(i);
            dy[c] += masked[i];
            dyx[c] += masked[i] * (x[i] - mean[c]);
        }
        return new GradientSums(valuesPerChannel(), dy, dyx);
    }

    private long valuesPerChannel() {
        return mask != null
                ? normalization.valuesOf(0)
                : spec.shape().batch() * spec.shape().spatial();
    }

    private Applied applied(Statistics statistics, Operands operands) {
        return new Applied(statistics, load(operands, Role.GAMMA), load(operands, Role.BETA));
    }

    private double[] normalize(double[] x, double[] residual, Activation activation, Applied used) {
        return normalization.normalize(x, residual, activation, used.gamma(), used.beta(), used.statistics());
    }

    /** The activation's derivatives: from y where it is given and tells them, else from v, which x gives again. */
    private double[] slopes(double[] x, Activation activation, Operands operands, Applied used) {
        double[] given = load(operands, Role.Y);
        double[] slopes = new double[x.length];
        if (given != null && activation.kind().isByOutput()) {
            Arrays.setAll(slopes, i -> ReferenceActivation.slopeAtOutput(activation, given[i]));
        } else {
            // What stands for y is the residual then.
            double[] v = normalize(x, given, Activation.NONE, used);
            Arrays.setAll(slopes, i -> ReferenceActivation.slope(activation, v[i]));
        }
        return slopes;
    }

    /** dy by the activation's derivative; 0 where that is. */
    private double[] masked(double[] x, Activation activation, Operands operands, Applied used) {
        double[] masked = load(operands, Role.DY);
        if (activation.kind() != Activation.Kind.NONE) {
            double[] slopes = slopes(x, activation, operands, used);
            Arrays.setAll(masked, i -> slopes[i] == 0 ? 0 : masked[i] * slopes[i]);
        }
        return masked;
    }

    private double[] accumulated(boolean accumulate, double[] gradient, Operands operands, Role role) {
        double[] sum = accumulate ? load(operands, role) : null;
        if (sum == null) {
            return gradient;
        }
        Arrays.setAll(sum, i -> sum[i] + gradient[i]);
        return sum;
    }

    private Running loadRunning(Operands from) {
        return new Running(load(from, Role.RUNNING_MEAN), load(from, Role.RUNNING_VARIANCE), load(from, Role.ABSORBED));
    }

    private void storeRunning(Running values, Operands to) {
        store(values.mean(), to, Role.RUNNING_MEAN);
        store(values.variance(), to, Role.RUNNING_VARIANCE);
        store(values.absorbed(), to, Role.ABSORBED);
        to.absorbed(true);
    }

    /** Null for an operand that was not given. */
    private double[] load(Operands from, Role role) {
        return backend.load(from.get(role), elements(role));
    }

    /** Does nothing for an operand that was not asked for. */
    private void store(double[] values, Operands to, Role role) {
        backend.store(values, to.get(role));
    }

    /** A tensor, whose steps that take no part are as the mask has them. */
    private void storeWhereValid(double[] values, Operands to, Role role) {
        if (mask != null && to.get(role) != null) {
            double[] past = role == Role.DX ? load(to, Role.PAST) : null;
            store(mask.written(values, load(to, role), past), to, role);
        } else {
            store(values, to, role);
        }
    }

    private long elements(Role role) {
        return switch (role) {
            case X, ADDEND, RESIDUAL, Y, DY, PAST, DX, DRESIDUAL -> normalization.elements();
            case GAMMA, BETA, DGAMMA, DBETA -> normalization.affineElements();
            case VALID, COUNTS -> throw new IllegalArgumentException(role + " is not loaded so");
            case MEAN, VARIANCE, RUNNING_MEAN, RUNNING_VARIANCE, ABSORBED ->
                spec.shape().channels();
        };
    }

    @Override
    public void close() {}
}
