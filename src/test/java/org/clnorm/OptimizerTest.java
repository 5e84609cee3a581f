package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.clnorm.optim.Adam;
import org.clnorm.optim.AdamW;
import org.clnorm.optim.RmsProp;
import org.clnorm.optim.Sgd;
import org.clnorm.optim.UpdateRule;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What an optimizer promises beside its numbers, which {@code compare} and {@code verify} hold against others'. */
class OptimizerTest {
    private static final List<UpdateRule> RULES = List.of(
            Sgd.rate(0.1),
            Sgd.rate(0.1).momentum(0.9).dampening(0.1).weightDecay(0.01),
            Sgd.rate(0.1).momentum(0.9).nesterov(true),
            Adam.rate(0.1).weightDecay(0.1),
            AdamW.rate(0.1),
            RmsProp.rate(0.01).momentum(0.5).weightDecay(0.1));

    private final List<AutoCloseable> open = new ArrayList<>();

    private <T extends AutoCloseable> T keep(T made) {
        open.add(0, made);
        return made;
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }

    private static float[] random(long seed, int count) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    @ParameterizedTest
    @EnumSource
    void step_ofManyTensors_changesEachByItsOwnGradientAsIfAlone(TestDevice on) {
        Device device = keep(on.open());
        for (UpdateRule rule : RULES) {
            Optimizer.Builder together = Optimizer.builder(rule);
            List<Tensor> values = new ArrayList<>();
            List<Tensor> alone = new ArrayList<>();
            for (int i = 0; i < 37; i++) { // three launches
                int length = 1 + i * i * 7;
                Tensor gradient = keep(device.vector(random(100 + i, length)));
                values.add(keep(device.vector(random(i, length))));
                alone.add(keep(device.vector(random(i, length))));
                together.add("p" + i, values.get(i), gradient);
                try (Optimizer one =
                        Optimizer.builder(rule).add("p", alone.get(i), gradient).build(device)) {
                    one.step();
                    one.step();
                }
            }
            try (Optimizer all = together.build(device)) {
                all.step();
                all.step();
                assertThat(all.steps()).isEqualTo(2);
            }
            for (int i = 0; i < values.size(); i++) {
                assertThat(values.get(i).download())
                        .as("parameter %d by %s", i, rule)
                        .isEqualTo(alone.get(i).download());
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void step_ofALayer_sparesItsParametersFromDecayButNotTheProgramsOwn(TestDevice on) {
        Device device = keep(on.open());
        BatchNorm norm = keep(BatchNorm.builder(3).build(device));
        Tensor own = keep(device.vector(2, 2));
        Tensor bias = keep(device.vector(2, 2));
        Tensor zero = keep(device.vector(0, 0));
        Tensor alsoZero = keep(device.vector(0, 0));
        Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(0.5).weightDecay(0.5))
                .add("norm", norm)
                .add("weight", own, zero)
                .add("bias", bias, alsoZero, false)
                .build(device));

        optimizer.step();

        assertThat(norm.gamma().orElseThrow().value().download()).containsExactly(1, 1, 1);
        assertThat(own.download()).containsExactly(1.5f, 1.5f);
        assertThat(bias.download()).containsExactly(2, 2);
    }

    @ParameterizedTest
    @EnumSource
    void step_withAFrozenParameter_leavesItAndItsMomentsUntilItIsThawed(TestDevice on) {
        Device device = keep(on.open());
        BatchNorm norm = keep(BatchNorm.builder(2).build(device));
        Parameter gamma = norm.gamma().orElseThrow();
        Parameter beta = norm.beta().orElseThrow();
        gamma.gradient().fill(1);
        beta.gradient().fill(1);
        Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(1).momentum(0.5))
                .add(norm)
                .clipNorm(Double.POSITIVE_INFINITY)
                .build(device));
        gamma.freeze();

        optimizer.step();
        assertThat(gamma.value().download()).containsExactly(1, 1);
        assertThat(beta.value().download()).containsExactly(-1, -1);
        assertThat(optimizer.gradientNorm())
                .as("a frozen parameter's gradient does not count")
                .isCloseTo(Math.sqrt(2), within(1e-6));

