package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Operand;
import org.clnorm.reference.ReferenceBackend;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class GuardedArrayTest {
    private final Backend backend = new ReferenceBackend();

    @AfterEach
    void close() {
        backend.close();
    }

    @Test
    void settle_outputWrittenFromEndToEnd_isFine() {
        GuardedArray array = GuardedArray.output(backend, "y", DataType.FLOAT32, 3, 4);
        write(array, 0, 1, 2, 3, Float.NaN);

        assertThat(array.settle(true)).isEmpty();
        assertThat(array.values()).as("a computed NaN is no poison").containsExactly(1, 2, 3, Float.NaN);
    }

    @Test
    void settle_elementLeftOut_isReportedUnlessThatIsAllowed() {
        GuardedArray array = GuardedArray.output(backend, "y", DataType.FLOAT32, 0, 4);
        write(array, 0, 1, 2);
        write(array, 3, 4);

        assertThat(array.settle(true)).hasValue("element 2 of y was not written");
        GuardedArray refused = GuardedArray.output(backend, "y", DataType.FLOAT32, 0, 4);
        assertThat(refused.settle(false)).isEmpty();
    }

    @ParameterizedTest
    @EnumSource(names = {"FLOAT16", "BFLOAT16"})
    void settle_elementsOf16Bits_areWatchedLikewise(DataType type) {
        GuardedArray array = GuardedArray.output(backend, "y", type, 3, 4);
        backend.write(array.operand(), ShortBuffer.wrap(type.half().encode(new float[] {1, Float.NaN})));
        assertThat(array.settle(true)).hasValue("element 2 of y was not written");
        assertThat(array.values()).startsWith(1, Float.NaN);

        Operand after = new Operand(array.operand().memory(), array.operand().offset() + 4, type);
        backend.fill(after, 1, 9);
        assertThat(array.settle(true).orElseThrow()).contains("1 after").contains("9.0");
    }

    @Test
    void settle_surroundingsWritten_areReported() {
        assertThat(problemAfterWriting(4, 9)).isEqualTo("1 after the 4 elements of y, memory was overwritten with 9.0");
        assertThat(problemAfterWriting(-2, 9))
                .isEqualTo("2 before the 4 elements of y, memory was overwritten with 9.0");
        assertThat(problemAfterWriting(4, Float.NaN))
                .as("a NaN, as it would come from reading beside an input")
                .contains("1 after");
    }

    private String problemAfterWriting(long at, float value) {
        GuardedArray array = GuardedArray.output(backend, "y", DataType.FLOAT32, 1, 4);
        write(array, 0, 1, 2, 3, 4);
        write(array, at, value);
        return array.settle(true).orElse("none");
    }

    @Test
    void settle_inputOverwritten_isReported() {
        GuardedArray array = GuardedArray.input(backend, "x", DataType.FLOAT32, 5, new float[] {1, 2, 3}, false);
        assertThat(array.settle(true)).isEmpty();

        write(array, 1, -0.0f);

        assertThat(array.settle(true)).hasValue("element 1 of x, which is only to be read, was overwritten with -0.0");
    }

    @Test
    void settle_settledOutputOverwritten_isReported() {
        GuardedArray array = GuardedArray.updated(backend, "running_mean", DataType.FLOAT32, 0, new float[] {1});
        write(array, 0, 2);
        assertThat(array.settle(true)).as("it may be written until it settles").isEmpty();

        write(array, 0, 3);

        assertThat(array.settle(true)).get().asString().contains("only to be read");
    }

    @Test
    void input_last_hasNothingAfterIt() {
        GuardedArray last = GuardedArray.input(backend, "x", DataType.FLOAT32, 5, new float[] {1, 2, 3}, true);
        GuardedArray other = GuardedArray.input(backend, "x", DataType.FLOAT32, 5, new float[] {1, 2, 3}, false);

        assertThat(last.operand().memory().elements()).isEqualTo(last.operand().offset() + 3);
        assertThat(other.operand().memory().elements())
                .isGreaterThan(other.operand().offset() + 64);
        assertThat(last.settle(true)).isEmpty();
        assertThat(last.values()).containsExactly(1, 2, 3);
    }

    @Test
    void operand_shift_isFromALine() {
        assertThat(GuardedArray.input(backend, "x", DataType.FLOAT32, 0, new float[1], false)
                                .operand()
                                .offset()
                        % 16)
                .isZero();
        assertThat(GuardedArray.input(backend, "x", DataType.FLOAT32, 5, new float[1], false)
                                .operand()
                                .offset()
                        % 16)
                .isEqualTo(5);
    }

    private void write(GuardedArray array, long at, float... values) {
        Operand operand = array.operand();
        backend.write(new Operand(operand.memory(), operand.offset() + at), FloatBuffer.wrap(values));
    }
}
