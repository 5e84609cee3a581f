package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.plan.Argument;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Facts;
import org.clnorm.plan.Geometry;
import org.clnorm.plan.KernelNames;
import org.clnorm.plan.Launch;
import org.clnorm.plan.PassPlan;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Place;
import org.clnorm.plan.ReduceFoldApply;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyChoice;
import org.clnorm.plan.StrategyTable;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;

/** Which launches the passes take, found out without a device. */
class ReduceFoldApplyTest {
    private static final Operand SOMEWHERE = new Operand(null, 0);
    private static final Shape SHAPE = Shape.of(32, 24, 20, 10);
    private static final RunningUpdate RUNNING = new RunningUpdate(RunningAverage.cumulative(), RunningVariance.BIASED);

    private static OperandTypes float32(Role... roles) {
        Operands operands = new Operands();
        for (Role role : roles) {
            operands.put(role, SOMEWHERE);
        }
        return operands.types();
    }

    private static ForwardTraining training(Shape shape, Layout layout, NonFinitePolicy policy) {
        return new ForwardTraining(
                Normalization.BATCH,
                shape,
                layout,
                float32(Role.X, Role.Y, Role.GAMMA, Role.RUNNING_MEAN, Role.RUNNING_VARIANCE, Role.ABSORBED),
                Activation.RELU,
                0.5,
                RUNNING,
                policy);
    }

    private static ForwardInference inference(Shape shape, Layout layout) {
        return new ForwardInference(
                Normalization.BATCH,
                shape,
                layout,
                float32(Role.X, Role.RESIDUAL, Role.Y, Role.MEAN, Role.VARIANCE),
                Activation.NONE,
                0.5);
    }

    private static Backward gradient(Shape shape, Layout layout) {
        return new Backward(
                Normalization.BATCH,
                shape,
                layout,
                float32(Role.DY, Role.X, Role.DX, Role.DGAMMA, Role.DBETA),
                false,
                Activation.RELU,
                0.5,
                true);
    }

    private static PassPlan plan(PassSpec pass, Strategy strategy, DeviceFacts facts) {
        return Passes.plan(pass, new StrategyChoice(facts, strategy, StrategyTable.DEFAULTS));
    }

    private static Steps steps(PassSpec pass, Strategy strategy, DeviceFacts facts) {
        return plan(pass, strategy, facts).steps(true);
    }

    private static List<String> kernels(Steps steps) {
        return steps.launches().stream().map(Launch::kernel).toList();
    }

    @Test
    void training_split_isReduceFoldApplyAndPartialsBetween() {
        DeviceFacts facts = Facts.gpu(16);
        Strategy split = Strategy.named("gpu-split", facts);
        ForwardTraining pass = training(SHAPE, Layout.CHANNELS_FIRST, NonFinitePolicy.PROPAGATE);

        Steps steps = steps(pass, split, facts);

        assertThat(kernels(steps)).containsExactly("moments_segmented", "fold_moments", "apply_segmented");
        Geometry geometry = Geometry.of(split, View.batch(SHAPE, Layout.CHANNELS_FIRST), facts.computeUnits());
        assertThat(steps.partials()).isEqualTo(5L * geometry.slices() * (24 + 16));
        assertThat(steps.launches())
                .extracting(Launch::strategy)
                .containsExactly(split, split.forFold(geometry.slices()), split);
        assertThat(steps.launches().get(0).arguments())
                .extracting(Argument::value)
                .as("as moments_segmented has them, each with its type")
                .containsExactly(
                        Role.X,
                        Role.RESIDUAL,
                        Role.ADDEND,
                        0.5f,
                        geometry.workGroups(),
                        1,
                        0L,
                        32L,
                        24,
                        1,
                        32,
                        200,
                        24L * 200,
                        geometry.segmentsPerSlice(),
                        geometry.chunk(),
                        Place.PARTIALS,
                        40);
    }

    /** Four samples, and seven in the last. */
    @Test
    void training_ofALargerLastVirtualBatch_countsEachOnItsOwn() {
        DeviceFacts facts = Facts.gpu(16);
        ForwardTraining pass = new ForwardTraining(
                new Normalization(new Grouping.Batch(4, Grouping.Batch.Rest.MERGED), Normalization.Statistic.CENTERED),
                Shape.of(11, 24),
                Layout.CHANNELS_FIRST,
                float32(Role.X, Role.Y, Role.RUNNING_MEAN, Role.RUNNING_VARIANCE, Role.ABSORBED),
                Activation.NONE,
                0.5,
                new RunningUpdate(RunningAverage.cumulative(), RunningVariance.UNBIASED),
                NonFinitePolicy.PROPAGATE);

        Steps steps = steps(pass, Strategy.named("gpu-split", facts), facts);

        assertThat(kernels(steps)).containsExactly("moments_columnar", "fold_moments", "apply_columnar", "track");
        for (int elements : new int[] {0, 2}) {
            assertThat(argument(steps, elements, "rows")).isEqualTo(4L);
            assertThat(argument(steps, elements, "last_runs")).isEqualTo(7L);
            assertThat(argument(steps, elements, "block_stride")).isEqualTo(4L * 24);
        }
        assertThat((long) argument(steps, 2, "per_slice") * (int) argument(steps, 2, "per_block"))
                .as("elements that the apply step has work-groups for, in each block")
                .isGreaterThanOrEqualTo(7 * 24);
        assertThat(argument(steps, 1, "count")).isEqualTo(4f);
        assertThat(argument(steps, 1, "last_count")).isEqualTo(7f);
        assertThat(argument(steps, 3, "variance_factor")).isEqualTo(4f / 3);
        assertThat(argument(steps, 3, "last_factor")).isEqualTo(7f / 6);
    }

