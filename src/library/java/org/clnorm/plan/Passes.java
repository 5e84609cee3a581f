package org.clnorm.plan;

import static org.clnorm.plan.Argument.arguments;
import static org.clnorm.plan.Argument.named;
import static org.clnorm.plan.Direction.BACKWARD;
import static org.clnorm.plan.Direction.FORWARD;

import java.util.List;
import java.util.function.Function;
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
import org.clnorm.backend.InvertForward;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.view.View;

/** The passes of all normalizations: each is a view and the arguments of a fold, whose formulas are in folds.clh. */
public final class Passes {
    /** The argument of a fold that says which running average it updates; 0 for none. */
    private static final String AVERAGE = "average";

    /** Bits of a mask below the activation's kind; as activations.clh has it. */
    private static final int MASK_KIND = 4;

    /** The mask of y in x's place; likewise. */
    private static final int MASK_BY_V = 4;

    /** A copy's lines; the last may be a part of one. */
    private static final int LINE_ELEMENTS = 16;

    /** Of a fold of values that are as many as the shape says. */
    private static final List<Argument> NO_COUNTS = List.of(named("counts", Place.NONE), named("counts_stride", 0));

    private Passes() {}

    /** How a device does a pass. */
    public static PassPlan plan(PassSpec pass, StrategyChoice choice) {
        if (pass instanceof ForwardTraining training) {
            return plan(training, choice);
        }
        if (pass instanceof ForwardInference inference) {
            View view = given(inference.normalization(), inference.shape(), inference.layout());
            return plan(
                    pass,
                    view,
                    strategy(choice, Pass.INFERENCE, view, pass),
                    choice,
                    FORWARD,
                    over -> steps(inference, over));
        }
        if (pass instanceof ForwardCombined combined) {
            View view = viewOrOneRow(combined);
            return plan(
                    pass,
                    view,
                    strategy(choice, Pass.INFERENCE, view, pass),
                    choice,
                    FORWARD,
                    over -> steps(combined, over));
        }
        if (pass instanceof Backward backward) {
            return plan(backward, choice);
        }
        View view = View.batch(pass.shape(), pass.layout());
        if (pass instanceof ReduceForward) {
            return plan(
                    pass,
                    view,
                    split(choice, Pass.FORWARD, view, pass),
                    choice,
                    FORWARD,
                    over -> over.reduced(FORWARD, List.of(named("least", 0f)), ""));
        }
        if (pass instanceof InvertForward) {
            Strategy strategy = choice.forPass(Pass.BACKWARD, view);
            return plan(
                    pass,
                    view,
                    strategy,
                    choice,
                    BACKWARD,
                    over -> new Steps(over.foldEach("fold_inverse", List.of())));
        }
        Strategy split = split(choice, Pass.BACKWARD, view, pass);
        return pass instanceof ReduceBackward sums
                ? plan(pass, view, split, choice, BACKWARD, over -> steps(sums, over))
                : plan(pass, view, split, choice, BACKWARD, over -> steps((BackwardCombined) pass, over));
    }

    private static PassPlan plan(ForwardTraining pass, StrategyChoice choice) {
        View view = view(pass.normalization(), pass.shape(), pass.layout());
        return new PassPlan(
                view,
                strategy(choice, Pass.FORWARD, view, pass),
                choice.facts(),
                byElement(pass.normalization()),
                pass.operands(),
                tensors(FORWARD, pass.normalization()),
                over -> steps(pass, over),
                pass.policy() != NonFinitePolicy.THROW
                        ? null
                        : over -> pass.running() == null ? new Steps() : new Steps(track(pass, over)));
    }

    private static PassPlan plan(Backward pass, StrategyChoice choice) {
        View view = pass.frozen()
                ? given(pass.normalization(), pass.shape(), pass.layout())
                : view(pass.normalization(), pass.shape(), pass.layout());
        return new PassPlan(
                view,
                strategy(choice, Pass.BACKWARD, view, pass),
                choice.facts(),
                byElement(pass.normalization()),
                pass.operands(),
                tensors(BACKWARD, pass.normalization()),
                over -> steps(pass, over),
                null);
    }

