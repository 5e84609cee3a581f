package org.clnorm.diagnostics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.util.List;
import java.util.Optional;
import org.assertj.core.data.Offset;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.RunningAverage;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.slf4j.LoggerFactory;

final class DiagnoserTest {
    private static final Offset<Double> PRECISION = within(1e-6);

    private final Device device = Device.cpuReference();
    private final Logger logger = (Logger) LoggerFactory.getLogger(Diagnoser.class);
    private final ListAppender<ILoggingEvent> logged = new ListAppender<>();

    @BeforeEach
    void listen() {
        logged.start();
        logger.setLevel(Level.INFO);
        logger.addAppender(logged);
    }

    @AfterEach
    void close() {
        logger.detachAppender(logged);
        logger.setLevel(null);
        device.close();
    }

    private Tensor tensor(Shape shape, Layout layout, float... values) {
        return device.upload(values, shape, layout);
    }

    /** Channels (1, 3, 1, 3), mean 2 and variance 1, and (0, 0, 0, 8), mean 2 and variance 12. */
    private static final Shape TWO = Shape.of(4, 2);

    private static final float[] X = {1, 0, 3, 0, 1, 0, 3, 8};

    private Diagnostics of(BatchNorm norm, Tensor y) {
        return Diagnoser.every(1).named("it").observe(norm, y).orElseThrow();
    }

    @Test
    void observe_twoChannels_measuresTheBatchAgainstTheRunningStatistics() {
        try (BatchNorm norm = BatchNorm.builder(2)
                        .epsilon(0.25)
                        .runningAverage(RunningAverage.exponential(0.5))
                        .build(device);
                Tensor x = tensor(TWO, Layout.CHANNELS_FIRST, X);
                Tensor y = norm.forward(x)) {
            Diagnostics seen = of(norm, y);
            // Running means are 1 and 1; running variances (1 + 4/3)/2 and (1 + 16)/2.
            double first = Math.sqrt(7 / 6.0 + 0.25);
            double second = Math.sqrt(8.5 + 0.25);
            assertThat(seen.meanDistance()).containsExactly(new double[] {1 / first, 1 / second}, PRECISION);
            assertThat(seen.deviationLogRatio())
                    .containsExactly(
                            new double[] {Math.log(Math.sqrt(1.25) / first), Math.log(Math.sqrt(12.25) / second)},
                            PRECISION);
            assertThat(seen.medianMeanDistance()).as("the lower of two").isCloseTo(1 / second, PRECISION);
            assertThat(seen.largestMeanDistance()).isCloseTo(1 / first, PRECISION);
            assertThat(seen.smallestDeviationRatio()).isCloseTo(Math.sqrt(1.25) / first, PRECISION);
            assertThat(seen.largestDeviationRatio()).isCloseTo(3.5 / second, PRECISION);
            assertThat(seen.channels()).isEqualTo(2);
        }
    }

