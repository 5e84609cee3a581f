package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.Mask.Outside;
import org.clnorm.replicas.ChannelMoments;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What masks, and layers that have one, refuse, and in which words. */
final class MaskArgumentsTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final Shape SHAPE = TestLayer.SHAPE; // (2, 4, 3)

    private final Device device = Device.cpuReference();
    private final Mask mask = Mask.of(device, 2, 3, Outside.ZERO);
    private final Tensor x = device.upload(values(), SHAPE, FIRST);
    private final Tensor y = device.tensor(SHAPE, FIRST);
    private final Tensor dy = device.tensor(SHAPE, FIRST);
    private final Tensor dx = device.tensor(SHAPE, FIRST);
    private final BatchNorm norm = BatchNorm.builder(4).build(device);

    private static float[] values() {
        float[] values = new float[24];
        for (int i = 0; i < values.length; i++) {
            values[i] = i * i % 7;
        }
        return values;
    }

    @AfterEach
    void close() {
        norm.close();
        mask.close();
        List.of(x, y, dy, dx).forEach(Tensor::close);
        device.close();
    }

    private static void refuses(ThrowingCallable call, String message) {
        assertThatThrownBy(call).isInstanceOf(IllegalArgumentException.class).hasMessage(message);
    }

    private static void refusesNow(ThrowingCallable call, String... words) {
        assertThatThrownBy(call).isInstanceOf(IllegalStateException.class).hasMessageContainingAll(words);
    }

    @Test
    void of_noStepsOrTooMany_isRefused() {
        String expected = "A mask has at least one sample and one step, and fewer than 2^31 in all, but samples were ";
        refuses(() -> Mask.of(device, 0, 3, Outside.ZERO), expected + "0 and steps 3");
        refuses(() -> Mask.of(device, 2, -1, Outside.ZERO), expected + "2 and steps -1");
        refuses(() -> Mask.of(device, 1 << 16, 1 << 15, Outside.ZERO), expected + "65536 and steps 32768");
    }

    @Test
    void set_whatDoesNotFit_isRefusedAndChangesNothing() {
        mask.setLengths(1, 2);
        refuses(() -> mask.setLengths(1, 2, 3), "lengths must be of 2 samples, but given were 3");
        refuses(() -> mask.setLengths(3, 4), "lengths must be from 0 to 3, but of sample 1 is 4");
        refuses(() -> mask.setLengths(-1, 3), "lengths must be from 0 to 3, but of sample 0 is -1");
        refuses(() -> mask.setBytes(new byte[5]), "valid must have 2 x 3 bytes, but given were 5");
        assertThat(mask.count()).isEqualTo(3);
        norm.mask(mask);
        norm.forward(x, y);
        norm.backward(dy, dx);
    }

    @Test
    void closedMask_isRefusedByName() {
        norm.mask(mask);
        norm.forward(x, y);
        norm.retainForward();
        norm.backward(dy, dx);
        String closed = "The mask of 2 samples of 3 steps, of which 6 take part, is closed";
        mask.close();
        mask.close();
        refusesNow(() -> norm.forward(x, y), closed);
        refusesNow(() -> norm.moments(x), closed);
        refusesNow(() -> norm.mask(mask), closed);
        refusesNow(() -> mask.setLengths(1, 1), closed);
        refusesNow(() -> mask.setBytes(new byte[6]), closed);
        refusesNow(() -> norm.backward(dy, dx), "backward needs the forward pass's mask", "it was closed since");
        norm.mask(null);
        assertThatCode(() -> norm.forward(x, y)).doesNotThrowAnyException();
    }

    @Test
    void mask_ofAnotherDevice_isRefused() {
        try (Device other = Device.cpuReference();
                Mask foreign = Mask.of(other, 2, 3, Outside.ZERO)) {
            assertThatThrownBy(() -> norm.mask(foreign))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll(
                            "mask must be on the layer's", "but the mask of 2 samples of 3 steps", ", is on ");
        }
    }

    @Test
    void mask_ofOtherSteps_isRefusedBeforeAnythingChanges() {
        norm.forward(x, y);
        try (Mask ofSamples = Mask.of(device, 3, 2, Outside.ZERO);
                LayerNorm rows = LayerNorm.builder(3).build(device);
                Mask ofRows = Mask.of(device, 2, 3, Outside.ZERO)) {
            norm.mask(ofSamples);
            String expected = "x must have the steps of the layer's mask, 3 samples of 2, but its shape is (2, 4, 3)";
            refuses(() -> norm.forward(x, y), expected);
            refuses(() -> norm.moments(x), expected);
            rows.mask(ofRows);
            refuses(
                    () -> rows.forward(x, y),
                    "x must have the steps of the layer's mask, 2 samples of 3, but its shape is (2, 4, 3)");
        }
        assertThatCode(() -> norm.backward(dy, dx))
                .as("the pass before is still there")
                .doesNotThrowAnyException();
    }

    @Test
    void backward_afterTheMaskWasSet_isRefused() {
        norm.mask(mask);
        norm.forward(x, y);
        mask.setLengths(2, 2);
        refusesNow(() -> norm.backward(dy, dx), "backward needs the forward pass's mask", "it was written since");
        norm.forward(x, y);
        norm.backward(dy, dx);
    }

    @Test
    void training_byFewerThanTwoSteps_isRefused() {
        norm.mask(mask);
        for (int[] lengths : new int[][] {{0, 0}, {0, 1}}) {
            mask.setLengths(lengths);
            refuses(
                    () -> norm.forward(x, y),
                    "Batch statistics need more than one value per channel, but of the mask of 2 samples of 3 steps, of which "
                            + mask.count() + " take part; use eval() to normalize with running statistics");
        }
        norm.eval();
        assertThatCode(() -> norm.forward(x, y)).doesNotThrowAnyException();
    }

    @Test
    void forwardCombined_byMomentsOfFewerValuesThanAreValid_isRefused() {
        norm.mask(mask);
        mask.setLengths(2, 2);
        for (int count : new int[] {3, 1}) {
            ChannelMoments few = new ChannelMoments(count, new double[4], new double[4]);
            assertThatThrownBy(() -> norm.forwardCombined(x, null, y, few))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContainingAll("The moments must be of all parts", "those of " + count + " values");
        }
        mask.setLengths(0, 0);
        assertThatThrownBy(() -> norm.forwardCombined(x, null, y, ChannelMoments.empty(4)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("The moments must be of all parts", "those of 0 values");
        norm.forwardCombined(x, null, y, new ChannelMoments(2, new double[4], new double[4]));
    }

    @Test
    void virtualBatches_takeNoMask() {
        try (BatchNorm ghost = BatchNorm.builder(4).virtualBatch(1).build(device)) {
            refusesNow(() -> ghost.mask(mask), "A layer with virtual batches takes no mask");
            assertThatCode(() -> ghost.mask(null)).doesNotThrowAnyException();
        }
    }

    @Test
    void inPlace_withAMask_isRefusedAndPreparedWithAPlaceForY() {
        try (BatchNorm inPlace = BatchNorm.builder(4).inPlace(true).build(device)) {
            inPlace.mask(mask);
            assertThatThrownBy(() -> inPlace.forward(x, x))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(
                            "y may not share memory with x in training where there is a residual, a mask,");
            assertThatCode(() -> inPlace.prepare(SHAPE, FIRST)).doesNotThrowAnyException();
        }
    }

    @Test
    void closedLayer_takesNoMask() {
        LayerNorm rows = LayerNorm.builder(3).build(device);
        rows.close();
        refusesNow(() -> rows.mask(mask), "is closed");
        BatchNorm closed = BatchNorm.builder(4).build(device);
        closed.close();
        refusesNow(() -> closed.mask(mask), "is closed");
    }
}