    /**
     * With a mask the steps are launches of their own, and wherever vectors lie, so that few kernels know of masks, each of
     * one binary.
     */
    private static Strategy strategy(StrategyChoice choice, Pass kind, View view, PassSpec pass) {
        return pass.operands().has(Role.VALID) ? split(choice, kind, view, pass) : choice.forPass(kind, view);
    }

    private static Strategy split(StrategyChoice choice, Pass kind, View view, PassSpec pass) {
        Strategy split = choice.split(kind, view);
        return pass.operands().has(Role.VALID) && split.items() > 1 ? split.unaligned(choice.facts(), view) : split;
    }

    /** Of a pass over channels. */
    private static PassPlan plan(
            PassSpec pass,
            View view,
            Strategy strategy,
            StrategyChoice choice,
            Direction direction,
            Function<ReduceFoldApply, Steps> steps) {
        return new PassPlan(view, strategy, choice.facts(), false, pass.operands(), direction.tensors(), steps, null);
    }

    /** Those of a direction; and γ and β, where they go by the element of a row. */
    private static List<Role> tensors(Direction direction, Normalization normalization) {
        return byElement(normalization)
                ? Stream.concat(direction.tensors().stream(), Stream.of(Role.GAMMA, Role.BETA))
                        .toList()
                : direction.tensors();
    }

