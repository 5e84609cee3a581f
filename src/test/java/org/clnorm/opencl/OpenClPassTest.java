package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.assertj.core.data.Offset;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.plan.Strategy;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a prepared pass keeps, for how long, and that it is not taken for another's. */
class OpenClPassTest {
    private static final int CHANNELS = 3;
    private static final int ELEMENTS = 1000;

    static List<String> strategies() {
        return DefaultDevice.strategies();
    }

    /** The memory of training passes that have a running mean. */
    private static final class Training {
        final OpenClBackend owner;
        final Coefficients coefficients;
        final Operand x;
        final Operand y;
        final List<Operand> running = new ArrayList<>();

        Training(OpenClBackend owner) {
            this.owner = owner;
            this.coefficients = owner.newCoefficients(CHANNELS);
            this.x = new Operand(owner.allocate(ELEMENTS), 0);
            this.y = new Operand(owner.allocate(ELEMENTS), 0);
            float[] values = new float[ELEMENTS];
            for (int i = 0; i < values.length; i++) {
                values[i] = i * i % 97;
            }
            owner.write(x, FloatBuffer.wrap(values));
            for (int i = 0; i < 3; i++) {
                running.add(new Operand(owner.allocate(CHANNELS), 0));
            }
        }

        Operands operands(Operand x) {
            return new Operands()
                    .put(Role.X, x)
                    .put(Role.Y, y)
                    .put(Role.RUNNING_MEAN, running.get(0))
                    .put(Role.RUNNING_VARIANCE, running.get(1))
                    .put(Role.ABSORBED, running.get(2));
        }

        PreparedPass prepare(OpenClBackend on, int n, int length, RunningAverage average) {
            return on.prepare(new ForwardTraining(
                    Normalization.BATCH,
                    Shape.of(n, CHANNELS, length),
                    Layout.CHANNELS_FIRST,
                    operands(x).types(),
                    Activation.NONE,
                    1e-5,
                    new RunningUpdate(average, RunningVariance.BIASED),
                    NonFinitePolicy.PROPAGATE));
        }

        /** The running mean after one batch. */
        float[] run(PreparedPass pass, Operand x) {
            running.forEach(vector -> owner.fill(vector, CHANNELS, 1));
            pass.run(operands(x), coefficients);
            FloatBuffer mean = FloatBuffer.allocate(CHANNELS);
            owner.read(running.get(0), mean);
            return mean.array();
        }

