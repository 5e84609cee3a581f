package org.clnorm.opencl;

import static org.clnorm.opencl.Launch.arguments;
import static org.clnorm.opencl.ReduceFoldApply.Direction.BACKWARD;
import static org.clnorm.opencl.ReduceFoldApply.Direction.FORWARD;

import java.util.List;
import org.clnorm.Activation;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.opencl.ReduceFoldApply.Steps;
import org.clnorm.view.View;

/** The passes of batch normalization: a group is a channel; the folds are those of fold.cl. */
final class BatchNormPasses {
    /** Forward with the batch's statistics. It leaves the running ones alone where the host looks at the batch's first. */
    static final PassKind<ForwardTraining> TRAINING = new PassKind<>(
            Pass.FORWARD,
            pass -> View.batch(pass.shape(), pass.layout()),
            FORWARD.tensors(),
            BatchNormPasses::alike,
            BatchNormPasses::place,
            BatchNormPasses::steps);

    /** The update of the running statistics alone, from what {@link #TRAINING} left. */
    static final PassKind<ForwardTraining> TRACKING = new PassKind<>(
            Pass.FORWARD,
            TRAINING.view(),
            List.of(),
            BatchNormPasses::alike,
            (pass, places) -> {
                coefficients(pass.saved(), places);
                running(pass.running(), places);
            },
            (pass, over) -> new Steps(over.foldEach("track", running(pass.running(), pass.policy(), over.view()))));

    /** Forward with given statistics. */
    static final PassKind<ForwardInference> INFERENCE = new PassKind<>(
            Pass.INFERENCE,
            pass -> View.batch(pass.shape(), pass.layout()),
            FORWARD.tensors(),
            BatchNormPasses::alike,
            BatchNormPasses::place,
            BatchNormPasses::steps);

    /** Backward, of either. */
    static final PassKind<Backward> GRADIENT = new PassKind<>(
            Pass.BACKWARD,
            pass -> View.batch(pass.shape(), pass.layout()),
            BACKWARD.tensors(),
            BatchNormPasses::alike,
            BatchNormPasses::place,
            BatchNormPasses::steps);

    private BatchNormPasses() {}

    private static boolean alike(ForwardTraining one, ForwardTraining other) {
        return one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.epsilon() == other.epsilon()
                && one.policy() == other.policy()
                && alike(one.running(), other.running());
    }

    private static boolean alike(RunningStatistics one, RunningStatistics other) {
        return one == null || other == null
                ? one == other
                : one.average().equals(other.average()) && one.estimate() == other.estimate();
    }

    private static boolean alike(ForwardInference one, ForwardInference other) {
        return one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.epsilon() == other.epsilon();
    }

    private static boolean alike(Backward one, Backward other) {
        return one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.frozen() == other.frozen()
                && one.accumulate() == other.accumulate();
    }

    private static void place(ForwardTraining pass, Operand[] places) {
        Place.X.put(pass.x(), places);
        Place.RESIDUAL.put(pass.residual(), places);
        Place.Y.put(pass.y(), places);
        Place.GAMMA.put(pass.gamma(), places);
        Place.BETA.put(pass.beta(), places);
        coefficients(pass.saved(), places);
        running(runningNow(pass), places);
    }

    private static void place(ForwardInference pass, Operand[] places) {
        Place.X.put(pass.x(), places);
        Place.RESIDUAL.put(pass.residual(), places);
        Place.Y.put(pass.y(), places);
        Place.GAMMA.put(pass.gamma(), places);
        Place.BETA.put(pass.beta(), places);
        Place.MEAN.put(pass.mean(), places);
        Place.VARIANCE.put(pass.variance(), places);
        coefficients(pass.saved(), places);
    }

    private static void place(Backward pass, Operand[] places) {
        Place.DY.put(pass.dy(), places);
        Place.X.put(pass.x(), places);
        Place.Y.put(pass.y(), places);
        Place.DX.put(pass.dx(), places);
        Place.DRESIDUAL.put(pass.dresidual(), places);
        Place.DGAMMA.put(pass.dgamma(), places);
        Place.DBETA.put(pass.dbeta(), places);
        coefficients(pass.saved(), places);
    }

    private static void running(RunningStatistics running, Operand[] places) {
        if (running != null) {
            Place.RUNNING_MEAN.put(running.mean(), places);
            Place.RUNNING_VARIANCE.put(running.variance(), places);
            Place.ABSORBED.put(running.absorbed(), places);
        }
    }

    private static void coefficients(SavedStatistics saved, Operand[] places) {
        Place.COEFFICIENTS.put(((OpenClSavedStatistics) saved).coefficients(), places);
    }

    private static RunningStatistics runningNow(ForwardTraining pass) {
        return pass.policy() == NonFinitePolicy.THROW ? null : pass.running();
    }

    private static Steps steps(ForwardTraining pass, ReduceFoldApply over) {
        List<Object> fold =
                arguments(affine(pass.epsilon(), over.view()), running(runningNow(pass), pass.policy(), over.view()));
        return over.all(FORWARD, fold, "", forwardMacros(pass.activation(), pass.residual()));
    }

    private static Steps steps(ForwardInference pass, ReduceFoldApply over) {
        List<Object> fold = arguments(affine(pass.epsilon(), over.view()), Place.MEAN, Place.VARIANCE);
        return new Steps(
                over.foldEach("fold_given", fold),
                over.apply(FORWARD, forwardMacros(pass.activation(), pass.residual())));
    }

    private static Steps steps(Backward pass, ReduceFoldApply over) {
        float m = over.view().groupSize();
        List<Object> fold = List.of(Place.DGAMMA, Place.DBETA, flag(pass.accumulate()), flag(pass.frozen()), m);
        int mask = pass.activation() == Activation.NONE ? 0 : pass.y() == null ? 1 : 2;
        String sumMacros = " -DMASK=" + mask;
        String macros =
                sumMacros + " -DRESIDUAL=" + flag(pass.dresidual() != null) + " -DFROZEN=" + flag(pass.frozen());
        return over.all(BACKWARD, fold, sumMacros, macros);
    }

    private static String forwardMacros(Activation activation, Operand residual) {
        return " -DRELU=" + flag(activation == Activation.RELU) + " -DRESIDUAL=" + flag(residual != null);
    }

    private static List<Object> affine(double epsilon, View view) {
        return List.of(Place.GAMMA, Place.BETA, (float) epsilon, (float) view.groupSize());
    }

    private static List<Object> running(RunningStatistics running, NonFinitePolicy policy, View view) {
        List<Object> places = List.of(Place.RUNNING_MEAN, Place.RUNNING_VARIANCE, Place.ABSORBED);
        if (running == null) {
            return arguments(places, 0, 0f, 0f, 0f, 0);
        }
        int kind =
                switch (running.average().kind()) {
                    case NONE -> 0;
                    case EXPONENTIAL -> 1;
                    case CUMULATIVE -> 2;
                    case BIAS_CORRECTED_EXPONENTIAL -> 3;
                };
        double weight = running.average().newBatchWeight();
        double m = view.groupSize();
        float varianceFactor = running.estimate() == RunningVariance.UNBIASED ? (float) (m / (m - 1)) : 1;
        int skip = flag(policy == NonFinitePolicy.SKIP_RUNNING_UPDATE);
        return arguments(places, kind, (float) weight, (float) Math.log1p(-weight), varianceFactor, skip);
    }

    private static int flag(boolean set) {
        return set ? 1 : 0;
    }
}