    /** How a device copies so many float32 elements of x to y. */
    public static PassPlan copy(long count, Strategy strategy, DeviceFacts facts, OperandTypes operands) {
        return new PassPlan(
                new View.Columnar(LINE_ELEMENTS, (count + LINE_ELEMENTS - 1) / LINE_ELEMENTS, 1),
                strategy,
                facts,
                false,
                operands,
                List.of(),
                over -> {
                    long perSlice = Geometry.flatPerSlice(over.strategy(), count, over.computeUnits());
                    return new Steps(over.launch(
                            "copy",
                            "",
                            (count + perSlice - 1) / perSlice,
                            Role.X,
                            Role.Y,
                            named("elements", count),
                            named("per_slice", perSlice)));
                },
                null);
    }

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
        if (normalization.grouping() instanceof Grouping.Positions) {
            return View.positions(shape, layout);
        }
        if (normalization.grouping() instanceof Grouping.Rows rows) {
            return View.rows(shape, shape.elements() / rows.groups(shape, layout));
        }
        if (normalization.perSample()) {
            return View.channels(shape, layout, View.ACROSS_BLOCKS);
        }
        Grouping.Batch batch = (Grouping.Batch) normalization.grouping();
        long virtual = batch.virtualBatches(shape.batch());
        return virtual == 1 ? View.batch(shape, layout) : View.virtualBatches(shape, layout, batch.samples(), virtual);
    }

    /** What a normalization with given statistics goes over: they are per channel. */
    private static View given(Normalization normalization, Shape shape, Layout layout) {
        return normalization.perSample() ? View.channels(shape, layout, 1) : View.batch(shape, layout);
    }

    private static boolean byElement(Normalization normalization) {
        return normalization.grouping().affineByElement();
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
                affine(pass.normalization(), pass.epsilon(), over),
                running(
                        inFold ? pass.running() : null,
                        pass.policy(),
                        over.view().sharing() * over.view().groupSize(),
                        over.isMasked()),
                named("r_max", renormalizes ? (float) bounds.rMax() : 0f),
                named("d_max", renormalizes ? (float) bounds.dMax() : 0f));
        List<Argument> reduce = List.of(named("least", least(pass.normalization(), pass.epsilon(), over.view())));
        Steps steps = over.all(FORWARD, reduce, fold, activated(pass.activation()), macro(pass.activation()));
        boolean after = pass.running() != null && !inFold && pass.policy() != NonFinitePolicy.THROW;
        return after ? steps.and(new Steps(track(pass, over))) : steps;
    }

    private static Launch track(ForwardTraining pass, ReduceFoldApply over) {
        View view = over.view();
        boolean averaged = pass.normalization().grouping() instanceof Grouping.Channels;
        boolean biased = pass.running().estimate() == RunningVariance.BIASED;
        boolean across = view.joined() == View.ACROSS_BLOCKS;
        boolean counted = over.isMasked() && !biased;
        double m = across ? view.groupSize() * view.sharing() : view.usualGroupSize();
        double last = across ? m : view.lastGroupSize();
        return over.foldBlocks(
                "track",
                across ? 1 : view.blocks().count(),
                arguments(
                        named("averaged", flag(averaged)),
                        named("last_factor", biased ? 1f : counted ? 0f : (float) (last / (last - 1))),
                        counts(pass.normalization(), over),
                        running(pass.running(), pass.policy(), m, over.isMasked())));
    }

    private static Steps steps(ForwardInference pass, ReduceFoldApply over) {
        List<Argument> fold = arguments(affine(pass.normalization(), pass.epsilon(), over), Role.MEAN, Role.VARIANCE);
        return over.given(fold, activated(pass.activation()), macro(pass.activation()));
    }

    private static Steps steps(ForwardCombined pass, ReduceFoldApply over) {
        List<Argument> fold = arguments(
                affine(Normalization.BATCH, pass.epsilon(), over), averaging(pass.running(), pass.policy(), 1));
        Launch folding = over.foldEach("fold_combined", fold);
        return pass.shape().elements() == 0
                ? new Steps(folding)
                : new Steps(folding, over.apply(FORWARD, activated(pass.activation()), macro(pass.activation())));
    }

    private static Steps steps(ReduceBackward pass, ReduceFoldApply over) {
        return over.reduced(
                BACKWARD, mask(pass.activation(), pass.operands()), macro(pass.activation(), pass.operands(), over));
    }

    private static Steps steps(BackwardCombined pass, ReduceFoldApply over) {
        List<Argument> fold = arguments(
                Role.DGAMMA,
                Role.DBETA,
                affineStride(Normalization.BATCH, over.view()),
                named("parts", 0),
                named("accumulate", flag(pass.accumulate())),
                epsilon(pass.epsilon()),
                named("count", 1f),
                named("last_count", 1f),
                NO_COUNTS,
                statistic(Normalization.BATCH),
                named("joined", over.view().joined()),
                named("renormalized", 0));
        return new Steps(
                over.foldEach("fold_combined_gradients", fold),
                over.apply(
                        BACKWARD,
                        arguments(mask(pass.activation(), pass.operands()), named("frozen", 0)),
                        macro(pass.activation(), pass.operands(), over)));
    }

    private static List<Argument> activated(Activation activation) {
        return List.of(named("activation", activation.kind().ordinal()), named("slope", activation.slope()));
    }

    /** By what dy passes the activation's derivative, as activations.clh has it. */
    private static List<Argument> mask(Activation activation, OperandTypes operands) {
        return mask(activation, by(activation, operands));
    }

    private static List<Argument> mask(Activation activation, int by) {
        int mask = by | activation.kind().ordinal() << MASK_KIND;
        return List.of(named("mask", mask), named("slope", activation.slope()));
    }

    private static int by(Backward pass) {
        return pass.inPlace() && pass.activation().kind() != Activation.Kind.NONE
                ? MASK_BY_V
                : by(pass.activation(), pass.operands());
    }

    private static int by(Activation activation, OperandTypes operands) {
        if (activation.kind() == Activation.Kind.NONE) {
            return 0;
        }
        return !operands.has(Role.Y) ? 1 : activation.kind().isByOutput() ? 2 : 3;
    }

    /** Whether a program needs the functions that only some networks have. */
    private static boolean isUsual(Activation activation) {
        return activation.kind() == Activation.Kind.NONE || activation.kind() == Activation.Kind.RELU;
    }

    private static String macro(Activation activation) {
        return isUsual(activation) ? "" : ReduceFoldApply.ACTIVATED;
    }

    /** A single work-item has a binary for each mask of the usual ones. */
    private static String macro(Activation activation, OperandTypes operands, ReduceFoldApply over) {
        if (over.strategy().items() > 1) {
            return macro(activation);
        }
        return isUsual(activation) && !over.isMasked()
                ? " -DMASK=" + by(activation, operands)
                : ReduceFoldApply.ACTIVATED;
    }

    private static Steps steps(Backward pass, ReduceFoldApply over) {
        Normalization normalization = pass.normalization();
        View view = over.view();
        boolean affine = pass.operands().has(Role.DGAMMA) || pass.operands().has(Role.DBETA);
        boolean byElement = byElement(normalization);
        boolean parts = affine
                && !byElement
                && !normalization.perSample()
                && view.blocks().count() > 1;
        List<Argument> fold = arguments(
                named("dgamma", byElement ? Place.NONE : Role.DGAMMA),
                named("dbeta", byElement ? Place.NONE : Role.DBETA),
                affineStride(normalization, view),
                named("parts", flag(parts)),
                named("accumulate", flag(pass.accumulate())),
                epsilon(pass.epsilon()),
                counts(normalization, over),
                statistic(normalization),
                named("joined", view.joined()),
                named("renormalized", flag(normalization.renormalization() != null && !pass.frozen())));
        List<Argument> mask = mask(pass.activation(), by(pass));
        String macro = macro(pass.activation(), pass.operands(), over);
        List<Argument> pointwise = arguments(mask, named("frozen", flag(pass.frozen())));
        Steps steps = over.all(BACKWARD, mask, fold, pointwise, macro);
        if (byElement && affine && over.strategy().fused() && over.strategy().items() == 1) {
            return over.rowGradients(fold, pointwise, macro, flag(pass.accumulate()));
        }
        if (byElement && affine) {
            return over.rowGradients(mask, macro, flag(pass.accumulate())).and(steps);
        }
        return parts ? steps.and(new Steps(over.sumParts(flag(pass.accumulate())))) : steps;
    }

    private static List<Argument> affine(Normalization normalization, double epsilon, ReduceFoldApply over) {
        View view = over.view();
        return arguments(
                named("gamma", byElement(normalization) ? Place.NONE : Role.GAMMA),
                named("beta", byElement(normalization) ? Place.NONE : Role.BETA),
                affineStride(normalization, view),
                epsilon(epsilon),
                counts(normalization, over),
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

    /** How many values share statistics, and how many in the last block; or of each step, where a mask has how many there are. */
    private static List<Argument> counts(Normalization normalization, ReduceFoldApply over) {
        View view = over.view();
        if (over.isMasked() && !byElement(normalization)) {
            boolean perSample = normalization.grouping() instanceof Grouping.Channels;
            float ofStep = Math.max(1, view.joined());
            return arguments(
                    named("count", ofStep),
                    named("last_count", ofStep),
                    Role.COUNTS,
                    named("counts_stride", flag(perSample)));
        }
        return arguments(
                named("count", (float) (view.usualGroupSize() * view.sharing())),
                named("last_count", (float) (view.lastGroupSize() * view.sharing())),
                NO_COUNTS);
    }

    /** By their order, as folds.clh has them. */
    private static Argument statistic(Normalization normalization) {
        return named("statistic", normalization.statistic().ordinal());
    }

    private static Argument epsilon(double epsilon) {
        return named("epsilon", (float) epsilon);
    }

    /** @param counted whether a mask has how many values there are */
    private static List<Argument> running(RunningUpdate running, NonFinitePolicy policy, double m, boolean counted) {
        boolean unbiased = running != null && running.estimate() == RunningVariance.UNBIASED;
        return averaging(running, policy, !unbiased ? 1 : counted ? 0 : m / (m - 1));
    }

    /** @param varianceFactor from the variance to the estimate of it that enters */
    private static List<Argument> averaging(RunningUpdate running, NonFinitePolicy policy, double varianceFactor) {
        List<Role> places = List.of(Role.RUNNING_MEAN, Role.RUNNING_VARIANCE, Role.ABSORBED);
        // By their order, from 1 on, as fold_moments.cl has them.
        int kind = running != null && running.average().isTracked()
                ? running.average().kind().ordinal() + 1
                : 0;
        double weight = running == null ? 0 : running.average().newBatchWeight();
        return arguments(
                places,
                named(AVERAGE, kind),
                named("weight", (float) weight),
                named("log_rest", (float) Math.log1p(-weight)),
                named("variance_factor", running == null ? 0f : (float) varianceFactor),
                named("skip_non_finite", flag(running != null && policy == NonFinitePolicy.SKIP_RUNNING_UPDATE)));
    }

    /** Whether a launch updates the running statistics: it has an average to do so by. */
    public static boolean updatesRunning(Launch launch) {
        return launch.arguments().stream()
                .anyMatch(argument ->
                        argument.name().equals(AVERAGE) && !argument.value().equals(0));
    }

    private static int flag(boolean set) {
        return set ? 1 : 0;
    }
}
