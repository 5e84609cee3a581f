package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Saved statistics are kept while they fit, and closed once others have taken their place. */
final class RoomTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    private final Recorder recorder = new Recorder();
    private final Device device = recorder.open();
    private final Tensor small = device.tensor(Shape.of(2, 4, 3), FIRST);
    private final Tensor large = device.tensor(Shape.of(5, 4, 3), FIRST);

    @AfterEach
    void close() {
        small.close();
        large.close();
        device.close();
    }

    private void forward(Normalizer norm, Tensor x) {
        norm.forward(x).close();
    }

    @Test
    void shape_thatStays_keepsTheRoom() {
        try (LayerNorm norm = LayerNorm.builder(3).build(device);
                Tensor other = device.tensor(small.shape(), FIRST)) {
            assertThat(recorder.rooms).isEmpty();
            forward(norm, small);
            Tensor mean = norm.savedMean();
            forward(norm, other);
            norm.eval();
            forward(norm, small);
            assertThat(recorder.rooms).hasSize(1);
            assertThat(recorder.rooms.get(0).shape).isEqualTo(small.shape());
            assertThat(norm.savedMean()).isSameAs(mean);
        }
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void shapeOrLayout_thatChanges_replacesTheRoom() {
        try (GroupNorm group = GroupNorm.builder(2, 4).build(device);
                LayerNorm norm = LayerNorm.builder(3).build(device);
                Tensor last = device.tensor(Shape.of(5, 3, 4), Layout.CHANNELS_LAST)) {
            forward(group, small);
            forward(norm, small);
            Tensor mean = norm.savedMean();
            forward(norm, large);
            assertThat(recorder.rooms).hasSize(3);
            assertThat(recorder.rooms.get(1).closed).isTrue();
            assertThat(mean.isClosed()).isTrue();
            assertThat(norm.savedMean().shape()).isEqualTo(Shape.of(20));
            assertThat(recorder.training().coefficients()).isSameAs(recorder.rooms.get(2));
            forward(norm, last);
            assertThat(recorder.openRooms()).as("one for each layer").isEqualTo(2);
        }
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void batchNorm_ofAnyShape_hasOneRoom() {
        try (BatchNorm norm = BatchNorm.builder(4).build(device)) {
            Tensor mean = norm.savedMean();
            forward(norm, small);
            forward(norm, large);
            norm.eval();
            forward(norm, small);
            assertThat(recorder.rooms).hasSize(1);
            assertThat(norm.savedMean()).isSameAs(mean);
        }
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void room_thatCannotBeHad_leavesTheLastForwardPass() {
        try (LayerNorm norm = LayerNorm.builder(3).build(device);
                Tensor dx = device.tensor(small.shape(), FIRST);
                Tensor y = norm.forward(small)) {
            recorder.noRoom = new IllegalStateException("out of memory");
            assertThatThrownBy(() -> norm.forward(large)).isSameAs(recorder.noRoom);
            assertThat(norm.savedMean().shape()).isEqualTo(Shape.of(8));
            norm.backward(y, dx);
            assertThat(recorder.backward().coefficients()).isSameAs(recorder.rooms.get(0));
            recorder.noRoom = null;
            forward(norm, large);
            assertThat(recorder.rooms).hasSize(2);
        }
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void pass_thatFailsInANewRoom_isNotToBeGoneBackThrough() {
        try (LayerNorm norm = LayerNorm.builder(3).build(device);
                Tensor y = norm.forward(small)) {
            recorder.noPass = new IllegalStateException("device lost");
            assertThatThrownBy(() -> norm.forward(large)).isSameAs(recorder.noPass);
            assertThatThrownBy(() -> norm.backward(y))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("needs a forward pass");
            assertThat(recorder.openRooms()).isEqualTo(1);
        }
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void build_withoutRoom_closesWhatThereWas() {
        recorder.noRoom = new IllegalStateException("out of memory");
        assertThatThrownBy(() -> BatchNorm.builder(4).build(device)).isSameAs(recorder.noRoom);
        assertThat(recorder.openRooms()).isZero();
    }

    @Test
    void tensor_ofNoElements_needsNoRoom() {
        try (LayerNorm norm = LayerNorm.builder(3).build(device);
                Tensor none = device.tensor(Shape.of(0, 4, 3), FIRST);
                Tensor y = norm.forward(none);
                Tensor dx = norm.backward(y)) {
            norm.gamma().orElseThrow().gradient().fill(7);
            norm.beta().orElseThrow().gradient().fill(7);
            norm.beta().orElseThrow().freeze();
            norm.retainForward();
            norm.backward(y, dx);
            assertThat(norm.gamma().orElseThrow().gradient().download()).containsOnly(0);
            assertThat(norm.beta().orElseThrow().gradient().download())
                    .as("a frozen gradient is not touched")
                    .containsOnly(7);
            assertThat(recorder.rooms).isEmpty();
            assertThat(recorder.passes()).isZero();
        }
    }
}
