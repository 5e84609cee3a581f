package org.clnorm.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.junit.jupiter.api.Test;

final class BenchTest {
    @Test
    void minimalBytes_ofEachPass_countsEachTensorOnce() {
        for (Direction direction : Direction.values()) {
            int tensors = direction == Direction.BACKWARD ? 3 : 2;
            int withResidual = direction == Direction.BACKWARD ? 5 : 3;
            assertThat(bytes(direction, Fusion.NONE)).isEqualTo(tensors * 4L * 120);
            assertThat(bytes(direction, Fusion.RELU)).isEqualTo(tensors * 4L * 120);
            assertThat(bytes(direction, Fusion.ADD_RELU)).isEqualTo(withResidual * 4L * 120);
            assertThat(bytes(direction, Fusion.named("add-before")))
                    .as("forward two reads and two writes, backward what came past")
                    .isEqualTo(4 * 4L * 120);
        }
    }

    @Test
    void minimalBytes_of16BitElements_areHalfAsMany() {
        for (DataType type : List.of(DataType.FLOAT16, DataType.BFLOAT16)) {
            Workload odd = new Workload(
                    Norm.LAYER, Direction.BACKWARD, Shape.of(3, 37), Layout.CHANNELS_FIRST, Fusion.NONE, type);
            assertThat(odd.minimalBytes()).isEqualTo(3 * 2 * 111);
            assertThat(odd.copied()).as("whole float32 elements").isEqualTo(56);
        }
    }

    @Test
    void norms_ownShapesAndPasses_areWhatTheyAreFor() {
        for (Norm norm : Norm.values()) {
            assertThat(norm.shapes()).as("shapes of %s", norm).isNotEmpty().allSatisfy(shape -> {
                assertThat(norm.objection(shape)).as("%s of %s", norm, shape).isEmpty();
                assertThat(norm.normalization(shape).grouping().groups(shape, Layout.CHANNELS_FIRST))
                        .as("groups of %s", norm)
                        .isPositive();
            });
        }
        assertThat(Norm.LAYER.directions()).containsExactly(Direction.FORWARD, Direction.BACKWARD);
        assertThat(Norm.GROUP.objection(Shape.of(2, 48, 5)))
                .hasValueSatisfying(why -> assertThat(why).contains("32"));
        assertThat(Norm.INSTANCE.objection(Shape.of(4096, 1024))).isPresent();
        assertThat(Norm.GHOST.objection(Shape.of(17, 4)))
                .as("a last virtual batch of one sample is merged")
                .isEmpty();
        assertThat(Norm.GHOST.objection(Shape.of(1, 4))).isPresent();
    }

    private static long bytes(Direction direction, Fusion fusion) {
        return new Workload(direction, Shape.of(2, 3, 4, 5), Layout.CHANNELS_LAST, fusion).minimalBytes();
    }

    @Test
    void words_ofEachWorkload_meanItAgain() {
        for (Norm norm : Norm.values()) {
            for (Shape shape : norm.shapes()) {
                for (Fusion fusion : norm.fusions()) {
                    for (DataType type : DataType.values()) {
                        Workload workload =
                                new Workload(norm, Direction.BACKWARD, shape, Layout.CHANNELS_LAST, fusion, type);
                        assertThat(Workload.of(workload.words())).isEqualTo(workload);
                    }
                }
            }
        }
    }

    @Test
    void words_ofALaterBuild_areNamedWhereTheyMeanNothing() {
        Map<String, String> words = new HashMap<>(
                new Workload(Direction.FORWARD, Shape.of(4, 5), Layout.CHANNELS_FIRST, Fusion.NONE).words());
        words.put("norm", "spectral");

        assertThatThrownBy(() -> Workload.of(words))
                .isInstanceOf(UnsupportedOperationException.class)
                .hasMessage("it has no norm 'spectral'");
    }

    @Test
    void rotationBytes_largeCaches_areOutrunWhereThereIsRoom() {
        long mebi = 1L << 20;
        assertThat(Bench.rotationBytes(32 * mebi, 5000 * mebi)).isEqualTo(320 * mebi);
        assertThat(Bench.rotationBytes(256 * mebi, 100_000 * mebi)).isEqualTo(1024 * mebi);
        assertThat(Bench.rotationBytes(256 * mebi, 4000 * mebi)).isEqualTo(500 * mebi);
    }

    @Test
    void median_oddAndEven_isInTheMiddleWhateverTheOrder() {
        assertThat(Bench.median(new double[] {9, 1, 5})).isEqualTo(5);
        assertThat(Bench.median(new double[] {4, 9, 1, 2})).isEqualTo(3);
    }

    @Test
    void words_ofEachStep_meanItAgain() {
        List<OptimizerStep> all = OptimizerStep.all(OptimizerStep.TENSORS);

        assertThat(all).hasSize(16);
        for (OptimizerStep step : all) {
            assertThat(Timed.of(step.words())).isEqualTo(step);
        }
        List<Long> small = OptimizerStep.TENSORS.get(1);
        assertThat(small).as("gamma and beta of 53 layers").hasSize(2 * 53);
        assertThat(small.stream().mapToLong(Long::longValue).sum()).isEqualTo(2 * 26_560);
        assertThatThrownBy(() -> Timed.of(Map.of("optimizer", "lion", "tensors", "3", "operation", "step")))
                .isInstanceOf(UnsupportedOperationException.class)
                .hasMessage("it has no optimizer 'lion'");
    }
}
