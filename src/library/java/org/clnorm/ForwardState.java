package org.clnorm;

import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Normalization;

/**
 * What a forward pass leaves for its backward pass: the coefficients, which tensors it was on, and what it did. It serves
 * one forward pass after the other, and has room for the coefficients of the last.
 */
final class ForwardState {
    /** Over what a backward pass reads again and so must find unchanged. */
    final Watch x = new Watch();

    /** Over y; read again where there were both a residual and an activation. */
    final Watch y = new Watch();

    /** Over γ and β; read again where they go by the element of a row, too many to be kept with the coefficients. */
    final Watch gamma = new Watch();

    final Watch beta = new Watch();
    /** Over the dy that was summed for a backward pass of several parts; of no tensor when none was. */
    final Watch summed = new Watch();

    /** The sums of this part. */
    GradientSums sums;

    Normalization normalization;
    boolean frozen;
    boolean hasResidual;
    /** Whether γ and β were per sample, and which of the two there were. */
    boolean conditional;

    boolean hadGamma;
    boolean hadBeta;
    /** The moments that the forward pass was given; null when they were its own. */
    ChannelMoments combined;

    /** Whether there is a forward pass to go back through. */
    boolean isForwarded;
    /** Whether that was gone back through. */
    boolean wentBack;
    /** Whether it may be gone back through again. */
    boolean isRetained;

    /** Read by threads that are not in the layer. */
    private volatile Room room;

    /** The room of the last pass; null before there was one. */
    Room room() {
        return room;
    }

    Coefficients coefficients() {
        return room.coefficients();
    }

    /** From now on this is the room, and the last one is closed. */
    void settle(Room next) {
        Room last = room;
        if (last != next) {
            room = next;
            if (last != null) {
                last.close();
            }
        }
    }

    /** The coming forward pass is none to go back through until it is done. */
    void restart() {
        isForwarded = false;
        wentBack = false;
        isRetained = false;
        combined = null;
        forgetSums();
    }

    void forgetSums() {
        sums = null;
        summed.end();
    }

    /** There is no forward pass to go back through any more. */
    void forget() {
        restart();
        x.end();
        y.end();
        gamma.end();
        beta.end();
    }

    /** Frees the room. */
    void release() {
        forget();
        settle(null);
    }
}