    private static Object argument(Steps steps, int launch, String name) {
        return steps.launches().get(launch).arguments().stream()
                .filter(argument -> argument.name().equals(name))
                .findFirst()
                .orElseThrow()
                .value();
    }

    @Test
    void training_fused_isOneLaunchWithoutPartials() {
        DeviceFacts facts = Facts.gpu(16);
        Strategy fused = Strategy.named("gpu-fused", facts);
        ForwardTraining pass = training(SHAPE, Layout.CHANNELS_LAST, NonFinitePolicy.PROPAGATE);

        Steps steps = steps(pass, fused, facts);

        assertThat(kernels(steps)).containsExactly("normalize_columnar");
        assertThat(steps.partials()).isZero();
        assertThat(steps.launches().get(0).macros())
                .as("the activation is an argument")
                .isEmpty();
        assertThat(steps.launches().get(0).arguments())
                .extracting(Argument::value)
                .as("the tensors, and which activation it is, without a slope")
                .startsWith(Role.X, Role.RESIDUAL, Role.Y, Activation.Kind.RELU.ordinal(), 0f);
    }

    @Test
    void training_lookedAtByTheHost_leavesTheRunningStatisticsToALaunchOfTheirOwn() {
        DeviceFacts facts = Facts.cpu(2, 16);
        Strategy fused = Strategy.named("cpu-fused", facts);
        PassPlan plan = plan(training(SHAPE, Layout.CHANNELS_FIRST, NonFinitePolicy.THROW), fused, facts);

        assertThat(plan.isLookedAt()).isTrue();
        assertThat(plan.steps(true).launches().get(0).arguments())
                .extracting(Argument::value)
                .as("kind 0: none")
                .containsSequence(Role.RUNNING_MEAN, Role.RUNNING_VARIANCE, Role.ABSORBED, 0);
        assertThat(kernels(plan.stepsAfterLook(true))).containsExactly("track");
    }

    @Test
    void training_notLookedAt_hasNothingLeftToDoAfterwards() {
        DeviceFacts facts = Facts.cpu(2, 16);
        Strategy fused = Strategy.named("cpu-fused", facts);
        PassPlan plan = plan(training(SHAPE, Layout.CHANNELS_FIRST, NonFinitePolicy.PROPAGATE), fused, facts);

        assertThat(plan.isLookedAt()).isFalse();
        assertThat(plan.stepsAfterLook(true).launches()).isEmpty();
    }

    @Test
    void passes_underAnyStrategy_launchTheKernelsThatTheCatalogueSays() {
        List<Shape> shapes = List.of(SHAPE, Shape.of(64, 7), Shape.of(5, 3, 1000), Shape.of(9, 1, 30));
        for (DeviceFacts facts : Facts.all()) {
            for (Strategy named : Strategy.all(facts)) {
                for (Shape shape : shapes) {
                    for (Layout layout : Layout.values()) {
                        View view = View.batch(shape, layout);
                        Strategy strategy = named.forView(facts, view);
                        PassPlan pass = plan(training(shape, layout, NonFinitePolicy.THROW), strategy, facts);
                        PassPlan copy = Passes.copy(shape.elements(), strategy, facts, float32(Role.X, Role.Y));
                        Set<String> launched = new TreeSet<>();
                        launched.addAll(kernels(pass.steps(true)));
                        launched.addAll(kernels(pass.stepsAfterLook(true)));
                        launched.addAll(kernels(steps(inference(shape, layout), strategy, facts)));
                        launched.addAll(kernels(steps(gradient(shape, layout), strategy, facts)));
                        launched.addAll(kernels(copy.steps(true)));

                        assertThat(launched)
                                .as("%s %s under %s", shape, layout, strategy.name())
                                .isEqualTo(KernelNames.of(strategy, view));
                    }
                }
            }
        }
    }

    @Test
    void isAligned_offsets_countWhereNeighboursShareLines() {
        View view = new View.Segmented(8, 4, 64, 512);
        List<Role> tensors = List.of(Role.X, Role.RESIDUAL, Role.Y);
        Operands operands = new Operands()
                .put(Role.X, new Operand(null, 8))
                .put(Role.Y, new Operand(null, 4))
                .put(Role.GAMMA, new Operand(null, 1));
        Strategy gpu = Strategy.named("gpu-split", Facts.gpu(16));

        assertThat(ReduceFoldApply.isAligned(view, gpu, tensors, operands))
                .as("an absent residual and an odd gamma do not matter")
                .isTrue();
        assertThat(ReduceFoldApply.isAligned(new View.Segmented(8, 4, 63, 504), gpu, tensors, operands))
                .isFalse();
        operands.put(Role.RESIDUAL, new Operand(null, 2));
        assertThat(ReduceFoldApply.isAligned(view, gpu, tensors, operands)).isFalse();
        assertThat(ReduceFoldApply.isAligned(view, Strategy.named("cpu-split", Facts.cpu(2, 4)), tensors, operands))
                .as("a single work-item's vectors may lie anywhere")
                .isTrue();
        Strategy narrow = gpu.unaligned(Facts.gpu(16), view);
        assertThat(narrow.vectorWidth()).isEqualTo(1);
        assertThat(narrow.items()).isEqualTo(gpu.items());
        assertThat(narrow.forFold(1))
                .as("folds are the same")
                .isEqualTo(gpu.forFold(1).withTile(narrow.tile()));
        assertThat(ReduceFoldApply.isAligned(view, narrow, tensors, operands)).isTrue();
    }
}