    @Test
    void observe_relu_countsZerosAndDeadChannels() {
        try (BatchNorm norm = BatchNorm.builder(2).activation(Activation.RELU).build(device);
                Tensor x = tensor(TWO, Layout.CHANNELS_FIRST, X)) {
            norm.beta().orElseThrow().value().upload(new float[] {0, -9});
            try (Tensor y = norm.forward(x)) {
                Diagnostics seen = of(norm, y);
                assertThat(seen.zeroShare()).containsExactly(0.5, 1);
                assertThat(seen.zeros()).isEqualTo(0.75);
                assertThat(seen.deadChannels()).containsExactly(1);
                assertThat(seen.deadShare()).isEqualTo(0.5);
                assertThat(seen.isHealthy()).isFalse();
                assertThat(logged.list).singleElement().satisfies(event -> {
                    assertThat(event.getLevel()).isEqualTo(Level.WARN);
                    assertThat(event.getFormattedMessage()).contains("it, step 1: ", "1 of 2 channels dead");
                });
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void observe_planesInEitherLayout_arePutDownToTheirChannels(Layout layout) {
        for (Shape shape : List.of(Shape.of(2, 3, 4), Shape.of(2, 3, 2, 2), Shape.of(2, 3, 2, 1, 2))) {
            float[] values = new float[24];
            for (int n = 0; n < 2; n++) {
                for (int c = 0; c < 3; c++) {
                    for (int s = 0; s < 4; s++) {
                        int index = layout == Layout.CHANNELS_FIRST ? (n * 3 + c) * 4 + s : (n * 4 + s) * 3 + c;
                        values[index] = c == 0 ? 0 : c == 1 ? s : n == 0 ? Float.NaN : Float.NEGATIVE_INFINITY;
                    }
                }
            }
            try (BatchNorm norm = BatchNorm.builder(3).build(device);
                    Tensor x = tensor(shape, layout, new float[24]);
                    Tensor y = tensor(shape, layout, values)) {
                norm.forward(x).close();
                Diagnostics seen = of(norm, y);
                assertThat(seen.zeroShare()).as("%s %s", shape, layout).containsExactly(1, 0.25, 0);
                assertThat(seen.nonFinite()).containsExactly(0, 0, 8);
                assertThat(seen.nonFiniteChannels()).containsExactly(2);
            }
        }
    }

    @Test
    void observe_smallAndNegativeGamma_areByMagnitude() {
        try (BatchNorm norm = BatchNorm.builder(4).build(device);
                Tensor x = tensor(Shape.of(2, 4), Layout.CHANNELS_FIRST, 1, 2, 3, 4, 5, 6, 7, 8)) {
            norm.gamma().orElseThrow().value().upload(new float[] {0, -0.25f, 0.125f, -2});
            try (Tensor y = norm.forward(x)) {
                Diagnostics seen =
                        Diagnoser.every(1).smallGamma(0.25).observe(norm, y).orElseThrow();
                assertThat(seen.gamma()).containsExactly(0, -0.25, 0.125, -2);
                assertThat(seen.smallGammaChannels()).containsExactly(0, 2);
                assertThat(of(norm, y).smallGammaChannels()).as("below 0.01").containsExactly(0);
                assertThat(seen.deadChannels())
                        .as("a gamma of 0 without a beta lets nothing through")
                        .containsExactly(0);
            }
        }
    }

    @Test
    void observe_nanInTheBatch_isCountedWhereverItGot() {
        try (BatchNorm norm = BatchNorm.builder(2).build(device);
                Tensor x = tensor(TWO, Layout.CHANNELS_FIRST, 1, 0, Float.NaN, 0, 1, 0, 3, 8);
                Tensor y = norm.forward(x)) {
            norm.gamma().orElseThrow().value().upload(new float[] {1, Float.POSITIVE_INFINITY});
            Diagnostics seen = of(norm, y);
            assertThat(seen.nonFinite()).containsExactly(4, 0);
            assertThat(seen.nonFiniteParameters()).isEqualTo(1);
            assertThat(seen.nonFiniteStatistics()).as("mean and variance").isEqualTo(2);
            assertThat(seen.nonFiniteCount()).isEqualTo(7);
            assertThat(seen.meanDistance()[0]).isNaN();
            assertThat(seen.largestMeanDistance()).as("of those that are").isEqualTo(seen.meanDistance()[1]);
            assertThat(logged.list).singleElement().satisfies(event -> {
                assertThat(event.getLevel()).isEqualTo(Level.WARN);
                assertThat(event.getFormattedMessage())
                        .contains("not finite: 4 outputs in 1 channels, 1 parameters, 2 running statistics");
            });
        }
    }

    @Test
    void observe_noRunningStatisticsNorParameters_saysWhatThereIs() {
        try (BatchNorm norm = BatchNorm.builder(2)
                        .gamma(false)
                        .beta(false)
                        .runningAverage(RunningAverage.none())
                        .build(device);
                Tensor x = tensor(TWO, Layout.CHANNELS_FIRST, X);
                Tensor y = norm.forward(x)) {
            Diagnostics seen = of(norm, y);
            assertThat(seen.meanDistance()).isEmpty();
            assertThat(seen.deviationLogRatio()).isEmpty();
            assertThat(seen.gamma()).isEmpty();
            assertThat(seen.smallGammaChannels()).isEmpty();
            assertThat(seen.medianMeanDistance()).isNaN();
            assertThat(seen.summary()).isEqualTo("it, step 1: 0.0 % zeros, 0 of 2 channels dead, all finite");
        }
    }

    @Test
    void observe_interval_looksAtEveryNthStepOnly() {
        try (BatchNorm norm = BatchNorm.builder(2).build(device);
                Tensor x = tensor(TWO, Layout.CHANNELS_FIRST, X);
                Tensor y = norm.forward(x)) {
            Diagnoser diagnoser = Diagnoser.every(3);
            for (int step = 1; step <= 7; step++) {
                Optional<Diagnostics> seen = diagnoser.observe(norm, y);
                assertThat(seen.map(Diagnostics::step))
                        .isEqualTo(step % 3 == 0 ? Optional.of((long) step) : Optional.empty());
            }
            assertThat(logged.list).hasSize(2).allSatisfy(event -> {
                assertThat(event.getLevel()).isEqualTo(Level.INFO);
                assertThat(event.getFormattedMessage()).contains("all finite").doesNotContain("\n");
            });
        }
    }

    @Test
    void observe_off_doesNotEvenLookAtTheArguments() {
        assertThat(Diagnoser.off().observe(null, null)).isEmpty();
        assertThat(Diagnoser.every(0).isOn()).isFalse();
        assertThat(Diagnoser.every(2).observe(null, null)).as("nor between").isEmpty();
    }

    @Test
    void observe_evaluationOrOtherChannels_isRefused() {
        try (BatchNorm norm = BatchNorm.builder(2).build(device);
                Tensor x = tensor(TWO, Layout.CHANNELS_FIRST, X);
                Tensor y = norm.forward(x);
                Tensor other = tensor(Shape.of(2, 4), Layout.CHANNELS_FIRST, X)) {
            assertThatThrownBy(() -> of(norm, other))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("2 channels", "(2, 4)");
            norm.eval();
            assertThatThrownBy(() -> of(norm, y))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("evaluation");
        }
    }

    @Test
    void diagnoser_wrongSettings_saysWhatWasGiven() {
        assertThatThrownBy(() -> Diagnoser.every(-1)).hasMessageContaining("-1");
        assertThatThrownBy(() -> Diagnoser.every(1).smallGamma(Double.NaN)).hasMessageContaining("NaN");
    }

    @Test
    void diagnostics_arrays_cannotBeChanged() {
        double[] zeros = {0, 1};
        Diagnostics seen =
                new Diagnostics("it", 1, new double[2], new double[2], zeros, new long[2], new double[2], 0.01, 0, 0);
        zeros[0] = 1;
        seen.zeroShare()[0] = 1;
        seen.nonFinite()[0] = 1;
        seen.meanDistance()[0] = 1;
        seen.deviationLogRatio()[0] = 1;
        seen.gamma()[0] = 1;
        assertThat(seen.deadChannels()).containsExactly(1);
        assertThat(seen.nonFiniteCount()).isZero();
        assertThat(seen.largestMeanDistance()).isZero();
        assertThat(seen.largestDeviationRatio()).isEqualTo(1);
        assertThat(seen.smallGammaChannels()).hasSize(2);
    }

    @Test
    void saturation_valuesAtTheEnds_isTheirShare() {
        float[] sigmoid = {0, 0.0625f, 0.07f, 0.5f, 0.9375f, 1, 0.93f, Float.NaN};
        assertThat(Saturation.ofSigmoid(sigmoid, 0.0625)).isEqualTo(4 / 8.0);
        float[] tanh = {-1, -0.9375f, -0.93f, 0, 0.94f};
        assertThat(Saturation.ofTanh(tanh, 0.0625)).isEqualTo(3 / 5.0);
        assertThat(Saturation.ofTanh(new float[0], 0)).isZero();
        assertThatThrownBy(() -> Saturation.ofSigmoid(sigmoid, 0.5)).hasMessageContainingAll("0.5");
        assertThatThrownBy(() -> Saturation.ofTanh(tanh, -0.1)).hasMessageContaining("-0.1");
    }
}
