package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What training leaves for evaluation. */
final class BatchNormRunningStatisticsTest {
    private static final int BATCHES = 5;
    private static final int CHANNELS = 3;
    private static final Shape SHAPE = Shape.of(4, CHANNELS, 5);

    private static Batch batch(int number) {
        return batch(number, Layout.CHANNELS_FIRST);
    }

    private static Batch batch(int number, Layout layout) {
        return Batch.random(SHAPE, layout, 100 + number, channel -> channel + number);
    }

    private static void train(BatchNorm norm, Batch... batches) {
        for (Batch batch : batches) {
            try (Tensor x = batch.on(norm.device());
                    Tensor y = norm.forward(x)) {
                assertThat(y.shape()).isEqualTo(batch.shape());
            }
        }
    }

    static Stream<Arguments> everyKind() {
        List<RunningAverage> averages = List.of(
                RunningAverage.exponential(0),
                RunningAverage.exponential(0.3),
                RunningAverage.exponential(1),
                RunningAverage.cumulative(),
                RunningAverage.biasCorrectedExponential(0.2),
                RunningAverage.biasCorrectedExponential(1e-3),
                RunningAverage.biasCorrectedExponential(1));
        return Stream.of(TestDevice.values()).flatMap(on -> Stream.of(Layout.values())
                .flatMap(layout -> Stream.of(RunningVariance.values()).flatMap(estimate -> averages.stream()
                        .map(average -> Arguments.of(on, layout, estimate, average)))));
    }

    @ParameterizedTest
    @MethodSource("everyKind")
    void forward_overSeveralBatches_leavesTheAverageByItsDefinition(
            TestDevice on, Layout layout, RunningVariance estimate, RunningAverage average) {
        try (BatchNorm norm = BatchNorm.builder(CHANNELS)
                .runningAverage(average)
                .runningVariance(estimate)
                .build(on.device())) {
            for (int seen = 1; seen <= BATCHES; seen++) {
                train(norm, batch(seen, layout));
                assertRunning(norm, average, estimate, seen);
                assertThat(norm.batchesTracked()).isEqualTo(seen);
            }
        }
    }

    private static void assertRunning(BatchNorm norm, RunningAverage average, RunningVariance estimate, int seen) {
        double m = 4 * 5;
        double correction = estimate == RunningVariance.UNBIASED ? m / (m - 1) : 1;
        double[] means = new double[CHANNELS];
        double[] variances = new double[CHANNELS];
        for (int c = 0; c < CHANNELS; c++) {
            int channel = c;
            means[c] = average(average, 0, seen, b -> Formulas.mean(batch(b).channel(channel)));
            variances[c] = average(average, 1, seen, b -> correction * Formulas.variance(batch(b).channel(channel)));
        }
        Closeness.assertClose("running mean after " + seen, download(norm.runningMean()), means);
        Closeness.assertClose("running variance after " + seen, download(norm.runningVariance()), variances);
    }

    /** 1 − 0.001 as a float32 is off by 1.3e-8, and of thousands of batches an average would come out 1.3e-5 too large. */
    @OnEveryDevice
    void forward_overThousandsOfBatchesOfSmallWeight_averagesWithWeightsThatAddUpToOne(TestDevice on) {
        double weight = 0.001;
        int batches = 8000;
        SplittableRandom random = new SplittableRandom(1);
        float[] values = new float[2 * batches];
        double mean = 0;
        double variance = 1;
        for (int b = 0; b < batches; b++) {
            values[2 * b] = (float) (1000 + random.nextGaussian());
            values[2 * b + 1] = (float) (1000 + random.nextGaussian());
            double distance = (double) values[2 * b + 1] - values[2 * b];
            mean += weight * (values[2 * b] + distance / 2 - mean);
            variance += weight * (distance * distance / 2 - variance);
        }
        try (BatchNorm norm = BatchNorm.builder(1)
                        .virtualBatch(2)
                        .runningAverage(RunningAverage.exponential(weight))
                        .build(on.device());
                Tensor x = on.device().upload(values, Shape.of(values.length, 1), Layout.CHANNELS_FIRST);
                Tensor y = norm.forward(x)) {
            assertThat(y.shape()).isEqualTo(x.shape());
            // Some 30 roundings of either sign are left of all.
            assertThat(download(norm.runningMean())[0]).isCloseTo((float) mean, within((float) (4e-6 * mean)));
            assertThat(download(norm.runningVariance())[0])
                    .isCloseTo((float) variance, within((float) (4e-6 * variance)));
        }
    }

