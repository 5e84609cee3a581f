package org.clnorm;

import java.util.Optional;

/**
 * A normalization that may keep running statistics: averages over the batches of training, by which evaluation
 * normalizes.
 */
public abstract sealed class RunningNormalizer extends ChannelNormalizer permits BatchNorm, InstanceNorm {
    RunningNormalizer(Device device, Options options, int channels, String what) {
        super(device, options, channels, what);
    }

    /** Refuses to switch tracking off where the layer needs it. */
    void checkTracking(boolean tracking) {}

    /**
     * The running mean, of shape (C), if one is kept. It is the layer's own tensor, which later batches change.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public final Optional<Tensor> runningMean() {
        checkOpen();
        return Optional.ofNullable(running()).map(running -> running.mean);
    }

    /**
     * The running variance, of shape (C), if one is kept. It is the layer's own tensor, which later batches change.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public final Optional<Tensor> runningVariance() {
        checkOpen();
        return Optional.ofNullable(running()).map(running -> running.variance);
    }

    /**
     * How many batches the running statistics have seen, PyTorch's {@code num_batches_tracked}; 0 where none are kept.
     */
    public final long batchesTracked() {
        return running() == null ? 0 : running().batches();
    }

    /**
     * Says whether batches of training enter the running statistics from now on, as they do from the start. A layer
     * that keeps none stays without. By which statistics a pass normalizes is not changed; see {@link #train} and
     * {@link #eval}.
     *
     * @param tracking true for batches to enter, false for the running statistics to stay as they are
     * @throws IllegalStateException for false on a layer with batch renormalization, which uses and updates the running
     *     statistics in one pass; and when the layer is closed or in the middle of another call
     */
    public final void trackRunning(boolean tracking) {
        alone(() -> {
            checkTracking(tracking);
            if (running() != null) {
                running().track(tracking);
            }
        });
    }

    /**
     * A copy of the running statistics as they are now, to go back to: after an evaluation amid training that
     * re-estimates them, say. Waits for the device.
     *
     * @throws IllegalStateException for a layer without running statistics, and when the layer is closed or in the
     *     middle of another call
     */
    public final RunningSnapshot snapshotRunning() {
        checkOpen();
        if (running() == null) {
            throw new IllegalStateException("A layer without running statistics has none to keep");
        }
        return answer(() -> new RunningSnapshot(this));
    }

    /** Whether batches of training enter running statistics: these are kept, and tracking was not switched off. */
    public final boolean isTrackingRunning() {
        return running() != null && running().isTracking();
    }
}
