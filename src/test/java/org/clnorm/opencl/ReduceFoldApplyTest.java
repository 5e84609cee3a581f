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
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.plan.Argument;
import org.clnorm.plan.Copy;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Facts;
import org.clnorm.plan.Geometry;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Launch;
import org.clnorm.plan.PassKind;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Place;
import org.clnorm.plan.ReduceFoldApply;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.plan.Strategy;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;

/** Which launches the passes take, found out without a device. */
class ReduceFoldApplyTest {
    private static final Operand SOMEWHERE = new Operand(null, 0);
    private static final Shape SHAPE = Shape.of(32, 24, 20, 10);
    private static final RunningStatistics RUNNING =
            new RunningStatistics(SOMEWHERE, SOMEWHERE, SOMEWHERE, RunningAverage.cumulative(), RunningVariance.BIASED);

    private static ForwardTraining training(Shape shape, Layout layout, NonFinitePolicy policy) {
        return new ForwardTraining(
                shape,
                layout,
                SOMEWHERE,
                null,
                SOMEWHERE,
                Activation.RELU,
                SOMEWHERE,
                null,
                0.5,
                null,
                RUNNING,
                policy);
    }

    private static ForwardInference inference(Shape shape, Layout layout) {
        return new ForwardInference(
                shape,
                layout,
                SOMEWHERE,
                SOMEWHERE,
                SOMEWHERE,
                Activation.NONE,
                null,
                null,
                0.5,
                SOMEWHERE,
                SOMEWHERE,
                null);
    }

    private static Backward gradient(Shape shape, Layout layout) {
        return new Backward(
                shape,
                layout,
                false,
                SOMEWHERE,
                SOMEWHERE,
                null,
                Activation.RELU,
                new OpenClSavedStatistics((int) shape.channels(), 1, SOMEWHERE, new Plans()),
                SOMEWHERE,
                null,
                SOMEWHERE,
                SOMEWHERE,
                true);
    }

    private static <P> Steps steps(PassKind<P> kind, P pass, Strategy strategy, DeviceFacts facts) {
        View view = kind.view().apply(pass);
        return kind.steps().apply(pass, new ReduceFoldApply(view, strategy, facts.computeUnits(), false));
    }

    private static List<String> kernels(Steps steps) {
        return steps.launches().stream().map(Launch::kernel).toList();
    }

    @Test
    void training_split_isReduceFoldApplyAndPartialsBetween() {
        DeviceFacts facts = Facts.gpu(16);
        Strategy split = Strategy.named("gpu-split", facts);
        ForwardTraining pass = training(SHAPE, Layout.CHANNELS_FIRST, NonFinitePolicy.PROPAGATE);

        Steps steps = steps(Passes.TRAINING, pass, split, facts);

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
                        Place.X,
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

    @Test
    void training_fused_isOneLaunchWithoutPartials() {
        DeviceFacts facts = Facts.gpu(16);
        Strategy fused = Strategy.named("gpu-fused", facts);
        ForwardTraining pass = training(SHAPE, Layout.CHANNELS_LAST, NonFinitePolicy.PROPAGATE);

        Steps steps = steps(Passes.TRAINING, pass, fused, facts);

        assertThat(kernels(steps)).containsExactly("normalize_columnar");
        assertThat(steps.partials()).isZero();
        assertThat(steps.launches().get(0).macros())
                .as("the activation is an argument")
                .isEmpty();
        assertThat(steps.launches().get(0).arguments())
                .extracting(Argument::value)
                .as("the tensors, and the floor that the activation is")
                .startsWith(Place.X, Place.RESIDUAL, Place.Y, 0f);
    }

    @Test
    void training_lookedAtByTheHost_leavesTheRunningStatisticsToALaunchOfTheirOwn() {
        DeviceFacts facts = Facts.cpu(2, 16);
        Strategy fused = Strategy.named("cpu-fused", facts);
        Operand[] places = new Operand[Place.values().length];
        OpenClSavedStatistics saved = new OpenClSavedStatistics(24, 1, SOMEWHERE, new Plans());
        ForwardTraining pass = new ForwardTraining(
                SHAPE,
                Layout.CHANNELS_FIRST,
                SOMEWHERE,
                null,
                SOMEWHERE,
                Activation.NONE,
                null,
                null,
                0.5,
                saved,
                RUNNING,
                NonFinitePolicy.THROW);

        Passes.TRAINING.place().accept(pass, places);

        assertThat(steps(Passes.TRAINING, pass, fused, facts).launches().get(0).arguments())
                .extracting(Argument::value)
                .as("kind 0: none")
                .containsSequence(Place.RUNNING_MEAN, Place.RUNNING_VARIANCE, Place.ABSORBED, 0);
        Passes.TRACKING.place().accept(pass, places);
        assertThat(Place.RUNNING_MEAN.of(places)).isSameAs(SOMEWHERE);
        assertThat(kernels(steps(Passes.TRACKING, pass, fused, facts))).containsExactly("track");
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
                        ForwardTraining pass = training(shape, layout, NonFinitePolicy.THROW);
                        Copy copy = new Copy(SOMEWHERE, SOMEWHERE, shape.elements(), strategy);
                        Set<String> launched = new TreeSet<>();
                        launched.addAll(kernels(steps(Passes.TRAINING, pass, strategy, facts)));
                        launched.addAll(kernels(steps(Passes.TRACKING, pass, strategy, facts)));
                        launched.addAll(kernels(steps(Passes.INFERENCE, inference(shape, layout), strategy, facts)));
                        launched.addAll(kernels(steps(Passes.GRADIENT, gradient(shape, layout), strategy, facts)));
                        launched.addAll(kernels(steps(Copy.KIND, copy, strategy, facts)));

                        assertThat(launched)
                                .as("%s %s under %s", shape, layout, strategy.name())
                                .isEqualTo(KernelCatalogue.namesFor(strategy, view));
                    }
                }
            }
        }
    }

    @Test
    void isAligned_offsets_countWhereNeighboursShareLines() {
        View view = new View.Segmented(8, 4, 64, 512);
        List<Place> tensors = List.of(Place.X, Place.RESIDUAL, Place.Y);
        Operand[] places = new Operand[Place.values().length];
        Place.X.put(new Operand(null, 8), places);
        Place.Y.put(new Operand(null, 4), places);
        Place.GAMMA.put(new Operand(null, 1), places);
        Strategy gpu = Strategy.named("gpu-split", Facts.gpu(16));

        assertThat(ReduceFoldApply.isAligned(view, gpu, tensors, places))
                .as("an absent residual and an odd gamma do not matter")
                .isTrue();
        assertThat(ReduceFoldApply.isAligned(new View.Segmented(8, 4, 63, 504), gpu, tensors, places))
                .isFalse();
        Place.RESIDUAL.put(new Operand(null, 2), places);
        assertThat(ReduceFoldApply.isAligned(view, gpu, tensors, places)).isFalse();
        assertThat(ReduceFoldApply.isAligned(view, Strategy.named("cpu-split", Facts.cpu(2, 4)), tensors, places))
                .as("a single work-item's vectors may lie anywhere")
                .isTrue();
        Strategy narrow = gpu.unaligned(Facts.gpu(16), view);
        assertThat(narrow.vectorWidth()).isEqualTo(1);
        assertThat(narrow.items()).isEqualTo(gpu.items());
        assertThat(narrow.forFold(1))
                .as("folds are the same")
                .isEqualTo(gpu.forFold(1).withTile(narrow.tile()));
        assertThat(ReduceFoldApply.isAligned(view, narrow, tensors, places)).isTrue();
    }
}
