package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.clnorm.Recorder.Call;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Grouping.Batch.Rest;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Renormalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Role;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The passes that layers have their backend do. */
final class NormalizerPassesTest {
    private static final Shape SHAPE = TestLayer.SHAPE;
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    private final Recorder recorder = new Recorder();
    private final Device device = recorder.open();
    private final Tensor x = device.tensor(SHAPE, FIRST);
    private final Tensor residual = device.tensor(SHAPE, FIRST);
    private final Tensor y = device.tensor(SHAPE, FIRST);
    private final Tensor dy = device.tensor(SHAPE, FIRST);
    private final Tensor dx = device.tensor(SHAPE, FIRST);
    private final Tensor dresidual = device.tensor(SHAPE, FIRST);

    @AfterEach
    void close() {
        List.of(x, residual, y, dy, dx, dresidual).forEach(Tensor::close);
        device.close();
    }

    private static Normalization plain(Grouping grouping, Statistic statistic) {
        return new Normalization(grouping, statistic);
    }

    private static Normalization expected(TestLayer layer) {
        return switch (layer) {
            case BATCH -> Normalization.BATCH;
            case GROUP -> plain(new Grouping.Channels(2), Statistic.CENTERED);
            case INSTANCE -> plain(new Grouping.Channels(4), Statistic.CENTERED);
            case LAYER -> plain(new Grouping.Rows(1, true), Statistic.CENTERED);
            case LAYER_OVER_CHANNELS -> plain(new Grouping.Positions(), Statistic.CENTERED);
            case LAYER_OF_SEVERAL -> plain(new Grouping.Rows(3, true), Statistic.CENTERED);
            case RMS -> plain(new Grouping.Rows(2, true), Statistic.ROOT_MEAN_SQUARE);
            case WEIGHT -> plain(new Grouping.Rows(2, false), Statistic.LENGTH);
            case L2 -> plain(new Grouping.Rows(3, true), Statistic.LENGTH);
        };
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void step_ofEachLayer_handsOverItsNormalizationAndOperands(TestLayer layer) {
        try (Normalizer norm = layer.build(device)) {
            norm.forward(x, residual, y);
            norm.backward(dy, dx, dresidual);
            Call<ForwardTraining> forward = recorder.training();
            assertThat(forward.spec().normalization()).isEqualTo(expected(layer));
            assertThat(forward.spec().shape()).isEqualTo(SHAPE);
            assertThat(forward.spec().layout()).isEqualTo(FIRST);
            assertThat(forward.operand(Role.X)).isSameAs(x.operand());
            assertThat(forward.operand(Role.RESIDUAL)).isSameAs(residual.operand());
            assertThat(forward.operand(Role.Y)).isSameAs(y.operand());
            Operand gamma = norm.gamma().map(p -> p.value().operand()).orElse(null);
            Operand beta = norm.beta().map(p -> p.value().operand()).orElse(null);
            assertThat(forward.operand(Role.GAMMA)).isSameAs(gamma);
            assertThat(forward.operand(Role.BETA)).isSameAs(beta);
            assertThat(forward.spec().running() != null).isEqualTo(layer == TestLayer.BATCH);
            for (Role role : List.of(Role.RUNNING_MEAN, Role.RUNNING_VARIANCE, Role.ABSORBED)) {
                assertThat(forward.operand(role) != null).as("%s", role).isEqualTo(layer == TestLayer.BATCH);
            }
            Grouping grouping = expected(layer).grouping();
            long affine = grouping.affine(SHAPE, FIRST);
            assertThat(norm.parameters())
                    .allSatisfy(p -> assertThat(p.value().shape().elements()).isEqualTo(affine));

            Call<Backward> backward = recorder.backward();
            assertThat(backward.spec().normalization()).isEqualTo(forward.spec().normalization());
            assertThat(backward.spec().epsilon()).isEqualTo(forward.spec().epsilon());
            assertThat(backward.spec().frozen()).isFalse();
            assertThat(backward.coefficients()).isSameAs(forward.coefficients());
            assertThat(backward.operand(Role.DY)).isSameAs(dy.operand());
            assertThat(backward.operand(Role.X)).isSameAs(x.operand());
            assertThat(backward.operand(Role.Y)).isNull();
            assertThat(backward.operand(Role.DX)).isSameAs(dx.operand());
            assertThat(backward.operand(Role.DRESIDUAL)).isSameAs(dresidual.operand());
            boolean byElement = grouping.affineByElement();
            assertThat(backward.operand(Role.GAMMA))
                    .as("of others, γ and β are in the coefficients")
                    .isSameAs(byElement ? gamma : null);
            assertThat(backward.operand(Role.BETA)).isSameAs(byElement ? beta : null);
            assertThat(backward.operand(Role.DGAMMA))
                    .isSameAs(norm.gamma().map(p -> p.gradient().operand()).orElse(null));
            assertThat(backward.operand(Role.DBETA))
                    .isSameAs(norm.beta().map(p -> p.gradient().operand()).orElse(null));
        }
    }

    /** Where channels lie together, they are rows, with rows' kernels. */
    @Test
    void layerOverChannels_ofEachLayout_isOverRowsWhereThereAreSome() {
        Object[][] expected = {
            {Shape.of(2, 4), Layout.CHANNELS_FIRST, new Grouping.Rows(1, true)},
            {Shape.of(2, 4, 1, 1), Layout.CHANNELS_FIRST, new Grouping.Rows(3, true)},
            {Shape.of(2, 4, 1, 3), Layout.CHANNELS_FIRST, new Grouping.Positions()},
            {Shape.of(2, 4, 1, 3, 2), Layout.CHANNELS_FIRST, new Grouping.Positions()},
            {Shape.of(2, 4, 1, 3), Layout.CHANNELS_LAST, new Grouping.Rows(1, true)},
            {Shape.of(2, 4, 1, 1), Layout.CHANNELS_LAST, new Grouping.Rows(1, true)},
        };
        try (LayerNorm norm = LayerNorm.overChannels(4).build(device)) {
            for (Object[] each : expected) {
                try (Tensor of = device.tensor((Shape) each[0], (Layout) each[1]);
                        Tensor to = norm.forward(of)) {
                    assertThat(recorder.training().spec().normalization())
                            .as("%s %s", each[0], to.layout())
                            .isEqualTo(plain((Grouping) each[2], Statistic.CENTERED));
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void step_again_runsTheSamePreparedPasses(TestLayer layer) {
        try (Normalizer norm = layer.build(device)) {
            for (int i = 0; i < 3; i++) {
                norm.forward(x, residual, y);
                norm.backward(dy, dx, dresidual);
            }
            assertThat(recorder.trainings).hasSize(3).containsOnly(recorder.training());
            assertThat(recorder.backwards).hasSize(3).containsOnly(recorder.backward());
            norm.forward(dy, dresidual, dx);
            norm.backward(x, y, residual);
            assertThat(recorder.backward().operand(Role.DX))
                    .as("the memory is that of the call")
                    .isSameAs(y.operand());
            assertThat(recorder.prepared)
                    .as("one forward, one backward, whatever the memory")
                    .hasSize(2);
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void step_ofAnyLayer_allocatesNothing(TestLayer layer) {
        recorder.keeps = false;
        try (Normalizer norm = layer.build(device)) {
            BatchNormSteadyTest.assertNoAllocation(layer.name(), device, () -> {
                norm.forward(x, residual, y);
                norm.backward(dy, dx, dresidual);
            });
        }
    }

    @ParameterizedTest
    @EnumSource(value = TestLayer.class, mode = EnumSource.Mode.EXCLUDE, names = "BATCH")
    void eval_withoutRunningStatistics_isTheSameAsTraining(TestLayer layer) {
        try (Normalizer norm = layer.build(device)) {
            norm.forward(x, y);
            norm.eval();
            assertThat(norm.isTraining()).isFalse();
            norm.forward(x, y);
            assertThat(recorder.inferences).isEmpty();
            assertThat(recorder.prepared).hasSize(1);
            assertThat(recorder.trainings.get(1)).isEqualTo(recorder.trainings.get(0));
        }
    }

    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void backward_ofAFrozenParameter_asksForNoGradientOfIt(TestLayer layer) {
        try (Normalizer norm = layer.build(device)) {
            norm.forward(x, y);
            norm.retainForward();
            for (Parameter parameter : norm.parameters()) {
                assertThat(parameter.isFrozen()).isFalse();
                assertThat(parameter.decays()).isFalse();
                parameter.freeze();
                assertThat(parameter.isFrozen()).isTrue();
                norm.backward(dy, dx);
                boolean isGamma = parameter.name().equals("weight");
                assertThat(recorder.backward().operand(isGamma ? Role.DGAMMA : Role.DBETA))
                        .isNull();
                assertThat(recorder.backward().operand(isGamma ? Role.DBETA : Role.DGAMMA))
                        .as("the other one is not frozen")
                        .isSameAs(norm.parameters().stream()
                                .filter(other -> other != parameter)
                                .map(other -> other.gradient().operand())
                                .findFirst()
                                .orElse(null));
                parameter.unfreeze();
            }
            norm.forward(x, y);
            assertThat(recorder.training().operand(Role.GAMMA))
                    .as("a frozen γ is used like any")
                    .isSameAs(norm.gamma().map(p -> p.value().operand()).orElse(null));
        }
    }

    @Test
    void options_ofEveryBuilder_reachTheBackend() {
        try (GroupNorm group = GroupNorm.builder(2, 4)
                        .epsilon(0.5)
                        .gamma(false)
                        .activation(Activation.RELU)
                        .accumulateGradients(true)
                        .build(device);
                InstanceNorm instance = InstanceNorm.builder(4)
                        .epsilon(0.25)
                        .beta(false)
                        .activation(Activation.RELU)
                        .accumulateGradients(true)
                        .runningAverage(RunningAverage.cumulative())
                        .runningVariance(RunningVariance.BIASED)
                        .nonFinite(NonFinitePolicy.SKIP_RUNNING_UPDATE)
                        .build(device);
                LayerNorm layer = LayerNorm.builder(3)
                        .epsilon(0.125)
                        .gamma(false)
                        .beta(false)
                        .activation(Activation.RELU)
                        .accumulateGradients(true)
                        .build(device);
                RmsNorm rms = RmsNorm.builder(3)
                        .epsilon(0.5)
                        .gamma(false)
                        .activation(Activation.RELU)
                        .accumulateGradients(true)
                        .build(device);
                WeightNorm weight = WeightNorm.builder(2)
                        .epsilon(0.5)
                        .accumulateGradients(true)
                        .build(device);
                L2Norm length = L2Norm.builder().epsilon(0.5).build(device)) {
            for (Normalizer norm : List.of(group, instance, layer, rms, weight, length)) {
                norm.forward(x, residual, y);
                norm.backward(dy, dx);
                boolean plain = norm == weight || norm == length;
                assertThat(recorder.training().spec().activation())
                        .isEqualTo(plain ? Activation.NONE : Activation.RELU);
                assertThat(recorder.backward().operand(Role.Y)).isSameAs(plain ? null : y.operand());
                assertThat(recorder.backward().spec().accumulate()).isEqualTo(norm != length);
            }
            assertThat(recorder.trainings)
                    .extracting(call -> call.spec().epsilon())
                    .containsExactly(0.5, 0.25, 0.125, 0.5, 0.5, 0.5);
            assertThat(List.of(group, layer, rms, length))
                    .allMatch(norm -> norm.gamma().isEmpty());
            assertThat(List.of(instance, layer, rms, weight, length))
                    .allMatch(norm -> norm.beta().isEmpty());
            ForwardTraining ofInstance = recorder.trainings.get(1).spec();
            assertThat(ofInstance.policy()).isEqualTo(NonFinitePolicy.SKIP_RUNNING_UPDATE);
            assertThat(ofInstance.running().average()).isEqualTo(RunningAverage.cumulative());
            assertThat(ofInstance.running().estimate()).isEqualTo(RunningVariance.BIASED);
        }
    }

    @Test
    void defaults_ofEveryBuilder_areTheFields() {
        try (BatchNorm batch = BatchNorm.builder(4).build(device);
                GroupNorm group = GroupNorm.builder(2, 4).build(device);
                InstanceNorm instance = InstanceNorm.builder(4).build(device);
                LayerNorm layer = LayerNorm.builder(3).build(device);
                RmsNorm rms = RmsNorm.builder(3).build(device);
                WeightNorm weight = WeightNorm.builder(2).build(device);
                L2Norm length = L2Norm.builder().build(device)) {
            for (Normalizer norm : List.of(batch, group, instance, layer, rms, weight, length)) {
                norm.forward(x, y);
                assertThat(recorder.training().spec().activation()).isEqualTo(Activation.NONE);
                assertThat(recorder.training().spec().policy()).isEqualTo(NonFinitePolicy.PROPAGATE);
                assertThat(norm.gamma().isPresent()).isEqualTo(norm != length);
                assertThat(norm.beta().isPresent())
                        .isEqualTo(!List.of(rms, weight, length).contains(norm));
            }
            assertThat(recorder.trainings)
                    .extracting(call -> call.spec().epsilon())
                    .containsExactly(1e-5, 1e-5, 1e-5, 1e-5, 0x1p-23, 0.0, 1e-12);
            assertThat(recorder.training().spec().normalization().grouping()).isEqualTo(new Grouping.Rows(1, true));
        }
    }

    @Test
    void layerNorm_ofChannelsLast_countsDimensionsAsTheyLie() {
        Shape shape = Shape.of(2, 3, 4, 5);
        try (LayerNorm channels = LayerNorm.builder(3).build(device);
                LayerNorm image = LayerNorm.builder(4, 5, 3).build(device);
                Tensor last = device.tensor(shape, Layout.CHANNELS_LAST);
                Tensor first = device.tensor(shape, FIRST)) {
            channels.forward(last).close();
            assertThat(channels.savedMean().shape()).isEqualTo(Shape.of(40));
            assertThat(channels.savedInverseStandardDeviation().shape()).isEqualTo(Shape.of(40));
            image.forward(last).close();
            assertThat(image.savedMean().shape()).isEqualTo(Shape.of(2));
            assertThatThrownBy(() -> image.forward(first))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("(4, 5, 3)", "given was (2, 3, 4, 5), which lies as (2, 3, 4, 5)");
        }
    }

    @Test
    void savedStatistics_beforeAForwardPass_areRefused() {
        try (LayerNorm layer = LayerNorm.builder(3).build(device);
                RmsNorm rms = RmsNorm.builder(3).build(device)) {
            for (Runnable asking : List.<Runnable>of(
                    layer::savedMean, layer::savedInverseStandardDeviation, rms::savedInverseRootMeanSquare)) {
                assertThatThrownBy(asking::run)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("before a forward pass");
            }
            rms.forward(x, y);
            assertThat(rms.savedInverseRootMeanSquare().shape()).isEqualTo(Shape.of(8));
        }
    }

    @Test
    void instanceNorm_withRunningStatistics_usesThemInEvaluation() {
        try (InstanceNorm norm = InstanceNorm.builder(4)
                .runningAverage(RunningAverage.exponential(0.1))
                .build(device)) {
            norm.forward(x, y);
            assertThat(recorder.training().operand(Role.RUNNING_MEAN))
                    .isSameAs(norm.runningMean().orElseThrow().operand());
            assertThat(norm.batchesTracked()).isEqualTo(1);
            norm.eval();
            norm.forward(x, x);
            assertThat(recorder.inference().spec().normalization()).isEqualTo(Normalization.BATCH);
            assertThat(recorder.inference().operand(Role.VARIANCE))
                    .isSameAs(norm.runningVariance().orElseThrow().operand());
            assertThat(recorder.inference().coefficients().groups()).isEqualTo(4);
            norm.forward(x, y);
            norm.backward(dy, dx);
            assertThat(recorder.backward().spec().frozen()).isTrue();
            assertThat(recorder.backward().spec().normalization()).isEqualTo(Normalization.BATCH);
            norm.train();
            norm.reset();
            assertThat(norm.batchesTracked()).isZero();
        }
    }

    @Test
    void trackRunning_switchedOff_leavesTheStatisticsAndTheirCount() {
        try (BatchNorm batch = BatchNorm.builder(4).build(device);
                BatchNorm none = BatchNorm.builder(4)
                        .runningAverage(RunningAverage.none())
                        .build(device);
                InstanceNorm instance = InstanceNorm.builder(4)
                        .runningAverage(RunningAverage.cumulative())
                        .build(device)) {
            for (RunningNormalizer norm : List.of(batch, instance)) {
                assertThat(norm.isTrackingRunning()).isTrue();
                norm.trackRunning(false);
                assertThat(norm.isTrackingRunning()).isFalse();
                norm.forward(x, y);
                assertThat(recorder.training().spec().running()).isNull();
                assertThat(norm.batchesTracked()).isZero();
                norm.trackRunning(true);
                norm.forward(x, y);
                assertThat(recorder.training().spec().running()).isNotNull();
                assertThat(norm.batchesTracked()).isEqualTo(1);
                norm.trackRunning(false);
                norm.eval();
                norm.forward(x, y);
                assertThat(recorder.inference().operand(Role.MEAN))
                        .as("which statistics normalize is another switch")
                        .isSameAs(norm.runningMean().orElseThrow().operand());
            }
            none.trackRunning(true);
            assertThat(none.isTrackingRunning()).isFalse();
        }
    }

    @Test
    void virtualBatch_inTraining_isTheGroupingOfLargerBatches() {
        Normalization virtual = plain(new Grouping.Batch(1), Statistic.CENTERED);
        try (BatchNorm norm = BatchNorm.builder(4).virtualBatch(1).build(device);
                BatchNorm large = BatchNorm.builder(4).virtualBatch(2).build(device)) {
            norm.forward(x, y);
            assertThat(recorder.training().spec().normalization()).isEqualTo(virtual);
            assertThat(recorder.training().coefficients().groups()).isEqualTo(8);
            assertThat(recorder.training().spec().running()).isNotNull();
            assertThatThrownBy(norm::savedMean)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("virtual batches");
            norm.backward(dy, dx);
            assertThat(recorder.backward().spec().normalization()).isEqualTo(virtual);
            norm.eval();
            norm.forward(x, y);
            assertThat(recorder.inference().spec().normalization()).isEqualTo(Normalization.BATCH);
            assertThat(norm.savedMean().shape()).isEqualTo(Shape.of(4));
            large.forward(x, y);
            assertThat(recorder.training().spec().normalization())
                    .as("a batch that is not cut up is a batch")
                    .isEqualTo(Normalization.BATCH);
        }
        try (BatchNorm norm = BatchNorm.builder(4)
                .virtualBatch(1)
                .runningAverage(RunningAverage.none())
                .build(device)) {
            norm.eval();
            norm.forward(x, y);
            assertThat(recorder.training().spec().normalization())
                    .as("evaluation knows no virtual batches")
                    .isEqualTo(Normalization.BATCH);
        }
    }

    @Test
    void lastVirtualBatch_ofOneValuePerChannel_isTheGroupingOfWhatIsSaid() {
        try (BatchNorm merging = BatchNorm.builder(4)
                        .virtualBatch(2, LastVirtualBatch.MERGE)
                        .build(device);
                BatchNorm given = BatchNorm.builder(4)
                        .virtualBatch(2, LastVirtualBatch.RUNNING)
                        .build(device);
                Tensor five = device.tensor(Shape.of(5, 4), Layout.CHANNELS_FIRST);
                Tensor three = device.tensor(Shape.of(3, 4), Layout.CHANNELS_FIRST);
                Tensor four = device.tensor(Shape.of(4, 4), Layout.CHANNELS_FIRST);
                Tensor one = device.tensor(Shape.of(1, 4), Layout.CHANNELS_FIRST)) {
            merging.forward(five).close();
            assertThat(recorder.training().spec().normalization())
                    .isEqualTo(plain(new Grouping.Batch(2, Rest.MERGED), Statistic.CENTERED));
            assertThat(recorder.training().coefficients().groups()).isEqualTo(8);
            merging.forward(three).close();
            assertThat(recorder.training().spec().normalization()).isEqualTo(Normalization.BATCH);
            merging.forward(four).close();
            assertThat(recorder.training().spec().normalization())
                    .isEqualTo(plain(new Grouping.Batch(2), Statistic.CENTERED));
            given.forward(five).close();
            assertThat(recorder.training().spec().normalization())
                    .isEqualTo(plain(new Grouping.Batch(2, Rest.GIVEN), Statistic.CENTERED));
            assertThat(recorder.training().operand(Role.MEAN))
                    .as("the updated ones")
                    .isNull();
            given.trackRunning(false);
            given.forward(five).close();
            assertThat(recorder.training().operand(Role.MEAN))
                    .isSameAs(given.runningMean().orElseThrow().operand());
            given.forward(four).close();
            assertThat(recorder.training().spec().normalization())
                    .isEqualTo(plain(new Grouping.Batch(2), Statistic.CENTERED));
            assertThat(recorder.training().operand(Role.MEAN)).isNull();
            given.forward(one).close();
            assertThat(recorder.inference().operand(Role.VARIANCE))
                    .isSameAs(given.runningVariance().orElseThrow().operand());
        }
    }

    @Test
    void renormalization_inTraining_hasTheBoundsOfItsSchedule() {
        try (BatchNorm norm = BatchNorm.builder(4)
                .renormalization(RenormalizationSchedule.linear(3, 5, 1, 3))
                .build(device)) {
            for (int i = 0; i < 5; i++) {
                norm.forward(x, y);
                norm.backward(dy, dx);
                assertThat(recorder.backward().spec().normalization())
                        .isEqualTo(recorder.training().spec().normalization());
            }
            assertThat(recorder.trainings)
                    .extracting(call -> call.spec().normalization().renormalization())
                    .containsExactly(
                            new Renormalization(1, 0),
                            new Renormalization(1, 0),
                            new Renormalization(2, 2.5),
                            new Renormalization(3, 5),
                            new Renormalization(3, 5));
            assertThat(recorder.trainings.get(4))
                    .as("bounds that no longer move need no other pass")
                    .isEqualTo(recorder.trainings.get(3));
            assertThat(recorder.trainings).allSatisfy(call -> {
                assertThat(call.spec().running()).isNotNull();
                assertThat(call.coefficients()).isSameAs(recorder.training().coefficients());
            });
            assertThat(norm.savedMean().shape()).isEqualTo(Shape.of(4));
            assertThatThrownBy(() -> norm.trackRunning(false))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("tracking cannot be switched off");
            norm.trackRunning(true);
            norm.eval();
            norm.forward(x, y);
            assertThat(recorder.inference().spec().normalization()).isEqualTo(Normalization.BATCH);
        }
    }

    @Test
    void renormalization_byAScheduleOfBadBounds_isRefused() {
        RenormalizationSchedule bad = new RenormalizationSchedule() {
            @Override
            public double rMax(long batchesTracked) {
                return 0.5;
            }

            @Override
            public double dMax(long batchesTracked) {
                return 0;
            }
        };
        try (BatchNorm norm = BatchNorm.builder(4).renormalization(bad).build(device)) {
            assertThatThrownBy(() -> norm.forward(x, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("rMax must be", "given was 0.5");
            assertThat(recorder.passes()).isZero();
        }
    }
}
