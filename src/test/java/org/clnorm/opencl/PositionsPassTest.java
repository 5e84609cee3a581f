package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.Role;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Facts;
import org.junit.jupiter.api.Test;

/** What passes over positions are made of. */
class PositionsPassTest {
    private static final Normalization POSITIONS =
            new Normalization(new Grouping.Positions(), Normalization.Statistic.CENTERED);

    /** A quarter of its cache has room for 2 Mi elements. */
    private static final DeviceFacts DEVICE = Facts.cpu(2, 16);

    private static final Memory MEMORY = new Memory() {
        @Override
        public long elements() {
            return 1 << 30;
        }

        @Override
        public void close() {}
    };

    private static Operand operand(long offset, DataType type) {
        return new Operand(MEMORY, offset, type);
    }

    private static PassSpec forward(Shape shape, OperandTypes types) {
        return new ForwardTraining(
                POSITIONS, shape, Layout.CHANNELS_FIRST, types, Activation.RELU, 1e-6, null, NonFinitePolicy.PROPAGATE);
    }

    private static PassSpec backward(Shape shape, OperandTypes types, boolean accumulate) {
        return new Backward(POSITIONS, shape, Layout.CHANNELS_FIRST, types, false, Activation.RELU, 1e-6, accumulate);
    }

    private static List<Long> starts(PassSpec pass) {
        return PositionsPass.steps(pass, DEVICE).stream()
                .map(PositionsPass.Step::start)
                .distinct()
                .toList();
    }

    @Test
    void steps_ofManySamples_areOverSoManyAsTheCacheHasRoomFor() {
        OperandTypes none = new OperandTypes(0);
        long cached = DEVICE.cacheBytes() / 16;
        Shape plane = Shape.of(5, 8, 250, 251);
        long ofSample = 8 * 250 * 251;
        long together = cached / ofSample;

        assertThat(together).isBetween(2L, 4L);
        assertThat(starts(forward(Shape.of(2, 3, 5), none))).containsExactly(0L);
        assertThat(starts(forward(plane, none)).get(1)).isEqualTo(together * ofSample);
        assertThat(PositionsPass.steps(forward(plane, none), DEVICE).stream()
                        .filter(step -> step.spec() instanceof ForwardInference)
                        .mapToLong(step -> step.spec().shape().batch())
                        .sum())
                .as("each sample once")
                .isEqualTo(5);
        assertThat(starts(forward(Shape.of(3, 64, 512, 512), none)))
                .as("one at a time, where a sample has more")
                .hasSize(3);
    }

    @Test
    void steps_whereTheDriverIsSilentAboutTheCache_areStillOverSeveralSamples() {
        PassSpec pass = forward(Shape.of(50, 8, 250, 251), new OperandTypes(0));

        assertThat(PositionsPass.steps(pass, Facts.withoutCache(DEVICE)))
                .as("two samples have the 4 MB that go from one pass to the next at least")
                .extracting(step -> step.spec().shape().batch())
                .containsOnly(2L);
    }

    @Test
    void steps_ofABackwardPass_addToTheGradientsOfTheSamplesBefore() {
        for (boolean accumulate : new boolean[] {false, true}) {
            List<PositionsPass.Step> steps =
                    PositionsPass.steps(backward(Shape.of(3, 64, 512, 512), new OperandTypes(0), accumulate), DEVICE);

            assertThat(steps).hasSize(9);
            assertThat(steps)
                    .filteredOn(step -> step.spec() instanceof Backward part && part.frozen())
                    .extracting(step -> ((Backward) step.spec()).accumulate())
                    .containsExactly(accumulate, true, true);
            assertThat(steps)
                    .filteredOn(step -> step.spec() instanceof Backward part && !part.frozen())
                    .extracting(step -> ((Backward) step.spec()).activation())
                    .containsOnly(Activation.NONE);
        }
    }

    @Test
    void operands_ofEachStep_areItsSamplesAndTheRoomBetween() {
        Operands whole = new Operands()
                .put(Role.X, operand(7, DataType.BFLOAT16))
                .put(Role.RESIDUAL, operand(11, DataType.FLOAT16))
                .put(Role.Y, operand(13, DataType.FLOAT16))
                .put(Role.GAMMA, operand(3, DataType.FLOAT32));
        Operand room = operand(0, DataType.FLOAT32);
        List<PositionsPass.Step> steps = PositionsPass.steps(forward(Shape.of(2, 64, 512, 512), whole.types()), DEVICE);
        long second = 64 * 512 * 512;

        for (PositionsPass.Step step : steps) {
            step.of(whole, room, room, room).checkAre(step.spec().operands());
        }
        Operands normalize = steps.get(2).of(whole, room, room, room);
        assertThat(normalize.get(Role.X)).isEqualTo(operand(7 + second, DataType.BFLOAT16));
        assertThat(normalize.get(Role.Y)).isSameAs(room);
        assertThat(normalize.get(Role.GAMMA)).isNull();
        Operands scale = steps.get(3).of(whole, room, room, room);
        assertThat(scale.get(Role.X)).isSameAs(room);
        assertThat(scale.get(Role.RESIDUAL)).isEqualTo(operand(11 + second, DataType.FLOAT16));
        assertThat(scale.get(Role.Y)).isEqualTo(operand(13 + second, DataType.FLOAT16));
        assertThat(scale.get(Role.GAMMA)).isSameAs(whole.get(Role.GAMMA));
        assertThat(scale.get(Role.BETA)).isNull();
    }
}
