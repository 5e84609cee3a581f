package org.clnorm.example.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import java.util.function.IntFunction;
import org.assertj.core.data.Offset;
import org.clnorm.LayerNorm;
import org.clnorm.RmsNorm;
import org.clnorm.RowNormalizer;
import org.clnorm.Tensor;
import org.clnorm.example.device.Gradients;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Queue;
import org.clnorm.example.device.TestQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TransformerTest {
    private static final int BATCH = 2;
    private static final int ROWS = 5;
    private static final int WIDTH = 6;
    private static final int HEADS = 3;

    private final Queue queue = TestQueue.shared();

    private final Random random = new Random(1);

    @Test
    void heads_forward_areThoseOfPlainLoops() {
        Tensor x = queue.tensor(BATCH * ROWS, 3 * WIDTH);
        float[] values = new float[BATCH * ROWS * 3 * WIDTH];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        x.upload(values);

        Tensor y = new Attention.Heads(queue, BATCH, ROWS, WIDTH, HEADS).forward(x);

        assertThat(y.download()).containsExactly(plain(values), Offset.offset(1e-5f));
    }

    /** The definition. */
    private static float[] plain(float[] x) {
        int head = WIDTH / HEADS;
        float[] y = new float[BATCH * ROWS * WIDTH];
        for (int i = 0; i < y.length; i++) {
            int first = i / WIDTH / ROWS * ROWS;
            int asks = i / WIDTH;
            int h = i % WIDTH / head;
            double sum = 0;
            double found = 0;
            for (int row = first; row < first + ROWS; row++) {
                double product = 0;
                for (int c = h * head; c < (h + 1) * head; c++) {
                    product += (double) x[asks * 3 * WIDTH + c] * x[row * 3 * WIDTH + WIDTH + c];
                }
                double share = Math.exp(product / Math.sqrt(head));
                sum += share;
                found += share * x[row * 3 * WIDTH + 2 * WIDTH + i % WIDTH];
            }
            y[i] = (float) (found / sum);
        }
        return y;
    }

    @Test
    void heads_backward_areTheGradient() {
        Part heads = new Attention.Heads(queue, BATCH, ROWS, WIDTH, HEADS);

        new Gradients(queue, heads, BATCH * ROWS, 3 * WIDTH).step(3e-3).check(1e-3);
    }

    @Test
    void positions_backward_areTheGradient() {
        new Gradients(queue, new Positions(queue, BATCH, ROWS, WIDTH, random), BATCH * ROWS, WIDTH).check(1e-4);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void block_backward_isTheGradient(boolean rms) {
        IntFunction<RowNormalizer> norm = width -> rms
                ? RmsNorm.builder(width).build(queue.device())
                : LayerNorm.builder(width).build(queue.device());
        Part block = new TransformerBlock(queue, BATCH, ROWS, WIDTH, HEADS, norm, random);

        new Gradients(queue, block, BATCH * ROWS, WIDTH).step(1e-3).check(1e-2);
    }
}
