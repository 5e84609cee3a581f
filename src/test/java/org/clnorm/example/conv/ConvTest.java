package org.clnorm.example.conv;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.assertj.core.data.Offset;
import org.clnorm.Tensor;
import org.clnorm.example.device.Gradients;
import org.clnorm.example.device.Queue;
import org.clnorm.example.device.TestQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class ConvTest {
    private final Queue queue = TestQueue.shared();

    private final Random random = new Random(1);

    @ParameterizedTest
    @CsvSource({"2, 5, 3, 4, 3, 1", "2, 6, 2, 3, 3, 2", "1, 5, 1, 2, 3, 2", "3, 4, 2, 5, 1, 2", "1, 4, 1, 1, 1, 1"})
    void conv_ofAnyGeometry_isThatOfPlainLoopsAndItsGradient(
            int batch, int size, int inputs, int outputs, int kernel, int stride) {
        Conv2d.Geometry g = new Conv2d.Geometry(batch, size, inputs, outputs, kernel, stride);
        Conv2d conv = new Conv2d(queue, g, random);
        Tensor x = queue.tensor(batch, inputs, size, size);
        float[] values = new float[(int) x.shape().elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        x.upload(values);

        float[] y = conv.forward(x).download();

        assertThat(y)
                .containsExactly(plain(g, values, conv.weights().get(0).value().download()), Offset.offset(1e-5f));
        new Gradients(queue, conv, batch, inputs, size, size).check(1e-4);
    }

    /** The definition. */
    private static float[] plain(Conv2d.Geometry g, float[] x, float[] w) {
        int out = (g.size() - 1) / g.stride() + 1;
        float[] y = new float[g.batch() * out * out * g.outputs()];
        for (int i = 0; i < y.length; i++) {
            int o = i % g.outputs();
            int ox = i / g.outputs() % out;
            int oy = i / g.outputs() / out % out;
            int n = i / g.outputs() / out / out;
            double sum = 0;
            for (int ky = 0; ky < g.kernel(); ky++) {
                for (int kx = 0; kx < g.kernel(); kx++) {
                    int iy = oy * g.stride() + ky - g.kernel() / 2;
                    int ix = ox * g.stride() + kx - g.kernel() / 2;
                    for (int c = 0; c < g.inputs(); c++) {
                        if (iy >= 0 && iy < g.size() && ix >= 0 && ix < g.size()) {
                            sum += (double) x[((n * g.size() + iy) * g.size() + ix) * g.inputs() + c]
                                    * w[((ky * g.kernel() + kx) * g.inputs() + c) * g.outputs() + o];
                        }
                    }
                }
            }
            y[i] = (float) sum;
        }
        return y;
    }

    @ParameterizedTest
    @CsvSource({"3, 3, 1", "2, 4, 2"})
    void residualBlock_backward_isTheGradient(int inputs, int outputs, int stride) {
        Conv2d.Geometry in = new Conv2d.Geometry(4, 6, inputs, outputs, 3, stride);

        new Gradients(queue, new ResidualBlock(queue, in, random), 4, inputs, 6, 6)
                .step(1e-3)
                .check(1e-2);
    }

    @Test
    void network_atItsStart_hasTheNamesOfItsParts() {
        assertThat(ConvNetwork.build(queue, 2, 8, 10, random).state().names())
                .contains(
                        "stem.weight",
                        "norm.running_var",
                        "block1.conv1.weight",
                        "block1.norm2.bias",
                        "block2.shortcut.conv.weight",
                        "block2.shortcut.norm.weight",
                        "head.bias")
                .doesNotContain("block1.shortcut.conv.weight");
    }
}
