package org.clnorm.example.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.Random;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.LayerNorm;
import org.clnorm.Tensor;
import org.junit.jupiter.api.Test;

final class PartsTest {
    private final Queue queue = TestQueue.shared();

    private final Random random = new Random(1);

    private Tensor tensor(float[] values, long... dimensions) {
        Tensor tensor = queue.tensor(dimensions);
        tensor.upload(values);
        return tensor;
    }

    @Test
    void dense_forward_isTheProductAndTheBias() {
        Dense dense = new Dense(queue, 2, 3, 2, 1, random);
        dense.weights().get(0).value().upload(new float[] {1, 2, 3, 4, 5, 6});
        dense.weights().get(1).value().upload(new float[] {10, 20});

        Tensor y = dense.forward(tensor(new float[] {1, 0, 0, 1, 1, 1}, 2, 3));

        assertThat(y.download()).containsExactly(11, 22, 19, 32);
    }

    @Test
    void dense_backward_isTheGradient() {
        new Gradients(queue, new Dense(queue, 5, 7, 3, 1, random), 5, 7).check(1e-4);
    }

    @Test
    void meanPool_backward_isTheGradient() {
        MeanPool pool = new MeanPool(queue, 3, 4, 3, 4, 2, 5);
        assertThat(pool.forward(tensor(filled(3 * 4 * 10), 3, 4, 2, 5)).download())
                .containsOnly(1);

        new Gradients(queue, pool, 3, 4, 2, 5).check(1e-4);
    }

    private static float[] filled(int count) {
        float[] ones = new float[count];
        Arrays.fill(ones, 1);
        return ones;
    }

    @Test
    void relu_backward_isTheGradient() {
        new Gradients(queue, new Relu(queue, 6, 5), 6, 5).step(1e-4).check(1e-2);
    }

    @Test
    void normalization_backward_isTheGradient() {
        LayerNorm norm = LayerNorm.builder(6).build(queue.device());
        new Gradients(queue, Normalization.of(queue, norm, 8, 6), 8, 6).check(2e-3);
    }

    @Test
    void normalization_withAResidual_hasItsGradientToo() {
        BatchNorm layer = BatchNorm.builder(2).activation(Activation.RELU).build(queue.device());
        Normalization norm = Normalization.withResidual(queue, layer, 4, 2);
        Tensor y = norm.forward(
                tensor(new float[] {1, 2, 3, 4, 5, 6, 7, 8}, 4, 2),
                tensor(new float[] {9, 9, -9, 9, 9, -9, 9, 9}, 4, 2));
        norm.backward(tensor(filled(8), 4, 2));

        assertThat(norm.residualGradient().download()).containsExactly(1, 1, 0, 1, 1, 0, 1, 1);
        assertThat(y.download()[2]).isZero();
    }

    @Test
    void softmaxLoss_ofSomeRows_gathersLossAndHitsAndGivesTheGradient() {
        SoftmaxLoss loss = new SoftmaxLoss(queue, 3, 2);
        loss.labels().upload(new float[] {0, 0, -1});
        float[] gradient = null;
        for (int i = 0; i < 2; i++) {
            gradient = loss.of(tensor(new float[] {2, 0, 1, 1000, 5, 5}, 3, 2)).download();
        }

        double p = 1 / (1 + Math.exp(-2));
        assertThat(gradient[0]).isCloseTo((float) ((p - 1) / 3), within(1e-6f));
        assertThat(gradient[1]).isCloseTo((float) ((1 - p) / 3), within(1e-6f));
        assertThat(gradient).endsWith(-1 / 3f, 1 / 3f, 0, 0);
        SoftmaxLoss.Score score = loss.read(4);
        assertThat(score.loss()).isCloseTo((-Math.log(p) + 999) / 2, within(1e-3));
        assertThat(score.right()).isEqualTo(2);
        assertThat(loss.read(4)).as("begun anew").isEqualTo(new SoftmaxLoss.Score(0, 0));
    }

    @Test
    void stopwatch_ofSomeWork_measuresTheDevice() {
        Tensor big = queue.tensor(1 << 22);
        queue.normalization().nanos();
        queue.common().run("relu", 1 << 22, big, big);
        assertThat(queue.normalization().nanos()).as("nothing was measured").isZero();
        long start = System.nanoTime();
        queue.normalization().time(() -> queue.common().run("relu", 1 << 22, big, big));
        assertThat(queue.normalization().nanos()).isPositive().isLessThan(System.nanoTime() - start);
    }

    @Test
    void kernels_ofAFileWithAMistake_sayWhere() {
        assertThatThrownBy(() -> queue.kernels(PartsTest.class, "wrong.cl"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("wrong.cl does not compile")
                .hasMessageContaining("undeclared");
    }

    @Test
    void queue_onTheReference_isRefused() {
        try (Device reference = Device.cpuReference()) {
            assertThatThrownBy(() -> Queue.on(reference, null))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("needs an OpenCL device");
        }
    }

    @Test
    void natives_thatCannotBeLoaded_areExplained() {
        assertThatThrownBy(() -> Natives.require(() -> {
                    throw new UnsatisfiedLinkError("no such thing\nand a long trace");
                }))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("org.jocl:jocl-blast")
                .hasMessageContaining("(no such thing)")
                .hasMessageContaining(System.getProperty("os.arch"));
    }
}
