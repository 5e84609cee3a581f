package org.clnorm;

import java.util.function.Supplier;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Normalization;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * What a forward pass leaves for its backward pass: the coefficients, which tensors it was on, and what it did. It
 * serves one forward pass after the other, and has room for the coefficients of the last.
 */
final class ForwardState {
    /** Watches x, or the y that took its place, which a backward pass reads again and so must find unchanged. */
    final Watch x = new Watch();

    /** Watches y, which is read again where there were both a residual and an activation whose derivative y tells. */
    final Watch y = new Watch();

    /** Watches the residual, if there was one, which is read again for other activations. */
    final Watch residual = new Watch();

    /** Watches which steps took part, where there was a mask. */
    final Watch states = new Watch();

    private Mask mask;

    /**
     * Watches γ, as the next watches β; they are read again where each element of a row has its own, too many to be
     * kept with the coefficients.
     */
    final Watch gamma = new Watch();

    final Watch beta = new Watch();
    /** Watches the dy that was summed for a backward pass of several parts; watches none when there was none. */
    final Watch summed = new Watch();

    /** The sums over this part of the batch; waits for them. */
    Supplier<GradientSums> sums;

    Normalization normalization;
    /** Whether it was over values, and so has statistics in its room. */
    boolean hasStatistics;

    boolean frozen;
    /** Whether y took x's place, and the backward pass has x from it. */
    boolean inPlace;

    boolean hasResidual;
    /** Which of γ and β per sample there were; neither where the normalization has them for all samples. */
    boolean hadGamma;

    boolean hadBeta;
    /** The moments that the forward pass was given; null when they were its own. */
    ChannelMoments combined;

    /** Whether there is a forward pass to go back through. */
    boolean isForwarded;
    /** Whether that pass was gone back through. */
    boolean wentBack;
    /** Whether that pass may be gone back through again. */
    boolean isRetained;

    /** The room of the last pass; null before there was one. Read by threads that are not in the layer too. */
    private volatile Room room;

    /** The room of the last pass; null before there was one. */
    Room room() {
        return room;
    }

    /** The bytes of a y beside x; 0 where there was one. */
    long bytesSaved() {
        return isForwarded && inPlace
                ? x.tensor().shape().elements() * x.tensor().type().bytes()
                : 0;
    }

    Coefficients coefficients() {
        return room.coefficients();
    }

    /** Makes this the room from now on, and closes the last one. */
    void settle(Room next) {
        Room last = room;
        if (last != next) {
            room = next;
            if (last != null) {
                last.close();
            }
        }
    }

    /** Begins a forward pass, which is none to go back through until it is done. */
    void restart() {
        isForwarded = false;
        wentBack = false;
        isRetained = false;
        combined = null;
        forgetSums();
    }

    /** @param taken the mask of the pass, which its backward pass goes by too; null for none */
    void keep(Mask taken) {
        mask = taken;
        if (taken != null) {
            states.begin(taken.states());
        } else {
            states.end();
        }
    }

    /** The mask of the pass, or null. */
    Mask mask() {
        return mask;
    }

    void forgetSums() {
        sums = null;
        summed.end();
    }

    /** Ends the forward pass: there is none to go back through any more. */
    void forget() {
        restart();
        keep(null);
        x.end();
        y.end();
        residual.end();
        gamma.end();
        beta.end();
    }

    /** Frees the room. */
    void release() {
        forget();
        settle(null);
    }
}
