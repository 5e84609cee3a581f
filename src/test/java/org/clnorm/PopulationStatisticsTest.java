package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;

/** Running statistics other than by averages in training: of a population, kept and restored, mixed with a batch's. */
final class PopulationStatisticsTest {
    private static final int CHANNELS = 19;
    private static final Layout LAYOUT = Layout.CHANNELS_LAST;

    private static Batch batch(int samples, long seed) {
        return Batch.random(Shape.of(samples, CHANNELS, 3), LAYOUT, seed, channel -> 1000 + channel);
    }

    private static double[] values(int channel, Batch... batches) {
        return Arrays.stream(batches)
                .flatMapToDouble(batch -> Arrays.stream(batch.channel(channel)))
                .toArray();
    }

    private static float[] mean(BatchNorm norm) {
        return norm.runningMean().orElseThrow().download();
    }

    private static float[] variance(BatchNorm norm) {
        return norm.runningVariance().orElseThrow().download();
    }

    @OnEveryDevice
    void estimate_fromUnevenBatches_isThatOfAllValues(TestDevice on) {
        Batch[] batches = {batch(5, 1), batch(3, 2), batch(0, 3), batch(1, 4)};
        Device device = on.device();
        for (RunningVariance estimate : RunningVariance.values()) {
            try (BatchNorm norm =
                    BatchNorm.builder(CHANNELS).runningVariance(estimate).build(device)) {
                List<Tensor> inputs =
                        Arrays.stream(batches).map(b -> b.on(device)).toList();
                norm.eval();
                PopulationStatistics.estimate(norm, inputs.iterator());
                inputs.forEach(Tensor::close);

                double[] mean = new double[CHANNELS];
                double[] variance = new double[CHANNELS];
                double unbiased = estimate == RunningVariance.UNBIASED ? 27.0 / 26 : 1;
                for (int c = 0; c < CHANNELS; c++) {
                    mean[c] = Formulas.mean(values(c, batches));
                    variance[c] = unbiased * Formulas.variance(values(c, batches));
                }
                Closeness.assertClose("mean", mean(norm), mean);
                Closeness.assertClose("variance", variance(norm), variance);
                assertThat(norm.batchesTracked()).as("the empty one is none").isEqualTo(3);
                assertThat(norm.isTraining()).isFalse();
            }
        }
    }

