package org.clnorm;

import java.util.Arrays;
import java.util.Objects;
import org.clnorm.backend.Operand;

/**
 * Which steps of a batch take part in a normalization: padded sequences by their lengths, or any by a byte for each. A step is
 * a sample's spatial position with all of its channels, of which a tensor of shape (N, C, L) has N·L; or a row, where rows
 * are normalized. Statistics, gradients and the m of the unbiased estimate are of the valid steps alone; what the tensors
 * hold at others is not looked at.
 *
 * <p>A mask is given to {@link ChannelNormalizer#mask} or {@link RowNormalizer#mask}, to any number of layers, and set anew for
 * each batch; the new steps hold for the passes after that. A backward pass needs the mask as it was in its forward pass.
 * The caller closes it.
 */
public final class Mask implements AutoCloseable {
    /** What outputs, y and the gradients of x and of the residual, have where no step takes part. */
    public enum Outside {
        /** 0; in a gradient that what came past the layer is added to, that. */
        ZERO,
        /** What they had there. */
        UNTOUCHED
    }

    /** Kernels read whole vectors. */
    private static final int ROOM_AFTER = 16;

    private static final float VALID = 1;

    private final Device device;
    private final int samples;
    private final int steps;
    private final float outside;
    private final Tensor states;
    private final Tensor counts;
    private final Operand countOfAll;
    private volatile long count;
    /** Not so when one of the uploads failed: what is on the device are then parts of two masks. */
    private volatile boolean isWhole;

    private Mask(Device device, int samples, int steps, Outside outside) {
        this.device = device;
        this.samples = samples;
        this.steps = steps;
        this.outside = outside == Outside.ZERO ? 0 : 2;
        this.states =
                device.tensor(Shape.of((long) samples * steps + ROOM_AFTER), Layout.CHANNELS_FIRST, DataType.FLOAT16);
        try {
            this.counts = device.tensor(Shape.of(samples + 1L), Layout.CHANNELS_FIRST);
        } catch (RuntimeException e) {
            states.close();
            throw e;
        }
        Operand each = counts.operand();
        this.countOfAll = new Operand(each.memory(), each.offset() + samples);
    }

    /**
     * A mask of which every step takes part, until it is set.
     *
     * @param device the device of the layers that it is for
     * @param samples N, at least 1
     * @param steps of a sample: L of (N, C, L), the product of several spatial dimensions, T where rows are normalized of (N, T,
     *     D); at least 1
     * @param outside what outputs have where no step takes part
     * @throws IllegalArgumentException for fewer, or for more steps than a tensor may have elements
     * @throws IllegalStateException when the device is closed
     */
    public static Mask of(Device device, int samples, int steps, Outside outside) {
        Objects.requireNonNull(device, "device");
        Objects.requireNonNull(outside, "outside");
        if (samples < 1 || steps < 1 || (long) samples * steps > Integer.MAX_VALUE - ROOM_AFTER) {
            throw new IllegalArgumentException(
                    "A mask has at least one sample and one step, and fewer than 2^31 in all, but" + " samples were "
                            + samples + " and steps " + steps);
        }
        Mask mask = new Mask(device, samples, steps, outside);
        try {
            int[] all = new int[samples];
            Arrays.fill(all, steps);
            mask.setLengths(all);
        } catch (RuntimeException e) {
            mask.close();
            throw e;
        }
        return mask;
    }

    /**
     * Lets the first steps of each sample take part.
     *
     * @param lengths how many of each sample, from 0 to all
     * @throws IllegalArgumentException for another number of samples, and for a length that is not from 0 to all steps
     * @throws IllegalStateException when the mask is closed
     */
    public void setLengths(int... lengths) {
        Objects.requireNonNull(lengths, "lengths");
        if (lengths.length != samples) {
            throw new IllegalArgumentException(
                    "lengths must be of " + samples + " samples, but given were " + lengths.length);
        }
        float[] of = new float[samples * steps];
        for (int n = 0; n < samples; n++) {
            if (lengths[n] < 0 || lengths[n] > steps) {
                throw new IllegalArgumentException(
                        "lengths must be from 0 to " + steps + ", but of sample " + n + " is " + lengths[n]);
            }
            Arrays.fill(of, n * steps, n * steps + lengths[n], VALID);
            Arrays.fill(of, n * steps + lengths[n], (n + 1) * steps, outside);
        }
        set(of);
    }

    /**
     * Lets any steps take part.
     *
     * @param valid a byte for each step of the first sample, of the next, and so on: 0 where it takes no part
     * @throws IllegalArgumentException for another number of steps
     * @throws IllegalStateException when the mask is closed
     */
    public void setBytes(byte... valid) {
        Objects.requireNonNull(valid, "valid");
        if (valid.length != samples * steps) {
            throw new IllegalArgumentException(
                    "valid must have " + samples + " x " + steps + " bytes, but given were " + valid.length);
        }
        float[] of = new float[valid.length];
        for (int i = 0; i < valid.length; i++) {
            of[i] = valid[i] == 0 ? outside : VALID;
        }
        set(of);
    }

    private void set(float[] of) {
        checkOpen();
        float[] each = new float[samples + 1];
        long all = 0;
        for (int n = 0; n < samples; n++) {
            int here = 0;
            for (int s = 0; s < steps; s++) {
                here += of[n * steps + s] == VALID ? 1 : 0;
            }
            each[n] = here;
            all += here;
        }
        each[samples] = all;
        isWhole = false;
        states.upload(Arrays.copyOf(of, of.length + ROOM_AFTER));
        counts.upload(each);
        count = all;
        isWhole = true;
    }

    /** How many steps take part, of all samples. */
    public long count() {
        return count;
    }

    private void checkOpen() {
        if (states.isClosed()) {
            throw new IllegalStateException("The " + this + ", is closed");
        }
    }

    /** Refuses a layer's device that is not the mask's. */
    void checkOn(Device layers) {
        checkOpen();
        if (device != layers) {
            throw new IllegalArgumentException(
                    "mask must be on the layer's " + layers + ", but the " + this + ", is on " + device);
        }
    }

    /** Refuses an x that has not these steps. */
    void check(Tensor x, long rows) {
        checkOpen();
        if (!isWhole) {
            throw new IllegalStateException(
                    "The " + this + ", was not set as a whole, since the device failed: set it again");
        }
        Shape shape = x.shape();
        boolean fits =
                rows >= 0 ? rows == (long) samples * steps : shape.batch() == samples && shape.spatial() == steps;
        if (!fits) {
            throw new IllegalArgumentException("x must have the steps of the layer's mask, " + samples + " samples of "
                    + steps + ", but its shape is " + shape);
        }
    }

    /** The state of each step. */
    Tensor states() {
        return states;
    }

    /** How many steps take part, of each sample or of all. */
    Operand counts(boolean perSample) {
        return perSample ? counts.operand() : countOfAll;
    }

    /** Frees the device's memory. Closing twice is harmless. */
    @Override
    public void close() {
        states.close();
        counts.close();
    }

    @Override
    public String toString() {
        return "mask of " + samples + " samples of " + steps + " steps, of which " + count + " take part";
    }
}
