package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.clnorm.reference.ReferenceActivation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Activations through the layers; their numbers are held by {@code compare} and {@code verify} too. */
class ActivationTest {
    private static final Shape SHAPE = Shape.of(4, 3, 5);

    private static float[] random(long seed) {
        Random random = new Random(seed);
        float[] values = new float[(int) SHAPE.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    @Test
    void kinds_inTheKernels_haveTheSameNumbers() throws Exception {
        String source = Files.readString(Path.of("opencl-kernels/activations.clh"));
        for (Activation.Kind kind : Activation.Kind.values()) {
            assertThat(source)
                    .as("a kind that the host calls %d", kind.ordinal())
                    .containsPattern("#define " + kind.name() + " " + kind.ordinal() + "\n");
        }
        assertThat(source).containsPattern("#define MASK_KIND 4 ");
    }

    @Test
    void named_everyName_isItsActivation() {
        for (Activation activation : Activation.values()) {
            assertThat(Activation.named(activation.toString())).isEqualTo(activation);
        }
        assertThatThrownBy(() -> Activation.named("swish"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("'swish'", "silu");
    }

    @Test
    void leakyRelu_slopes_areValues() {
        assertThat(Activation.leakyRelu(0.01))
                .isEqualTo(Activation.LEAKY_RELU)
                .hasSameHashCodeAs(Activation.LEAKY_RELU);
        assertThat(Activation.leakyRelu(0.2)).isNotEqualTo(Activation.LEAKY_RELU);
        assertThatThrownBy(() -> Activation.leakyRelu(-0.1)).hasMessageContaining("-0.1");
        assertThatThrownBy(() -> Activation.leakyRelu(Double.NaN)).hasMessageContaining("NaN");
    }

    /** Of a loss Σ w·y, in x, the residual, γ and β. */
    @ParameterizedTest
    @EnumSource
    void backward_ofEveryActivation_agreesWithFiniteDifferencesOfForward(TestDevice on) {
        float[] x = random(1);
        float[] residual = random(2);
        float[] dy = random(3);
        try (Device device = on.open()) {
            for (Activation activation : Activation.values()) {
                for (boolean adds : new boolean[] {false, true}) {
                    try (BatchNorm norm =
                                    BatchNorm.builder(3).activation(activation).build(device);
                            Tensor in = device.upload(x, SHAPE, Layout.CHANNELS_FIRST);
                            Tensor add = adds ? device.upload(residual, SHAPE, Layout.CHANNELS_FIRST) : null;
                            Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                            Tensor slope = device.upload(dy, SHAPE, Layout.CHANNELS_FIRST);
                            Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                            Tensor dadd = adds ? device.tensor(SHAPE, Layout.CHANNELS_FIRST) : null) {
                        norm.forward(in, add, y);
                        norm.backward(slope, dx, dadd);
                        double[] given = differences(activation, x, adds ? residual : null, dy, 0);
                        double tolerance = 2e-5 * (1 + largest(given));
                        for (int i = 0; i < x.length; i++) {
                            assertThat(dx.download()[i])
                                    .as("dx of %s%s at %d", activation, adds ? " with a residual" : "", i)
                                    .isCloseTo((float) given[i], within((float) tolerance));
                        }
                        if (adds) {
                            double[] added = differences(activation, x, residual, dy, 1);
                            for (int i = 0; i < x.length; i++) {
                                assertThat(dadd.download()[i])
                                        .as("dresidual of %s at %d", activation, i)
                                        .isCloseTo((float) added[i], within((float) tolerance));
                            }
                        }
                    }
                }
            }
        }
    }

    private static double largest(double[] values) {
        double largest = 0;
        for (double value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    /** In double, and with a formula of its own. */
    private static double[] differences(Activation activation, float[] x, float[] residual, float[] dy, int of) {
        double[] gradient = new double[x.length];
        double h = 1e-6;
        for (int i = 0; i < x.length; i++) {
            gradient[i] = (loss(activation, x, residual, dy, of, i, h) - loss(activation, x, residual, dy, of, i, -h))
                    / (2 * h);
        }
        return gradient;
    }

    private static double loss(
            Activation activation, float[] x, float[] residual, float[] dy, int of, int moved, double by) {
        int samples = 4;
        int channels = 3;
        int length = 5;
        double loss = 0;
        for (int c = 0; c < channels; c++) {
            double sum = 0;
            double squares = 0;
            for (int pass = 0; pass < 3; pass++) {
                for (int k = 0; k < samples * length; k++) {
                    int i = (k / length * channels + c) * length + k % length;
                    double value = x[i] + (of == 0 && i == moved ? by : 0);
                    double mean = sum / (samples * length);
                    if (pass == 0) {
                        sum += value;
                    } else if (pass == 1) {
                        squares += (value - mean) * (value - mean);
                    } else {
                        double v = (value - mean) / Math.sqrt(squares / (samples * length) + 1e-5)
                                + (residual == null ? 0 : residual[i] + (of == 1 && i == moved ? by : 0));
                        loss += dy[i] * ReferenceActivation.of(activation, v);
                    }
                }
            }
        }
        return loss;
    }

    /** What tells the derivative must be as it was: y, or else the residual. */
    @ParameterizedTest
    @EnumSource
    void backward_afterTheResidualWasWritten_isRefusedWhereItIsNeeded(TestDevice on) {
        try (Device device = on.open()) {
            for (Activation activation : Activation.values()) {
                try (BatchNorm norm =
                                BatchNorm.builder(3).activation(activation).build(device);
                        Tensor in = device.upload(random(1), SHAPE, Layout.CHANNELS_FIRST);
                        Tensor add = device.upload(random(2), SHAPE, Layout.CHANNELS_FIRST);
                        Tensor y = device.tensor(SHAPE, Layout.CHANNELS_FIRST);
                        Tensor slope = device.upload(random(3), SHAPE, Layout.CHANNELS_FIRST);
                        Tensor dx = device.tensor(SHAPE, Layout.CHANNELS_FIRST)) {
                    norm.forward(in, add, y);
                    add.fill(0);
                    if (activation.kind().isByOutput()) {
                        assertThatCode(() -> norm.backward(slope, dx))
                                .as("%s", activation)
                                .doesNotThrowAnyException();
                    } else {
                        assertThatThrownBy(() -> norm.backward(slope, dx))
                                .isInstanceOf(IllegalStateException.class)
                                .hasMessageContaining("needs the forward pass's residual");
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void forward_farFromZero_isWhatTheActivationTendsTo(TestDevice on) {
        try (Device device = on.open()) {
            Shape shape = Shape.of(2, 2);
            for (Activation activation : Activation.values()) {
                // Evaluation with running statistics of 0 and 1: y is the activation of x.
                try (BatchNorm norm = BatchNorm.builder(2)
                                .epsilon(0)
                                .activation(activation)
                                .build(device);
                        Tensor x = device.upload(new float[] {100, -100, 1e20f, -1e20f}, shape, Layout.CHANNELS_FIRST);
                        Tensor y = device.tensor(shape, Layout.CHANNELS_FIRST);
                        Tensor dy = device.upload(new float[] {1, 1, 1, 1}, shape, Layout.CHANNELS_FIRST);
                        Tensor dx = device.tensor(shape, Layout.CHANNELS_FIRST)) {
                    norm.eval();
                    norm.forward(x, y);
                    norm.backward(dy, dx);
                    for (int i = 0; i < 4; i++) {
                        double v = x.download()[i];
                        assertThat((double) y.download()[i])
                                .as("%s of %s", activation, v)
                                .isCloseTo(ReferenceActivation.of(activation, v), within(1e-6 * Math.abs(v)));
                        assertThat((double) dx.download()[i])
                                .as("the slope of %s at %s", activation, v)
                                .isCloseTo(ReferenceActivation.slope(activation, v), within(1e-6));
                    }
                }
            }
        }
    }
}