    @OnBothBackends
    void apply_ofTwoTimesTwoValues_isThatByHand(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(1)
                        .runningAverage(RunningAverage.cumulative())
                        .build(device);
                Tensor x = device.tensor(Shape.of(2, 1), LAYOUT)) {
            PopulationStatistics population = PopulationStatistics.over(norm);
            x.upload(new float[] {0, 2});
            population.observe(norm, x);
            x.upload(new float[] {4, 6});
            population.observe(() -> norm.forward(x).close());
            assertThat(mean(norm)).as("nothing is applied yet").containsExactly(0);
            population.apply();

            assertThat(mean(norm)).containsExactly(3);
            assertThat(variance(norm)).containsExactly(20f / 3);
            x.upload(new float[] {8, 10});
            norm.forward(x).close();
            assertThat(mean(norm))
                    .as("a cumulative average goes on as after two batches")
                    .containsExactly(5);
        }
    }

    /** Two layers, the second after the first: both see their batch's own statistics, as in training. */
    @OnBothBackends
    void observe_aNetwork_takesWhatEachLayerIsGiven(TestDevice on) {
        Batch[] batches = {batch(5, 1), batch(3, 2)};
        Device device = on.device();
        try (BatchNorm first =
                        BatchNorm.builder(CHANNELS).activation(Activation.RELU).build(device);
                BatchNorm second = BatchNorm.builder(CHANNELS).build(device);
                BatchNorm other = BatchNorm.builder(CHANNELS).build(device)) {
            first.eval();
            List<float[]> between = new ArrayList<>();
            PopulationStatistics population = PopulationStatistics.over(List.of(first, second));
            for (Batch batch : batches) {
                population.observe(() -> {
                    assertThat(first.isTraining()).isTrue();
                    try (Tensor x = batch.on(device);
                            Tensor hidden = first.forward(x);
                            Tensor y = second.forward(hidden);
                            Tensor z = other.forward(y)) {
                        between.add(hidden.download());
                        assertThat(z.shape()).isEqualTo(batch.shape());
                    }
                });
            }
            assertThat(first.isTraining()).isFalse();
            assertThat(second.isTraining()).isTrue();
            assertThat(second.batchesTracked()).isZero();
            assertThat(other.batchesTracked())
                    .as("a layer that is not observed does as ever")
                    .isEqualTo(2);
            population.apply();

            Batch[] hidden = IntStream.range(0, 2)
                    .mapToObj(i -> batches[i].holding(between.get(i)))
                    .toArray(Batch[]::new);
            double[] mean = new double[CHANNELS];
            double[] variance = new double[CHANNELS];
            for (int c = 0; c < CHANNELS; c++) {
                mean[c] = Formulas.mean(values(c, hidden));
                variance[c] = 24.0 / 23 * Formulas.variance(values(c, hidden));
            }
            Closeness.assertClose("mean", mean(second), mean);
            Closeness.assertClose("variance", variance(second), variance);
            assertThat(second.batchesTracked()).isEqualTo(2);
        }
    }

    @OnBothBackends
    void observe_whatThrowsOrIsNotFinite_isNotTakenIn(TestDevice on) {
        Device device = on.device();
        Batch good = batch(5, 1);
        Batch bad = batch(3, 2).with(7, 1, Float.NaN);
        for (NonFinitePolicy policy : NonFinitePolicy.values()) {
            try (BatchNorm norm = BatchNorm.builder(CHANNELS).nonFinite(policy).build(device);
                    Tensor x = good.on(device);
                    Tensor badX = bad.on(device)) {
                PopulationStatistics population = PopulationStatistics.over(norm);
                assertThatThrownBy(() -> population.observe(() -> {
                            norm.forward(x).close();
                            throw new IllegalStateException("no more");
                        }))
                        .hasMessage("no more");
                assertThatThrownBy(population::apply)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("Layer number 0 needs 2 or more values per channel, but observed were 0");
                population.observe(norm, x);
                if (policy == NonFinitePolicy.THROW) {
                    assertThatThrownBy(() -> population.observe(norm, badX)).isInstanceOf(NonFiniteException.class);
                    assertThatThrownBy(() -> population.observe(() -> norm.forward(badX)))
                            .isInstanceOf(NonFiniteException.class);
                } else {
                    population.observe(norm, badX);
                }
                population.apply();
                if (policy == NonFinitePolicy.PROPAGATE) {
                    assertThat(mean(norm)[7]).isNaN();
                } else {
                    assertThat((double) mean(norm)[7]).isCloseTo(Formulas.mean(good.channel(7)), within(1e-3));
                }
                assertThat(Float.isFinite(variance(norm)[6])).isTrue();
                assertThat(norm.isTraining()).isTrue();
            }
        }
    }

    @OnBothBackends
    void layers_thatItCannotBeOver_areRefused(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(2).build(device);
                BatchNorm other = BatchNorm.builder(2).build(device);
                BatchNorm without = BatchNorm.builder(2)
                        .runningAverage(RunningAverage.none())
                        .build(device);
                Tensor x = device.tensor(Shape.of(1, 2), LAYOUT)) {
            assertRefused(() -> PopulationStatistics.over(List.of()), "given was none");
            assertRefused(() -> PopulationStatistics.over(List.of(norm, norm)), "given again");
            assertRefused(() -> PopulationStatistics.over(List.of(norm, without)), "number 1 has none");
            assertRefused(() -> PopulationStatistics.over(norm).observe(other, x), "another");
            assertThatThrownBy(() ->
                            PopulationStatistics.over(norm).observe(norm, x).apply())
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("observed were 1");
            assertThatThrownBy(without::snapshotRunning).isInstanceOf(IllegalStateException.class);
            assertThatThrownBy(() -> without.evalAdapted(0.5)).isInstanceOf(IllegalStateException.class);
            assertRefused(() -> norm.evalAdapted(1.5), "given was 1.5");
            assertRefused(() -> norm.evalAdapted(Double.NaN), "given was NaN");
        }
    }

    private static void assertRefused(Runnable call, String message) {
        assertThatThrownBy(call::run)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
    }

    @OnBothBackends
    void snapshot_aroundAnEvaluation_leavesTrainingBitForBitAsItWas(TestDevice on) {
        Device device = on.device();
        BatchNorm.Builder builder = BatchNorm.builder(CHANNELS)
                .runningAverage(RunningAverage.biasCorrectedExponential(0.1))
                .nonFinite(NonFinitePolicy.SKIP_RUNNING_UPDATE);
        try (BatchNorm norm = builder.build(device);
                BatchNorm undisturbed = builder.build(device);
                Tensor first = batch(5, 1).with(3, 0, Float.NaN).on(device);
                Tensor second = batch(5, 2).on(device)) {
            norm.forward(first).close();
            undisturbed.forward(first).close();
            try (RunningSnapshot before = norm.snapshotRunning()) {
                PopulationStatistics.estimate(
                        norm, List.of(second, second, second).iterator());
                assertThat(norm.batchesTracked()).isEqualTo(3);
                before.restore();
                assertThat(norm.batchesTracked()).isOne();
                norm.loadStateLeniently(StateDict.of(Map.of("num_batches_tracked", StateArray.scalar(40))));
            }
            assertThat(mean(norm)).isEqualTo(mean(undisturbed));
            assertThat(norm.batchesTracked()).isOne();
            norm.forward(second).close();
            undisturbed.forward(second).close();
            assertThat(mean(norm))
                    .as("also of the channel that sat out a batch, whose count is its own")
                    .isEqualTo(mean(undisturbed));
            assertThat(variance(norm)).isEqualTo(variance(undisturbed));

            RunningSnapshot late = norm.snapshotRunning();
            norm.close();
            late.close();
            assertThatThrownBy(late::restore).isInstanceOf(IllegalStateException.class);
        }
    }

    @OnEveryDevice
    void evalAdapted_byWeight_goesFromTheRunningToTheBatchsStatistics(TestDevice on) {
        Device device = on.device();
        Batch x = batch(4, 9);
        Batch dy = Batch.gradient(x.shape(), LAYOUT, 10);
        Batch residual = Batch.gradient(x.shape(), LAYOUT, 11);
        try (BatchNorm norm =
                        BatchNorm.builder(CHANNELS).activation(Activation.RELU).build(device);
                Tensor earlier = Batch.random(Shape.of(6, CHANNELS, 3), LAYOUT, 8, channel -> 1000 + 1.5 * channel)
                        .on(device)) {
            PopulationStatistics.estimate(norm, List.of(earlier).iterator());
            Step training;
            try (RunningSnapshot before = norm.snapshotRunning()) {
                training = Step.of(norm, x, residual, dy);
                assertThat(before).isNotNull();
            }
            norm.eval();
            Step evaluated = Step.of(norm, x, residual, dy);
            float[] runningMean = mean(norm);
            float[] runningVariance = variance(norm);

            norm.evalAdapted(0);
            Step.of(norm, x, residual, dy).assertSameBits(evaluated, "weight 0 is evaluation");
            norm.evalAdapted(1);
            Closeness.assertWithin(
                    "y at weight 1, as in training",
                    Step.of(norm, x, residual, dy).y(),
                    Closeness.wide(training.y()),
                    Closeness.BOUND * Closeness.largest(Closeness.wide(training.y())));

            norm.evalAdapted(0.25);
            Step mixed = Step.of(norm, x, residual, dy);
            for (int c = 0; c < CHANNELS; c++) {
                double[] values = x.channel(c);
                double mean = 0.75 * runningMean[c] + 0.25 * Formulas.mean(values);
                double invstd = 1 / Math.sqrt(0.75 * runningVariance[c] + 0.25 * Formulas.variance(values) + 1e-5);
                double[] added = residual.channel(c);
                double[] gradient = dy.channel(c);
                double[] y = x.holding(mixed.y()).channel(c);
                double[] dx = x.holding(mixed.dx()).channel(c);
                for (int i = 0; i < values.length; i++) {
                    double expected = Math.max(0, (values[i] - mean) * invstd + added[i]);
                    assertThat(y[i]).isCloseTo(expected, within(5e-6));
                    assertThat(dx[i])
                            .as("the statistics are constants")
                            .isCloseTo(y[i] > 0 ? gradient[i] * invstd : 0, within(5e-6));
                }
            }
            assertThat(mixed.runningMean()).isEqualTo(runningMean);
            assertThat(norm.batchesTracked()).isOne();
            norm.eval();
            Step.of(norm, x, residual, dy).assertSameBits(evaluated, "eval() adapts no more");
        }
    }
}