    private static float[] download(java.util.Optional<Tensor> statistics) {
        return statistics.orElseThrow().download();
    }

    private interface OfBatch {
        double at(int number);
    }

    /** By the sum over all batches that each definition is of, not by the update of one batch that follows from it. */
    private static double average(RunningAverage average, double initial, int seen, OfBatch statistic) {
        double w = average.newBatchWeight();
        double exponential = IntStream.rangeClosed(1, seen)
                .mapToDouble(b -> w * Math.pow(1 - w, seen - b) * statistic.at(b))
                .sum();
        return switch (average.kind()) {
            case EXPONENTIAL -> Math.pow(1 - w, seen) * initial + exponential;
            case CUMULATIVE ->
                IntStream.rangeClosed(1, seen).mapToDouble(statistic::at).sum() / seen;
            case BIAS_CORRECTED_EXPONENTIAL -> exponential / (1 - Math.pow(1 - w, seen));
            case NONE -> throw new AssertionError("there is nothing to average");
        };
    }

    @OnEveryDevice
    void forward_withNoRunningAverage_usesTheBatchInBothModes(TestDevice on) {
        try (BatchNorm none = BatchNorm.builder(CHANNELS)
                        .runningAverage(RunningAverage.none())
                        .build(on.device());
                BatchNorm training = BatchNorm.builder(CHANNELS).build(on.device())) {
            Batch dy = Batch.gradient(SHAPE, Layout.CHANNELS_FIRST, 3);
            Step expected = Step.of(training, batch(1), null, dy);
            Step trained = Step.of(none, batch(1), null, dy);
            none.eval();
            Step evaluated = Step.of(none, batch(1), null, dy);

            assertThat(trained.y()).isEqualTo(expected.y());
            assertThat(evaluated.y())
                    .as("there is nothing else to normalize with")
                    .isEqualTo(expected.y());
            assertThat(evaluated.dx()).as("the statistics depend on x then").isEqualTo(expected.dx());
            assertThat(none.runningMean()).isEmpty();
            assertThat(none.runningVariance()).isEmpty();
            assertThat(none.batchesTracked()).isZero();
        }
    }

