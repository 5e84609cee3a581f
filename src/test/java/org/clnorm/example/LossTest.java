package org.clnorm.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.junit.jupiter.api.Test;

final class LossTest {
    @Test
    void softmaxCrossEntropy_equalLogits_isLogarithmOfClasses() {
        Loss loss = Loss.softmaxCrossEntropy(new float[] {3, 3, 3, 3}, new int[] {2});
        assertThat(loss.mean()).isCloseTo(Math.log(4), within(1e-12));
        assertThat(loss.gradient()).containsExactly(0.25f, 0.25f, -0.75f, 0.25f);
    }

    @Test
    void softmaxCrossEntropy_gradient_finiteDifferences() {
        Random random = new Random(5);
        float[] logits = new float[4 * 6];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (2 * random.nextGaussian());
        }
        int[] labels = {5, 0, 3, 3};
        float[] gradient = Loss.softmaxCrossEntropy(logits, labels).gradient();
        for (int i = 0; i < logits.length; i++) {
            float old = logits[i];
            logits[i] = old + 1 / 256f;
            double up = Loss.softmaxCrossEntropy(logits, labels).mean();
            logits[i] = old - 1 / 256f;
            double down = Loss.softmaxCrossEntropy(logits, labels).mean();
            logits[i] = old;
            assertThat((double) gradient[i]).as("logit %d", i).isCloseTo((up - down) * 128, within(1e-5));
        }
    }

    @Test
    void softmaxCrossEntropy_hugeLogits_staysFinite() {
        Loss loss = Loss.softmaxCrossEntropy(new float[] {0x1p100f, 0, -0x1p100f}, new int[] {1});
        assertThat(loss.mean()).isEqualTo(0x1p100);
        assertThat(loss.gradient()).containsExactly(1, -1, 0);
    }

    @Test
    void softmaxCrossEntropy_nanLogit_isNan() {
        assertThat(Loss.softmaxCrossEntropy(new float[] {0, Float.NaN}, new int[] {0})
                        .mean())
                .as("a diverged network must be seen to have diverged")
                .isNaN();
    }
}
