package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.plan.Strategy;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a layer keeps of its passes: how much, for how long, and that it is not taken for another's. */
class PlansTest {
    private static final int CHANNELS = 3;

    static List<String> strategies() {
        return DefaultDevice.strategies();
    }

    /** A layer that the test gives one setting after the other. */
    private static final class Layer {
        OpenClBackend on;
        final OpenClSavedStatistics saved;
        final Operand x;
        final Operand y;
        final List<Operand> vectors = new ArrayList<>();

        Layer(OpenClBackend on) {
            this.on = on;
            this.saved = (OpenClSavedStatistics) on.newSavedStatistics(CHANNELS);
            this.x = new Operand(on.allocate(1000), 0);
            this.y = new Operand(on.allocate(1000), 0);
            float[] values = new float[1000];
            for (int i = 0; i < values.length; i++) {
                values[i] = i * i % 97;
            }
            on.write(x, FloatBuffer.wrap(values));
            for (int i = 0; i < 3; i++) {
                vectors.add(new Operand(on.allocate(CHANNELS), 0));
            }
        }

        /** The running mean after one batch. */
        float[] runningMean(int n, double epsilon, RunningAverage average) {
            return runningMean(x, n, 5, epsilon, average);
        }

        float[] runningMean(Operand x, int n, int length, double epsilon, RunningAverage average) {
            vectors.forEach(vector -> on.fill(vector, CHANNELS, 1));
            on.forward(new ForwardTraining(
                    Shape.of(n, CHANNELS, length),
                    Layout.CHANNELS_FIRST,
                    x,
                    null,
                    y,
                    Activation.NONE,
                    null,
                    null,
                    epsilon,
                    saved,
                    average.isTracked()
                            ? new RunningStatistics(
                                    vectors.get(0), vectors.get(1), vectors.get(2), average, RunningVariance.BIASED)
                            : null,
                    NonFinitePolicy.PROPAGATE));
            FloatBuffer mean = FloatBuffer.allocate(CHANNELS);
            on.read(vectors.get(0), mean);
            return mean.array();
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void plans_sameSettingAgain_areUsedAgain(String strategy) {
        try (OpenClBackend on = DefaultDevice.open(strategy)) {
            Layer layer = new Layer(on);
            for (int i = 0; i < 5; i++) {
                layer.runningMean(7, 1e-5, RunningAverage.cumulative());
            }

            assertThat(layer.saved.plans().size()).isEqualTo(1);
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void plans_otherSettingsOfARunningAverage_areOthers(String strategy) {
        List<RunningAverage> averages = List.of(
                RunningAverage.exponential(0.5),
                RunningAverage.exponential(0.25),
                RunningAverage.cumulative(),
                RunningAverage.none(),
                RunningAverage.biasCorrectedExponential(0.5));
        try (OpenClBackend on = DefaultDevice.open(strategy)) {
            Layer layer = new Layer(on);
            Layer other = new Layer(on);
            float mean = other.runningMean(7, 1e-5, RunningAverage.exponential(1))[0];
            for (int round = 0; round < 2; round++) {
                // Started from 1, as if 1 batch had been absorbed; the bias-corrected weight of the second is 1/1.5.
                float[] weights = {0.5f, 0.25f, 0.5f, 0, 0.5f / 0.75f};
                for (int i = 0; i < averages.size(); i++) {
                    assertThat(layer.runningMean(7, 1e-5, averages.get(i))[0])
                            .as("%s", averages.get(i))
                            .isCloseTo(1 + weights[i] * (mean - 1), org.assertj.core.data.Offset.offset(1e-4f));
                }
            }
            assertThat(layer.saved.plans().size()).isEqualTo(averages.size());
        }
    }

    @Test
    void plans_offsetsAtOtherLines_areOthersWhereKernelsRelyOnThem() {
        for (String strategy : DefaultDevice.strategies()) {
            try (OpenClBackend on = DefaultDevice.open(strategy)) {
                Layer layer = new Layer(on);
                for (int offset : new int[] {0, 4, 1, 8, 3}) {
                    Operand x = new Operand(layer.x.memory(), offset);
                    layer.runningMean(x, 3, 8, 1e-5, RunningAverage.none());
                }

                assertThat(layer.saved.plans().size())
                        .as("%s: one for multiples of 4 elements, one for the rest", strategy)
                        .isEqualTo(strategy.startsWith("gpu") ? 2 : 1);
            }
        }
    }

    @Test
    void plans_ofAnotherBackendOverTheSameStatistics_areNotItsOwn() {
        try (OpenClBackend on = DefaultDevice.open("cpu-fused")) {
            Layer layer = new Layer(on);
            float[] expected = layer.runningMean(7, 1e-5, RunningAverage.cumulative());
            try (OpenClBackend split = on.under(Strategy.named("cpu-split", on.facts()))) {
                layer.on = split;
                assertThat(layer.runningMean(7, 1e-5, RunningAverage.cumulative()))
                        .usingComparatorWithPrecision(1e-4f)
                        .containsExactly(expected);
                assertThat(split.launches())
                        .containsKeys("fold_moments")
                        .doesNotContainKey("normalize_pipelined_segmented");
            }
            layer.on = on;
            assertThat(layer.runningMean(7, 1e-5, RunningAverage.cumulative())).isEqualTo(expected);
        }
    }

    @Test
    void plans_moreThanAreKept_areAsManyAsAreKept() {
        try (OpenClBackend on = DefaultDevice.open(null)) {
            Layer layer = new Layer(on);
            for (int n = 1; n < Plans.MOST + 10; n++) {
                layer.runningMean(n, 1e-5, RunningAverage.none());
                assertThat(layer.saved.plans().size()).isEqualTo(Math.min(n, Plans.MOST));
            }
            layer.runningMean(2, 1e-3, RunningAverage.none());

            layer.saved.close();
            layer.saved.close();

            assertThat(layer.saved.plans().size())
                    .as("a layer takes them with it")
                    .isZero();
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void kernels_ofPlansThatWentAndThatStayed_areReleasedWithTheBackend(String strategy) throws Exception {
        try (DefaultDevice.Foreign caller = new DefaultDevice.Foreign()) {
            int before = references(caller);
            OpenClBackend on = OpenClBackend.over(caller.context, caller.device, caller.queue, strategy);
            Layer closed = new Layer(on);
            Layer open = new Layer(on);
            for (int n = 1; n < 2 * Plans.MOST; n++) {
                closed.runningMean(n, 1e-5, RunningAverage.cumulative());
                open.runningMean(n, 1e-5, RunningAverage.cumulative());
            }
            on.copy(open.x, open.y, 10);
            assertThat(references(caller))
                    .as("kernels hold their program, and that the context, or this would say nothing")
                    .isGreaterThan(before);

            closed.saved.close();
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