    @OnEveryDevice
    void forward_inEvaluation_changesNoStatistics(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(on.device())) {
            train(norm, batch(1), batch(2));
            float[] mean = download(norm.runningMean());
            float[] variance = download(norm.runningVariance());
            norm.eval();
            assertThat(norm.isTraining()).isFalse();
            train(norm, batch(3));
            assertThat(download(norm.runningMean())).isEqualTo(mean);
            assertThat(download(norm.runningVariance())).isEqualTo(variance);
            assertThat(norm.batchesTracked()).isEqualTo(2);

            norm.train();
            assertThat(norm.isTraining()).isTrue();
            train(norm, batch(3));
            assertThat(norm.batchesTracked()).isEqualTo(3);
            assertRunning(norm, RunningAverage.exponential(0.1), RunningVariance.UNBIASED, 3);
        }
    }

    @OnEveryDevice
    void forward_inEvaluation_normalizesEachBatchAlike(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(on.device())) {
            train(norm, batch(1), batch(2));
            norm.eval();
            Batch x = batch(3);
            Step together = Step.of(norm, x, null, x);
            float[] firstOnly = Arrays.copyOf(x.values(), x.values().length / 4);
            Batch first = new Batch(Shape.of(1, CHANNELS, 5), Layout.CHANNELS_FIRST, firstOnly);
            assertThat(Step.of(norm, first, null, first).y())
                    .as("a sample's prediction may not depend on the others in its batch")
                    .isEqualTo(Arrays.copyOf(together.y(), firstOnly.length));
        }
    }

    @OnEveryDevice
    void forward_whenTheRunningStatisticsAreTheBatchs_isTheSameInBothModes(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(CHANNELS)
                .runningAverage(RunningAverage.exponential(1))
                .runningVariance(RunningVariance.BIASED)
                .build(on.device())) {
            Batch x = batch(1);
            Step trained = Step.of(norm, x, null, x);
            norm.eval();
            Step evaluated = Step.of(norm, x, null, x);
            Closeness.assertWithin(
                    "y by statistics that are the batch's", evaluated.y(), Closeness.wide(trained.y()), 3e-6);
        }
    }

    @OnEveryDevice
    void reset_afterTraining_isAsNew(TestDevice on) {
        BatchNorm.Builder builder = BatchNorm.builder(CHANNELS).runningAverage(RunningAverage.cumulative());
        try (BatchNorm used = builder.build(on.device());
                BatchNorm fresh = builder.build(on.device())) {
            Batch dy = Batch.gradient(SHAPE, Layout.CHANNELS_FIRST, 4);
            Step.of(used, batch(1), null, dy);
            used.gamma().orElseThrow().value().fill(7);
            used.beta().orElseThrow().value().fill(7);
            used.reset();

            assertThat(used.batchesTracked()).isZero();
            assertThat(download(used.runningMean())).containsOnly(0);
            assertThat(download(used.runningVariance())).containsOnly(1);
            for (Parameter parameter : used.parameters()) {
                assertThat(parameter.gradient().download()).containsOnly(0);
            }
            Step.of(used, batch(2), null, dy)
                    .assertSameBits(
                            Step.of(fresh, batch(2), null, dy),
                            "the count of batches behind a cumulative average starts again too");
        }
    }

    @OnEveryDevice
    void forward_withNewBatchWeight0_keepsTheStatisticsBitForBitAndCounts(TestDevice on) {
        float[] mean = {-0.0f, Float.NaN, 3e38f};
        float[] variance = {0, Float.POSITIVE_INFINITY, 1e-40f};
        BatchNorm.Builder builder = BatchNorm.builder(CHANNELS).runningAverage(RunningAverage.exponential(0));
        for (BatchNorm.Builder each : List.of(builder, builder.virtualBatch(2))) {
            for (float value : new float[] {1, Float.NaN, Float.POSITIVE_INFINITY, -3e38f}) {
                try (BatchNorm norm = each.build(on.device())) {
                    norm.runningMean().orElseThrow().upload(mean);
                    norm.runningVariance().orElseThrow().upload(variance);
                    Batch bad = batch(1).with(0, 3, value).with(1, 17, value).with(2, 0, value);
                    train(norm, bad, batch(2));
                    assertThat(download(norm.runningMean())).as("%s", value).isEqualTo(mean);
                    assertThat(download(norm.runningVariance())).as("%s", value).isEqualTo(variance);
                    assertThat(norm.batchesTracked()).isEqualTo(2);
                }
            }
        }
    }

    @OnEveryDevice
    void forwardCombined_withNewBatchWeight0_keepsTheStatistics(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(CHANNELS)
                        .runningAverage(RunningAverage.exponential(0))
                        .build(on.device());
                Tensor x = batch(1).with(0, 3, Float.POSITIVE_INFINITY).on(norm.device());
                Tensor y = norm.device().tensor(SHAPE, Layout.CHANNELS_FIRST)) {
            norm.runningMean().orElseThrow().fill(-0.0f);
            norm.forwardCombined(x, null, y, norm.moments(x));
            assertThat(download(norm.runningMean())).isEqualTo(new float[] {-0.0f, -0.0f, -0.0f});
            assertThat(download(norm.runningVariance())).containsOnly(1);
            assertThat(norm.batchesTracked()).isEqualTo(1);
        }
    }

    @OnEveryDevice
    void runningStatistics_uploaded_areWhatTheNextBatchEnters(TestDevice on) {
        try (BatchNorm norm = BatchNorm.builder(CHANNELS)
                .runningAverage(RunningAverage.exponential(0.25))
                .build(on.device())) {
            norm.runningMean().orElseThrow().upload(new float[] {4, 8, -4});
            norm.runningVariance().orElseThrow().upload(new float[] {16, 4, 8});
            train(norm, batch(1));
            double[] means = {3, 6, -3};
            double[] variances = {12, 3, 6};
            for (int c = 0; c < CHANNELS; c++) {
                means[c] += 0.25 * Formulas.mean(batch(1).channel(c));
                variances[c] += 0.25 * 20 / 19 * Formulas.variance(batch(1).channel(c));
            }
            Closeness.assertClose("running mean", download(norm.runningMean()), means);
            Closeness.assertClose("running variance", download(norm.runningVariance()), variances);
        }
    }
}
