package org.clnorm.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.reference.ReferenceBackend;
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
            assertThat(bytes(direction, Fusion.named("masked+add+relu")))
                    .as("with a mask, as if all steps took part")
                    .isEqualTo(withResidual * 4L * 120);
        }
    }

    @Test
    void named_masked_isAnyFusionWithAMask() {
        for (String name : List.of("none", "relu", "add", "add+gelu", "add-before", "add-before+silu")) {
            Fusion plain = Fusion.named(name);
            Fusion masked = Fusion.named(name.equals("none") ? "masked" : "masked+" + name);
            assertThat(masked).isEqualTo(new Fusion(Fusion.Kind.MASKED, plain.addition(), plain.activation()));
            assertThat(masked).hasToString("+masked" + plain);
            Workload workload =
                    new Workload(Norm.LAYER, Direction.FORWARD, Shape.of(4, 5), Layout.CHANNELS_FIRST, masked);
            assertThat(Workload.of(workload.words())).isEqualTo(workload);
        }
        assertThat(Norm.GHOST.isFused(Fusion.named("masked"))).isFalse();
        assertThat(Norm.L2.isFused(Fusion.named("masked"))).isFalse();
        assertThat(Norm.INSTANCE.isFused(Fusion.named("masked+add"))).isTrue();
        assertThat(Norm.BATCH.isFused(Fusion.named("masked+add-before"))).isFalse();
        assertThat(Norm.BATCH.isFused(Fusion.named("in-place+leaky-relu"))).isTrue();
        assertThat(Fusion.named("in-place+leaky-relu")).hasToString("+in-place+leaky-relu");
        assertThat(Norm.BATCH.isFused(Fusion.named("in-place+relu"))).isFalse();
        assertThat(Norm.LAYER.isFused(Fusion.named("in-place"))).isFalse();
    }

    @Test
    void padding_lengths_areSpreadFromHalfToAll() {
        Workload sequences = masked(Norm.INSTANCE, Shape.of(3, 2, 8));
        Padding padding = Padding.of(sequences);
        assertThat(padding).isEqualTo(new Padding(3, 8, 24));
        assertThat(padding.counts(Norm.INSTANCE.normalization(sequences.shape()), 3))
                .containsExactly(4, 6, 8);
        assertThat(padding.counts(Norm.BATCH.normalization(sequences.shape()), 3))
                .containsExactly(18);
        float[] states = padding.states();
        assertThat(states).hasSize(24 + 16);
        assertThat(Arrays.copyOf(states, 16)).containsExactly(1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0);

        assertThat(Padding.of(masked(Norm.LAYER, Shape.of(100, 8))))
                .as("rows without sequences, the last of which is cut")
                .isEqualTo(new Padding(16, 7, 100));
        assertThat(Padding.of(masked(Norm.BATCH, Shape.of(1, 2, 8))).counts(Norm.BATCH.normalization(null), 1))
                .as("a single sequence has half its steps")
                .containsExactly(4);
    }

    private static Workload masked(Norm norm, Shape shape) {
        return new Workload(norm, Direction.FORWARD, shape, Layout.CHANNELS_FIRST, Fusion.named("masked"));
    }

    /** The same operands that a layer gives its passes: the results are those of the layer with such a mask. */
    @Test
    void calls_masked_leaveZerosInThePadding() {
        for (Norm norm : List.of(Norm.BATCH, Norm.INSTANCE, Norm.LAYER)) {
            Workload workload = masked(norm, Shape.of(3, 4, 8));
            try (Backend backend = new ReferenceBackend();
                    TimedOperands from = new TimedOperands(backend, workload.elements())) {
                Tensors tensors = workload.tensors(2, from);
                try (Calls calls = workload.calls(backend, tensors)) {
                    calls.make(1);
                }
                FloatBuffer y = FloatBuffer.allocate(96);
                backend.read(tensors.get(Tensors.Part.Y, 1), y);
                float[] states = Padding.of(workload).states();
                for (int i = 0; i < 96; i++) {
                    int step = norm == Norm.LAYER ? i / 8 : i / 32 * 8 + i % 8;
                    assertThat(y.get(i) == 0).as("%s at %d", norm, i).isEqualTo(states[step] == 0);
                }
            }
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
