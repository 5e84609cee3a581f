package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.Role;
import org.junit.jupiter.api.Test;

/** What a layer keeps of its passes: that each serves what it was prepared for, how many there are, and for how long. */
class PreparedPassesTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    private final Recorder recorder = new Recorder();
    private final PreparedPasses passes = new PreparedPasses(recorder, new Options());

    private final Operands xAndY =
            new Operands().put(Role.X, operand(DataType.FLOAT32)).put(Role.Y, operand(DataType.FLOAT32));

    private Operand operand(DataType type) {
        return new Operand(recorder.allocate(1, type), 0, type);
    }

    private PreparedPass get(Shape shape, Layout layout, Operands operands) {
        return passes.get(PassKind.TRAINING, Normalization.BATCH, shape, layout, operands);
    }

    @Test
    void get_sameAgainOnOtherMemory_isTheSamePass() {
        Shape shape = Shape.of(2, 3, 4);
        PreparedPass first = get(shape, FIRST, xAndY);
        Operands others = new Operands().put(Role.Y, operand(DataType.FLOAT32)).put(Role.X, operand(DataType.FLOAT32));

        assertThat(get(Shape.of(2, 3, 4), FIRST, others)).isSameAs(first);
    }

    @Test
    void get_anythingElseOfWhatItDoes_isAnotherPass() {
        Shape shape = Shape.of(2, 3, 4);
        PreparedPass first = get(shape, FIRST, xAndY);
        Operands half = new Operands().put(Role.X, operand(DataType.FLOAT16)).put(Role.Y, operand(DataType.FLOAT32));
        Operands more = new Operands()
                .put(Role.X, operand(DataType.FLOAT32))
                .put(Role.Y, operand(DataType.FLOAT32))
                .put(Role.GAMMA, operand(DataType.FLOAT32));

        assertThat(new PreparedPass[] {
                    first,
                    get(Shape.of(2, 3, 5), FIRST, xAndY),
                    get(shape, Layout.CHANNELS_LAST, xAndY),
                    get(shape, FIRST, half),
                    get(shape, FIRST, more),
                    passes.get(PassKind.INFERENCE, Normalization.BATCH, shape, FIRST, xAndY),
                    passes.get(PassKind.TRAINING, PassRunner.CONDITIONAL, shape, FIRST, xAndY)
                })
                .doesNotHaveDuplicates();
        assertThat(get(shape, FIRST, xAndY)).isSameAs(first);
    }

    @Test
    void get_moreThanAreKept_closesTheOneThatWasNotUsedForLongest() {
        PreparedPass used = get(Shape.of(1, 3), FIRST, xAndY);
        PreparedPass unused = get(Shape.of(2, 3), FIRST, xAndY);
        for (int n = 3; n <= PreparedPasses.MOST + 1; n++) {
            assertThat(get(Shape.of(1, 3), FIRST, xAndY)).isSameAs(used);
            get(Shape.of(n, 3), FIRST, xAndY);
        }

        assertThat(recorder.openPasses()).isEqualTo(PreparedPasses.MOST);
        assertThat(get(Shape.of(1, 3), FIRST, xAndY)).isSameAs(used);
        assertThat(get(Shape.of(2, 3), FIRST, xAndY)).as("it was closed").isNotSameAs(unused);

        passes.close();
        passes.close();

        assertThat(recorder.openPasses()).isZero();
    }
}
