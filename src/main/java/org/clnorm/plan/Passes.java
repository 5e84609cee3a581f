package org.clnorm.plan;

import static org.clnorm.plan.Argument.arguments;
import static org.clnorm.plan.Argument.named;
import static org.clnorm.plan.ReduceFoldApply.Direction.BACKWARD;
import static org.clnorm.plan.ReduceFoldApply.Direction.FORWARD;

import java.util.List;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.view.View;

/** The passes of all normalizations: each is a view and the arguments of a fold, whose formulas are in folds.clh. */
public final class Passes {
    private static final List<Place> ROW_AFFINE = List.of(Place.ROW_GAMMA, Place.ROW_BETA);

    /** Forward with the batch's statistics. It leaves the running ones alone where the host looks at the batch's first. */
    public static final PassKind<ForwardTraining> TRAINING = new PassKind<>(
            Pass.FORWARD,
            pass -> view(pass.normalization(), pass.shape(), pass.layout()),
            pass -> byElement(pass.normalization()),
            Stream.concat(FORWARD.tensors().stream(), ROW_AFFINE.stream()).toList(),
            Passes::alike,
            Passes::place,
            Passes::steps);

    /** The update of the running statistics alone, from what {@link #TRAINING} left. */
    public static final PassKind<ForwardTraining> TRACKING = new PassKind<>(
            Pass.FORWARD,
            TRAINING.view(),
            TRAINING.byElement(),
            List.of(),
            Passes::alike,
            (pass, places) -> {
                coefficients(pass.saved(), places);
                running(pass.running(), places);
            },
            (pass, over) -> new Steps(track(pass, over)));

    /** Forward with given statistics. */
    public static final PassKind<ForwardInference> INFERENCE = new PassKind<>(
            Pass.INFERENCE,
            pass -> given(pass.normalization(), pass.shape(), pass.layout()),
            pass -> false,
            FORWARD.tensors(),
            Passes::alike,
            Passes::place,
            Passes::steps);

    /** Backward, of either. */
    public static final PassKind<Backward> GRADIENT = new PassKind<>(
            Pass.BACKWARD,
            pass -> pass.frozen()
                    ? given(pass.normalization(), pass.shape(), pass.layout())
                    : view(pass.normalization(), pass.shape(), pass.layout()),
            pass -> byElement(pass.normalization()),
            Stream.concat(BACKWARD.tensors().stream(), ROW_AFFINE.stream()).toList(),
            Passes::alike,
            Passes::place,
            Passes::steps);

    /** The moments of x, which stay in the coefficients. */
    public static final PassKind<ReduceForward> MOMENTS = new PassKind<>(
            Pass.FORWARD,
            pass -> View.batch(pass.shape(), pass.layout()),
            pass -> false,
            List.of(Place.X),
            (one, other) -> one.shape().equals(other.shape()) && one.layout() == other.layout(),
            (pass, places) -> {
                Place.X.put(pass.x(), places);
                coefficients(pass.room(), places);
            },
            (pass, over) -> over.reduced(FORWARD, List.of(named("least", 0f)), ""));

    /** Forward with moments that are in the coefficients. */
    public static final PassKind<ForwardCombined> COMBINED = new PassKind<>(
            Pass.INFERENCE,
            Passes::viewOrOneRow,
            pass -> false,
            FORWARD.tensors(),
            Passes::alike,
            Passes::place,
            Passes::steps);

    /** The sums of a backward pass, which stay in the coefficients. */
    public static final PassKind<ReduceBackward> SUMS = new PassKind<>(
            Pass.BACKWARD,
            pass -> View.batch(pass.shape(), pass.layout()),
            pass -> false,
            List.of(Place.DY, Place.X, Place.Y),
            (one, other) -> one.shape().equals(other.shape())
                    && one.layout() == other.layout()
                    && one.activation() == other.activation(),
            (pass, places) -> {
                Place.DY.put(pass.dy(), places);
                Place.X.put(pass.x(), places);
                Place.Y.put(pass.y(), places);
                coefficients(pass.saved(), places);
            },
            (pass, over) -> {
                int mask = mask(pass.activation(), pass.y());
                return over.reduced(BACKWARD, List.of(named("mask", mask)), macro(mask, over));
            });

    /** Backward with sums that are in the coefficients. */
    public static final PassKind<BackwardCombined> COMBINED_GRADIENT = new PassKind<>(
            Pass.BACKWARD,
            pass -> View.batch(pass.shape(), pass.layout()),
            pass -> false,
            BACKWARD.tensors(),
            Passes::alike,
            Passes::place,
            Passes::steps);

    private Passes() {}

    /** What is left of an empty batch to go over are its channels. */
    private static View viewOrOneRow(ForwardCombined pass) {
        return pass.shape().elements() == 0
                ? View.batch(Shape.of(1, pass.shape().channels()), Layout.CHANNELS_FIRST)
                : View.batch(pass.shape(), pass.layout());
    }