        float[] runOnce(OpenClBackend on, int n, RunningAverage average) {
            try (PreparedPass pass = prepare(on, n, 5, average)) {
                return run(pass, x);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void run_passesOfOtherRunningAverages_eachGoesByItsOwn(String strategy) {
        List<RunningAverage> averages = List.of(
                RunningAverage.exponential(0.5),
                RunningAverage.exponential(0.25),
                RunningAverage.cumulative(),
                RunningAverage.biasCorrectedExponential(0.5));
        try (OpenClBackend on = DefaultDevice.open(strategy)) {
            Training training = new Training(on);
            float mean = training.runOnce(on, 7, RunningAverage.exponential(1))[0];
            List<PreparedPass> passes = averages.stream()
                    .map(average -> training.prepare(on, 7, 5, average))
                    .toList();
            for (int round = 0; round < 2; round++) {
                // Started from 1, as if 1 batch had been absorbed; the bias-corrected weight of the second is 1/1.5.
                float[] weights = {0.5f, 0.25f, 0.5f, 0.5f / 0.75f};
                for (int i = 0; i < averages.size(); i++) {
                    assertThat(training.run(passes.get(i), training.x)[0])
                            .as("%s", averages.get(i))
                            .isCloseTo(1 + weights[i] * (mean - 1), Offset.offset(1e-4f));
                }
            }
        }
    }

    @Test
    void run_offsetsAtOtherLines_takesOtherKernelsWhereTheyRelyOnThem() {
        for (String strategy : DefaultDevice.strategies()) {
            try (OpenClBackend on = DefaultDevice.open(strategy)) {
                Training training = new Training(on);
                OpenClPass pass = (OpenClPass) training.prepare(on, 3, 8, RunningAverage.cumulative());
                for (int offset : new int[] {0, 4, 1, 8, 3}) {
                    training.run(pass, new Operand(training.x.memory(), offset));
                }

                assertThat(pass.variants())
                        .as("%s: one for multiples of 4 elements, one for the rest", strategy)
                        .isEqualTo(strategy.startsWith("gpu") ? 2 : 1);
            }
        }
    }

    @Test
    void run_passesOfTwoBackendsOverTheSameMemory_eachByItsOwnKernels() {
        try (OpenClBackend on = DefaultDevice.open("cpu-fused")) {
            Training training = new Training(on);
            float[] expected = training.runOnce(on, 7, RunningAverage.cumulative());
            try (OpenClBackend split = on.under(Strategy.named("cpu-split", on.facts()))) {
                assertThat(training.runOnce(split, 7, RunningAverage.cumulative()))
                        .usingComparatorWithPrecision(1e-4f)
                        .containsExactly(expected);
                assertThat(split.launches())
                        .containsKeys("fold_moments")
                        .doesNotContainKey("normalize_pipelined_segmented");
            }
            assertThat(training.runOnce(on, 7, RunningAverage.cumulative())).isEqualTo(expected);
        }
    }

    @Test
    void run_otherOperandsThanItWasPreparedFor_isRefusedAndNothingIsWritten() {
        try (OpenClBackend on = DefaultDevice.open(null)) {
            Training training = new Training(on);
            on.fill(training.y, ELEMENTS, 7);
            try (PreparedPass pass = training.prepare(on, 7, 5, RunningAverage.cumulative())) {
                Operands more = training.operands(training.x).put(Role.RESIDUAL, training.x);

                assertThatThrownBy(() -> pass.run(more, training.coefficients))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("prepared for the operands {X=float32, Y=float32, RUNNING_MEAN")
                        .hasMessageContaining("given were {X=float32, RESIDUAL=float32");
            }
            FloatBuffer y = FloatBuffer.allocate(ELEMENTS);
            on.read(training.y, y);
            assertThat(y.array()).containsOnly(7);
        }
    }

    @Test
    void run_closedPass_isRefused() {
        try (OpenClBackend on = DefaultDevice.open(null)) {
            Training training = new Training(on);
            PreparedPass pass = training.prepare(on, 7, 5, RunningAverage.cumulative());
            training.run(pass, training.x);

            pass.close();
            pass.close();

            assertThatThrownBy(() -> training.run(pass, training.x))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("closed");
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void kernels_ofPassesThatWentAndThatStayed_areReleasedWithTheBackend(String strategy) throws Exception {
        try (DefaultDevice.Foreign caller = new DefaultDevice.Foreign()) {
            int before = references(caller);
            OpenClBackend on = OpenClBackend.over(caller.context, caller.device, caller.queue, strategy);
            Training training = new Training(on);
            for (int n = 1; n < 10; n++) {
                training.runOnce(on, n, RunningAverage.cumulative());
                training.run(training.prepare(on, n, 5, RunningAverage.cumulative()), training.x);
            }
            for (int count = 1; count < 40; count++) {
                on.copy(training.x, training.y, count);
            }
            assertThat(references(caller))
                    .as("kernels hold their program, and that the context, or this would say nothing")
                    .isGreaterThan(before);

            on.close();

            long deadline = System.nanoTime() + 5_000_000_000L; // the driver may tidy up after a command later
            while (references(caller) > before && System.nanoTime() < deadline) {
                Thread.sleep(5);
            }
            assertThat(references(caller)).isEqualTo(before);
        }
    }

    private static int references(DefaultDevice.Foreign on) {
        int[] count = new int[1];
        OpenClException.check(
                CL.clGetContextInfo(on.context, CL.CL_CONTEXT_REFERENCE_COUNT, Sizeof.cl_uint, Pointer.to(count), null),
                "Asking for a context's references");
        return count[0];
    }
}
