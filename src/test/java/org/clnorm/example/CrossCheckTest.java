package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import org.clnorm.Activation;
import org.clnorm.Device;
import org.clnorm.Normalizer;
import org.clnorm.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.slf4j.LoggerFactory;

final class CrossCheckTest {
    @Test
    void of_referenceItself_differsNowhere() {
        try (Device device = Device.cpuReference()) {
            assertThat(CrossCheck.of(Norm.BATCH, device, 30, 17).rows())
                    .hasSize(10)
                    .allSatisfy(row -> {
                        assertThat(row.error()).isZero();
                        assertThat(row.largest())
                                .as("an array of zeros would compare nothing")
                                .isPositive();
                    });
        }
    }

    @ParameterizedTest
    @EnumSource(Norm.class)
    void of_defaultDevice_agrees(Norm norm) {
        try (Device device = Device.open()) {
            CrossCheck check = CrossCheck.of(norm, device, 100, 128);
            assertThat(check.rows())
                    .allSatisfy(
                            row -> assertThat(row.agrees()).as(row.toString()).isTrue());
            assertThat(check.rows())
                    .extracting(CrossCheck.Row::array)
                    .as("arrays of %s", norm)
                    .contains(
                            norm == Norm.NONE
                                    ? new String[0]
                                    : norm == Norm.RMS
                                            ? new String[] {"y", "dx", "dγ"}
                                            : new String[] {"y", "dx", "dγ", "dβ"});
        }
    }

    /** So what the example trained with was checked, all of it: the demo needs no other check. */
    @ParameterizedTest
    @EnumSource(value = Norm.class, names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void of_trainingAfterIt_buildsNoOtherKernel(Norm norm) throws IOException {
        Settings settings = new Settings(1, 100, 0.02, 0.5, 1, 0, norm);
        TrainingExample example = new TrainingExample(settings, Digits.bundled().range(0, 625));
        try (Device device = Device.open();
                Builds builds = new Builds()) {
            CrossCheck.of(norm, device, settings.batch(), Network.HIDDEN);
            int checked = builds.count();
            assertThat(checked).isPositive();

            example.train(device, new ConsoleTables(new PrintWriter(Writer.nullWriter())), false);

            assertThat(builds.count()).isEqualTo(checked);
        }
    }

    /** Counts programs as they are built. */
    private static final class Builds implements AutoCloseable {
        private final Logger logger = (Logger) LoggerFactory.getLogger("org.clnorm.opencl.Kernels");
        private final Level before = logger.getLevel();
        private final ListAppender<ILoggingEvent> logged = new ListAppender<>();

        Builds() {
            logger.setLevel(Level.DEBUG);
            logger.setAdditive(false);
            logger.addAppender(logged);
            logged.start();
        }

        int count() {
            return (int) logged.list.stream()
                    .filter(event -> event.getMessage().startsWith("Built "))
                    .count();
        }

        @Override
        public void close() {
            logger.detachAppender(logged);
            logger.setAdditive(true);
            logger.setLevel(before);
        }
    }

    @Test
    void agrees_nanOrTooFar_no() {
        assertThat(new CrossCheck.Row("training", "y", 4.9e-7, 1).agrees()).isTrue();
        assertThat(new CrossCheck.Row("training", "y", 5.1e-7, 1).agrees()).isFalse();
        assertThat(new CrossCheck.Row("training", "y", Double.NaN, 1).agrees())
                .as("NaN is the largest error there is")
                .isFalse();
        assertThat(new CrossCheck.Row("training", "y", 1, 0).agrees()).isFalse();
    }

    @Test
    void clearOfTheCorner_valuesNearZeroBeforeTheRelu_getNoGradient() {
        CrossCheck.Inputs random = CrossCheck.Inputs.random(Norm.BATCH, 1000, 128);
        try (Device device = Device.cpuReference();
                Normalizer norm = random.layer(device, Activation.NONE);
                Tensor x = random.on(device, random.x());
                Tensor y = norm.forward(x)) {
            float[] clear = random.clearOfTheCorner(device).dy();
            float[] before = y.download();
            int near = 0;
            int kept = 0;
            for (int i = 0; i < before.length; i++) {
                if (Math.abs(before[i]) < 9e-5) {
                    near++;
                    assertThat(clear[i])
                            .as("a device with honest rounding must not fail by bad luck")
                            .isZero();
                }
                kept += clear[i] == random.dy()[i] ? 1 : 0;
            }
            assertThat(near).as("the case occurs").isPositive();
            assertThat(kept).as("all but a few are left as they were").isGreaterThan(before.length * 999 / 1000);
        }
    }
}