    /** What a normalization of the tensor itself goes over. */
    public static View view(Normalization normalization, Shape shape, Layout layout) {
        if (normalization.grouping() instanceof Grouping.Channels channels) {
            return View.channels(shape, layout, Math.toIntExact(shape.channels() / channels.groups()));
        }
        if (normalization.grouping() instanceof Grouping.Rows rows) {
            return View.rows(shape, shape.elements() / rows.groups(shape, layout));
        }
        long samples = ((Grouping.Batch) normalization.grouping()).samples();
        if (normalization.perSample()) {
            return View.channels(shape, layout, View.ACROSS_BLOCKS);
        }
        return samples < shape.batch() ? View.virtualBatches(shape, layout, samples) : View.batch(shape, layout);
    }

    /** What a normalization with given statistics goes over: they are per channel. */
    private static View given(Normalization normalization, Shape shape, Layout layout) {
        return normalization.perSample() ? View.channels(shape, layout, 1) : View.batch(shape, layout);
    }

    private static boolean byElement(Normalization normalization) {
        return normalization.grouping() instanceof Grouping.Rows rows && rows.affineByElement();
    }

    private static boolean alike(ForwardTraining one, ForwardTraining other) {
        return one.normalization().equals(other.normalization())
                && one.shape().equals(other.shape())
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
        return one.normalization().equals(other.normalization())
                && one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.epsilon() == other.epsilon();
    }

    private static boolean alike(Backward one, Backward other) {
        return one.normalization().equals(other.normalization())
                && one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.frozen() == other.frozen()
                && one.accumulate() == other.accumulate();
    }

    private static boolean alike(ForwardCombined one, ForwardCombined other) {
        return one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.epsilon() == other.epsilon()
                && one.policy() == other.policy()
                && alike(one.running(), other.running());
    }

    private static boolean alike(BackwardCombined one, BackwardCombined other) {
        return one.shape().equals(other.shape())
                && one.layout() == other.layout()
                && one.activation() == other.activation()
                && one.accumulate() == other.accumulate();
    }

    private static void place(ForwardTraining pass, Operand[] places) {
        boolean byElement = byElement(pass.normalization());
        forward(pass.x(), pass.residual(), pass.y(), pass.saved(), places);
        (byElement ? Place.ROW_GAMMA : Place.GAMMA).put(pass.gamma(), places);
        (byElement ? Place.ROW_BETA : Place.BETA).put(pass.beta(), places);
        ((Coefficients) pass.saved())
                .keep(pass.epsilon(), byElement ? pass.gamma() : null, byElement ? pass.beta() : null);
        running(pass.running(), places);
    }

    private static void place(ForwardInference pass, Operand[] places) {
        forward(pass.x(), pass.residual(), pass.y(), pass.saved(), places);
        Place.GAMMA.put(pass.gamma(), places);
        Place.BETA.put(pass.beta(), places);
        Place.MEAN.put(pass.mean(), places);
        Place.VARIANCE.put(pass.variance(), places);
    }

    private static void place(ForwardCombined pass, Operand[] places) {
        forward(pass.x(), pass.residual(), pass.y(), pass.saved(), places);
        Place.GAMMA.put(pass.gamma(), places);
        Place.BETA.put(pass.beta(), places);
        running(pass.running(), places);
    }

    /** What all forward passes have. */
    private static void forward(Operand x, Operand residual, Operand y, SavedStatistics saved, Operand[] places) {
        Place.X.put(x, places);
        Place.RESIDUAL.put(residual, places);
        Place.Y.put(y, places);
        coefficients(saved, places);
    }

    private static void place(Backward pass, Operand[] places) {
        backward(pass.dy(), pass.x(), pass.y(), pass.dx(), pass.dresidual(), pass.saved(), places);
        Place.DGAMMA.put(pass.dgamma(), places);
        Place.DBETA.put(pass.dbeta(), places);
        if (byElement(pass.normalization())) {
            Place.ROW_GAMMA.put(((Coefficients) pass.saved()).rowGamma(), places);
            Place.ROW_BETA.put(((Coefficients) pass.saved()).rowBeta(), places);
        }
    }

    private static void place(BackwardCombined pass, Operand[] places) {
        backward(pass.dy(), pass.x(), pass.y(), pass.dx(), pass.dresidual(), pass.saved(), places);
        Place.DGAMMA.put(pass.dgamma(), places);
        Place.DBETA.put(pass.dbeta(), places);
    }

    /** What all backward passes have. */
    private static void backward(
            Operand dy, Operand x, Operand y, Operand dx, Operand dresidual, SavedStatistics saved, Operand[] places) {
        Place.DY.put(dy, places);
        Place.X.put(x, places);
        Place.Y.put(y, places);
        Place.DX.put(dx, places);
        Place.DRESIDUAL.put(dresidual, places);
        coefficients(saved, places);
    }