        gamma.unfreeze();
        optimizer.step();
        assertThat(gamma.value().download()).containsExactly(0, 0);
        assertThat(beta.value().download()).containsExactly(-2.5f, -2.5f);
    }

    @ParameterizedTest
    @EnumSource
    void step_withScaleAndClipping_scalesThenClipsElementsThenTheNorm(TestDevice on) {
        Device device = keep(on.open());
        Tensor value = keep(device.vector(0, 0, 0));
        Tensor gradient = keep(device.vector(600, -800, 50));
        Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(1))
                .add("p", value, gradient)
                .gradientScale(0.01)
                .clipValue(4)
                .clipNorm(2)
                .build(device));

        optimizer.step();

        // 6, -8, 0.5 become 4, -4, 0.5, whose norm is √32.25.
        double norm = Math.sqrt(32.25);
        assertThat(optimizer.gradientNorm()).isCloseTo(norm, within(1e-6));
        assertThat(value.download()[0]).isCloseTo((float) (-4 * 2 / norm), within(1e-6f));
        assertThat(value.download()[1]).isCloseTo((float) (4 * 2 / norm), within(1e-6f));
        assertThat(value.download()[2]).isCloseTo((float) (-0.5 * 2 / norm), within(1e-6f));
        assertThat(gradient.download()).as("a step leaves gradients").containsExactly(600, -800, 50);

        optimizer.clipGradients();
        assertThat(gradient.download()[0]).isCloseTo((float) (4 * 2 / norm), within(1e-6f));
        assertThat(optimizer.steps()).isEqualTo(1);
    }

    @ParameterizedTest
    @EnumSource
    void gradientNorm_atTheEndsOfFloat32_isRight(TestDevice on) {
        Device device = keep(on.open());
        for (float size : new float[] {1e-40f, 1e-30f, 1e-20f, 1, 1e18f, 1e25f, 1e38f}) {
            Tensor value = keep(device.vector(0, 0, 0, 0));
            Tensor gradient = keep(device.vector(size, -size, size, size));
            Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(1))
                    .add("p", value, gradient)
                    .clipNorm(Double.POSITIVE_INFINITY)
                    .build(device));
            optimizer.step();
            assertThat(optimizer.gradientNorm() / (2.0 * size))
                    .as("the norm of four times %s by 2 of it", size)
                    .isCloseTo(1, within(1e-5)); // 1e-40 has five digits
        }
    }

    @ParameterizedTest
    @EnumSource
    void step_withANanInAGradient_reachesOnlyItsElementUnlessTheNormIsTaken(TestDevice on) {
        Device device = keep(on.open());
        Tensor value = keep(device.vector(1, 1, 1));
        Tensor gradient = keep(device.vector(1, Float.NaN, 1));
        Optimizer.Builder builder = Optimizer.builder(Adam.rate(0.5)).add("p", value, gradient);
        keep(builder.clipValue(10).build(device)).step();
        assertThat(value.download()).containsExactly(0.5f, Float.NaN, 0.5f);
        keep(builder.clipNorm(1).build(device)).step();
        assertThat(value.download()).as("as in PyTorch").containsOnly(Float.NaN);
    }

    @ParameterizedTest
    @EnumSource
    void loadState_ofHalfATraining_goesOnWithTheSameBits(TestDevice on) {
        Device device = keep(on.open());
        for (UpdateRule rule : RULES) {
            float[] start = random(1, 50);
            Tensor value = keep(device.vector(start));
            Tensor gradient = keep(device.vector(random(2, 50)));
            Optimizer whole =
                    keep(Optimizer.builder(rule).add("p", value, gradient).build(device));
            for (int i = 0; i < 3; i++) {
                whole.step();
            }
            float[] half = value.download();
            StateDict state = whole.stateDict();
            whole.step();
            whole.step();
            float[] end = value.download();

            value.upload(half);
            Optimizer resumed =
                    keep(Optimizer.builder(rule).add("p", value, gradient).build(device));
            resumed.loadState(state);
            assertThat(resumed.steps()).isEqualTo(3);
            assertThat(resumed.stateDict()).isEqualTo(state);
            resumed.step();
            resumed.step();
            assertThat(value.download()).as("%s", rule).isEqualTo(end);
        }
    }

    @ParameterizedTest
    @EnumSource
    void loadState_thatDoesNotFit_saysWhatAndLoadsNothing(TestDevice on) {
        Device device = keep(on.open());
        Tensor value = keep(device.vector(1, 2));
        Tensor gradient = keep(device.vector(1, 2));
        Optimizer optimizer =
                keep(Optimizer.builder(Adam.rate(0.1)).add("p", value, gradient).build(device));
        StateDict before = optimizer.stateDict();
        StateDict wrong = StateDict.of(Map.of(
                "step", StateArray.scalar(3),
                "0.exp_avg", StateArray.of(new float[3], 3),
                "0.momentum_buffer", StateArray.of(new float[2], 2)));
        assertThatThrownBy(() -> optimizer.loadState(wrong))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("0.exp_avg must be floats of (2)", "missing are [0.exp_avg_sq]")
                .hasMessageContaining("unexpected are [0.momentum_buffer]");
        assertThat(optimizer.stateDict()).isEqualTo(before);
        assertThat(optimizer.steps()).isZero();
    }

    @ParameterizedTest
    @EnumSource
    void build_ofWhatCannotBeUpdated_isRefusedByName(TestDevice on) {
        Device device = keep(on.open());
        Tensor value = keep(device.vector(1, 2));
        Tensor gradient = keep(device.vector(1, 2));
        Tensor longer = keep(device.vector(1, 2, 3));
        Tensor half = keep(device.tensor(value.shape(), Layout.CHANNELS_FIRST, DataType.FLOAT16));
        Tensor elsewhere = keep(keep(on.open()).vector(1, 2));
        Sgd rule = Sgd.rate(1);
        assertThatThrownBy(() -> Optimizer.builder(rule).build(device)).hasMessageContaining("needs a parameter");
        assertThatThrownBy(() -> Optimizer.builder(rule).add("w", value, longer).build(device))
                .hasMessageContainingAll("The gradient of w", "2 elements");
        assertThatThrownBy(
                        () -> Optimizer.builder(rule).add("w", half, gradient).build(device))
                .hasMessageContainingAll("The value of w must be of float32");
        assertThatThrownBy(() ->
                        Optimizer.builder(rule).add("w", elsewhere, gradient).build(device))
                .hasMessageContaining("The value of w must be on");
        assertThatThrownBy(() -> Optimizer.builder(rule).add("w", value, value).build(device))
                .hasMessageContaining("must not share memory");
        assertThatThrownBy(() -> Optimizer.builder(rule)
                        .add("a", value, gradient)
                        .add("b", longer.slice(1, value.shape(), Layout.CHANNELS_FIRST), gradient)
                        .build(device))
                .hasMessageContainingAll("a and b");
        gradient.close();
        assertThatThrownBy(
                        () -> Optimizer.builder(rule).add("w", value, gradient).build(device))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("is closed");
    }

    @ParameterizedTest
    @EnumSource
    void step_afterAParameterWasClosed_changesNothing(TestDevice on) {
        Device device = keep(on.open());
        Tensor first = keep(device.vector(1, 2));
        Tensor second = keep(device.vector(1, 2));
        Tensor gradient = keep(device.vector(1, 1));
        Tensor others = keep(device.vector(1, 1));
        Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(1))
                .add("a", first, gradient)
                .add("b", second, others)
                .build(device));
        second.close();
        assertThatThrownBy(optimizer::step)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("is closed");
        assertThat(optimizer.steps()).isZero();
        assertThat(first.download()).containsExactly(1, 2);
        optimizer.close();
        assertThatThrownBy(optimizer::step)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll("optimizer of 2 parameters", "is closed");
    }

    @ParameterizedTest
    @EnumSource
    void add_ofOneParameterTwice_countsItOnce(TestDevice on) {
        Device device = keep(on.open());
        BatchNorm norm = keep(BatchNorm.builder(2).build(device));
        norm.gamma().orElseThrow().gradient().fill(1);
        Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(0.25))
                .add(norm)
                .add(norm.gamma().orElseThrow())
                .build(device));
        optimizer.rate(0.5);
        optimizer.step();
        assertThat(norm.gamma().orElseThrow().value().download()).containsExactly(0.5f, 0.5f);
        optimizer.zeroGradients();
        assertThat(norm.gamma().orElseThrow().gradient().download()).containsExactly(0, 0);
    }
}
