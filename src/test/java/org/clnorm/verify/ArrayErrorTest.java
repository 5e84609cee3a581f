package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ArrayErrorTest {
    @Test
    void of_byHand_givesEveryMeasure() {
        float[] got = {1, 2.5f, -4, 0.5f};
        double[] expected = {1, 2, -4.25, 0.25};

        ArrayError error = ArrayError.of("y", got, expected, 0);

        assertThat(error.array()).isEqualTo("y");
        assertThat(error.maxAbsolute()).isEqualTo(0.5);
        assertThat(error.maxRelative()).as("0.25 off 0.25").isEqualTo(1);
        assertThat(error.maxUlp())
                .as("from 0.25 to 0.5 is one binade of 2^23 values")
                .isEqualTo(1 << 23);
        assertThat(error.scaledError()).as("0.5 of a largest magnitude of 4.25").isEqualTo(0.5 / 4.25);
        assertThat(error.worstIndex()).isEqualTo(1);
        assertThat(error.got()).isEqualTo(2.5);
        assertThat(error.expected()).isEqualTo(2);
    }

    @Test
    void of_scale_isUsedOnlyWhereItIsLarger() {
        float[] got = {1, 3};
        double[] expected = {1, 2};

        assertThat(ArrayError.of("dx", got, expected, 10).scaledError()).isEqualTo(0.1);
        assertThat(ArrayError.of("dx", got, expected, 0.001).scaledError()).isEqualTo(0.5);
    }

    @Test
    void of_equalArrays_isZeroEverywhere() {
        ArrayError error = ArrayError.of("y", new float[] {0, -0f, 3}, new double[] {-0.0, 0, 3}, 0);

        assertThat(error.maxAbsolute()).isZero();
        assertThat(error.maxRelative()).isZero();
        assertThat(error.maxUlp()).as("the zeros are the same number").isZero();
        assertThat(error.scaledError()).isZero();
    }

    @Test
    void of_zerosExpected_doesNotDivideByZero() {
        assertThat(ArrayError.of("y", new float[2], new double[2], 0).scaledError())
                .isZero();
        ArrayError error = ArrayError.of("y", new float[] {0, 1e-30f}, new double[2], 0);
        assertThat(error.scaledError())
                .as("something where nothing was expected")
                .isInfinite();
        assertThat(error.maxRelative()).isInfinite();
        assertThat(error.maxAbsolute()).isEqualTo(1e-30f);
    }

    @Test
    void of_emptyArrays_isZero() {
        ArrayError error = ArrayError.of("y", new float[0], new double[0], 0);

        assertThat(error.scaledError()).isZero();
        assertThat(error.worstIndex()).isEqualTo(-1);
        assertThat(error.worstAt(0, 3)).isEqualTo("-");
    }

    @ParameterizedTest
    @CsvSource({
        "NaN, 1",
        "1, NaN",
        "Infinity, 1",
        "1, Infinity",
        "-Infinity, Infinity",
        "NaN, Infinity",
        "Infinity, NaN",
        "3.4028235e38, 1e39"
    })
    void of_nonFiniteInOneOnly_isInfinitelyWrong(float got, double expected) {
        ArrayError error = ArrayError.of("y", new float[] {0, 5, got}, new double[] {0, 5, expected}, 1);

        assertThat(error.scaledError() <= 1e30)
                .as("a NaN must not pass a comparison")
                .isFalse();
        assertThat(error.maxAbsolute()).isInfinite();
        assertThat(error.maxRelative()).isInfinite();
        assertThat(error.maxUlp()).isEqualTo(Long.MAX_VALUE);
        assertThat(error.worstIndex()).isEqualTo(2);
    }

    @ParameterizedTest
    @CsvSource({"NaN, NaN", "Infinity, Infinity", "-Infinity, -Infinity", "Infinity, 1e39"})
    void of_nonFiniteInBoth_isRight(float got, double expected) {
        ArrayError error = ArrayError.of("y", new float[] {got, 1}, new double[] {expected, 1.5}, 0);

        assertThat(error.scaledError()).as("the rest of the array still counts").isEqualTo(0.5 / 1.5);
        assertThat(error.maxRelative()).isEqualTo(0.5 / 1.5);
        assertThat(error.maxUlp()).isEqualTo(1 << 22);
        assertThat(error.worstIndex()).isEqualTo(1);
    }

    @Test
    void of_neighbours_areOneUlpApart() {
        assertThat(ulps(1, Math.nextUp(1f))).isEqualTo(1);
        assertThat(ulps(1, Math.nextDown(1f))).isEqualTo(1);
        assertThat(ulps(Float.MIN_VALUE, -Float.MIN_VALUE))
                .as("across both zeros")
                .isEqualTo(2);
        assertThat(ulps(Float.MAX_VALUE, -Float.MAX_VALUE)).as("no overflow").isEqualTo(2L * 0x7f7f_ffff);
        assertThat(ulps(1, 1 + 1e-9)).as("the expected value is rounded first").isZero();
    }

    private static long ulps(float got, double expected) {
        return ArrayError.of("y", new float[] {got}, new double[] {expected}, 0).maxUlp();
    }

    @Test
    void worstAt_countsInMemoryOrder() {
        float[] got = new float[2 * 3 * 4];
        got[1 * 12 + 2 * 4 + 3] = 1;
        ArrayError error = ArrayError.of("y", got, new double[got.length], 0);

        assertThat(error.worstAt(2, 3, 4)).isEqualTo("(1, 2, 3)");
        assertThat(error.worstAt(24)).isEqualTo("(23)");
    }

    @Test
    void of_wrongArguments_areRefused() {
        assertThatThrownBy(() -> ArrayError.of("y", new float[2], new double[3], 0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("The array y has 2 elements, but 3 were expected");
        for (double scale : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThatThrownBy(() -> ArrayError.of("y", new float[2], new double[2], scale))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("scale of y");
        }
    }
}