    private static void running(RunningStatistics running, Operand[] places) {
        if (running != null) {
            Place.RUNNING_MEAN.put(running.mean(), places);
            Place.RUNNING_VARIANCE.put(running.variance(), places);
            Place.ABSORBED.put(running.absorbed(), places);
        }
    }

    private static void coefficients(SavedStatistics saved, Operand[] places) {
        Place.COEFFICIENTS.put(((Coefficients) saved).coefficients(), places);
    }

    /** Whether the fold updates the running statistics: not where the host looks first, or several blocks enter. */
    private static boolean tracksInFold(ForwardTraining pass, View view) {
        boolean one = view.blocks().count() == 1 || view.joined() == View.ACROSS_BLOCKS;
        return pass.running() != null && one && pass.policy() != NonFinitePolicy.THROW;
    }

    private static Steps steps(ForwardTraining pass, ReduceFoldApply over) {
        boolean inFold = tracksInFold(pass, over.view());
        Normalization.Renormalization bounds = pass.normalization().renormalization();
        boolean renormalizes = bounds != null && pass.running() != null;
        List<Argument> fold = arguments(
                affine(pass.normalization(), pass.epsilon(), over.view()),
                running(
                        inFold ? pass.running() : null,
                        pass.policy(),
                        over.view().sharing() * over.view().groupSize()),
                named("r_max", renormalizes ? (float) bounds.rMax() : 0f),
                named("d_max", renormalizes ? (float) bounds.dMax() : 0f));
        List<Argument> reduce = List.of(named("least", least(pass.normalization(), pass.epsilon(), over.view())));
        Steps steps = over.all(FORWARD, reduce, fold, floor(pass.activation()), "");
        boolean after = pass.running() != null && !inFold && pass.policy() != NonFinitePolicy.THROW;
        return after ? steps.and(new Steps(track(pass, over))) : steps;
    }

    private static Launch track(ForwardTraining pass, ReduceFoldApply over) {
        View view = over.view();
        boolean averaged = pass.normalization().grouping() instanceof Grouping.Channels;
        boolean biased = pass.running().estimate() == RunningVariance.BIASED;
        boolean across = view.joined() == View.ACROSS_BLOCKS;
        double m = across ? view.groupSize() * view.sharing() : view.groupSize();
        double last = across ? m : view.lastGroupSize();
        return over.foldBlocks(
                "track",
                across ? 1 : view.blocks().count(),
                arguments(
                        named("averaged", flag(averaged)),
                        named("last_factor", biased ? 1f : (float) (last / (last - 1))),
                        running(pass.running(), pass.policy(), m)));
    }

    private static Steps steps(ForwardInference pass, ReduceFoldApply over) {
        List<Argument> fold =
                arguments(affine(pass.normalization(), pass.epsilon(), over.view()), Place.MEAN, Place.VARIANCE);
        return new Steps(over.foldEach("fold_given", fold), over.apply(FORWARD, floor(pass.activation()), ""));
    }

    private static Steps steps(ForwardCombined pass, ReduceFoldApply over) {
        List<Argument> fold = arguments(
                affine(Normalization.BATCH, pass.epsilon(), over.view()), averaging(pass.running(), pass.policy(), 1));
        Launch folding = over.foldEach("fold_combined", fold);
        return pass.shape().elements() == 0
                ? new Steps(folding)
                : new Steps(folding, over.apply(FORWARD, floor(pass.activation()), ""));
    }

    private static Steps steps(BackwardCombined pass, ReduceFoldApply over) {
        List<Argument> fold = arguments(
                Place.DGAMMA,
                Place.DBETA,
                affineStride(Normalization.BATCH, over.view()),
                named("parts", 0),
                named("accumulate", flag(pass.accumulate())),
                epsilon(((Coefficients) pass.saved()).epsilon()),
                named("count", 1f),
                named("last_count", 1f),
                statistic(Normalization.BATCH),
                named("joined", over.view().joined()),
                named("renormalized", 0));
        int mask = mask(pass.activation(), pass.y());
        return new Steps(
                over.foldEach("fold_combined_gradients", fold),
                over.apply(BACKWARD, List.of(named("mask", mask), named("frozen", 0)), macro(mask, over)));
    }

    /** What the activation leaves nothing under. */
    private static List<Argument> floor(Activation activation) {
        return List.of(named("lowest", activation == Activation.RELU ? 0f : Float.NEGATIVE_INFINITY));
    }

    /** Where dy passes the activation's derivative, as pointwise.clh has it. */
    private static int mask(Activation activation, Operand y) {
        return activation == Activation.NONE ? 0 : y == null ? 1 : 2;
    }

    /** A single work-item has a binary for each. */
    private static String macro(int mask, ReduceFoldApply over) {
        return over.strategy().items() == 1 ? " -DMASK=" + mask : "";
    }

    private static Steps steps(Backward pass, ReduceFoldApply over) {
        Normalization normalization = pass.normalization();
        View view = over.view();
        boolean affine = pass.dgamma() != null || pass.dbeta() != null;
        boolean byElement = byElement(normalization);
        boolean parts = affine
                && !byElement
                && !normalization.perSample()
                && view.blocks().count() > 1;
        List<Argument> fold = arguments(
                named("dgamma", byElement ? Place.NONE : Place.DGAMMA),
                named("dbeta", byElement ? Place.NONE : Place.DBETA),
                affineStride(normalization, view),
                named("parts", flag(parts)),
                named("accumulate", flag(pass.accumulate())),
                epsilon(((Coefficients) pass.saved()).epsilon()),
                sharedCounts(view),
                statistic(normalization),
                named("joined", view.joined()),
                named("renormalized", flag(normalization.renormalization() != null && !pass.frozen())));
        int mask = mask(pass.activation(), pass.y());
        String macro = macro(mask, over);
        List<Argument> pointwise = List.of(named("mask", mask), named("frozen", flag(pass.frozen())));
        Steps steps = over.all(BACKWARD, List.of(named("mask", mask)), fold, pointwise, macro);
        if (byElement && affine && over.strategy().fused() && over.strategy().items() == 1) {
            return over.rowGradients(fold, pointwise, macro, flag(pass.accumulate()));
        }
        if (byElement && affine) {
            return over.rowGradients(named("mask", mask), macro, flag(pass.accumulate()))
                    .and(steps);
        }
        return parts ? steps.and(new Steps(over.sumParts(flag(pass.accumulate())))) : steps;
    }

    private static List<Argument> affine(Normalization normalization, double epsilon, View view) {
        return arguments(
                named("gamma", byElement(normalization) ? Place.NONE : Place.GAMMA),
                named("beta", byElement(normalization) ? Place.NONE : Place.BETA),
                affineStride(normalization, view),
                epsilon(epsilon),
                sharedCounts(view),
                statistic(normalization),
                named("joined", view.joined()));
    }

    /** What is added to the mean of a group's squares, or is its least value: least_of in fold_moments.cl. */
    private static float least(Normalization normalization, double epsilon, View view) {
        boolean length = normalization.statistic() == Normalization.Statistic.LENGTH;
        return (float) (length ? epsilon * epsilon / (view.groupSize() * view.sharing()) : epsilon);
    }

    /** From a block's γ and β to the next one's. */
    private static Argument affineStride(Normalization normalization, View view) {
        return named("affine_stride", normalization.perSample() ? view.groups() : 0);
    }

    /** How many values share statistics, and how many in the last block. */
    private static List<Argument> sharedCounts(View view) {
        return List.of(named("count", (float) (view.groupSize() * view.sharing())), named("last_count", (float)
                (view.lastGroupSize() * view.sharing())));
    }

    /** As folds.clh has them. */
    private static Argument statistic(Normalization normalization) {
        int number =
                switch (normalization.statistic()) {
                    case CENTERED -> 0;
                    case ROOT_MEAN_SQUARE -> 1;
                    case LENGTH -> 2;
                };
        return named("statistic", number);
    }

    private static Argument epsilon(double epsilon) {
        return named("epsilon", (float) epsilon);
    }

    private static List<Argument> running(RunningStatistics running, NonFinitePolicy policy, double m) {
        boolean unbiased = running != null && running.estimate() == RunningVariance.UNBIASED;
        return averaging(running, policy, unbiased ? m / (m - 1) : 1);
    }

    /** @param varianceFactor from the variance to the estimate of it that enters */
    private static List<Argument> averaging(RunningStatistics running, NonFinitePolicy policy, double varianceFactor) {
        List<Place> places = List.of(Place.RUNNING_MEAN, Place.RUNNING_VARIANCE, Place.ABSORBED);
        int kind = running == null
                ? 0
                : switch (running.average().kind()) {
                    case NONE -> 0;
                    case EXPONENTIAL -> 1;
                    case CUMULATIVE -> 2;
                    case BIAS_CORRECTED_EXPONENTIAL -> 3;
                };
        double weight = running == null ? 0 : running.average().newBatchWeight();
        return arguments(
                places,
                named("average", kind),
                named("weight", (float) weight),
                named("log_rest", (float) Math.log1p(-weight)),
                named("variance_factor", running == null ? 0f : (float) varianceFactor),
                named("skip_non_finite", flag(running != null && policy == NonFinitePolicy.SKIP_RUNNING_UPDATE)));
    }

    private static int flag(boolean set) {
        return set ? 1 : 0;
    }
}
