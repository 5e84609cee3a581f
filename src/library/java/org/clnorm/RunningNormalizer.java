package org.clnorm;

import java.util.Optional;

/** A normalization that may keep running statistics: averages over the batches of training, for evaluation. */
public abstract sealed class RunningNormalizer extends ChannelNormalizer permits BatchNorm, InstanceNorm {
    RunningNormalizer(Device device, Options options, int channels, String what) {
        super(device, options, channels, what);
    }

    /** Refuses to switch tracking off where the layer needs it. */
    void checkTracking(boolean tracking) {}

    /** The running mean, of shape (C), if one is kept. */
    public final Optional<Tensor> runningMean() {
        checkOpen();
        return Optional.ofNullable(running()).map(running -> running.mean);
    }

    /** The running variance, of shape (C), if one is kept. */
    public final Optional<Tensor> runningVariance() {
        checkOpen();
        return Optional.ofNullable(running()).map(running -> running.variance);
    }

    /** How many batches the running statistics have seen: PyTorch's {@code num_batches_tracked}. */
    public final long batchesTracked() {
        return running() == null ? 0 : running().batches();
    }

    /**
     * Whether batches of training enter the running statistics from now on, as they do from the start; a layer that keeps
     * none stays without. What normalizes is not changed by it; see {@link #train} and {@link #eval}.
     *
     * @throws IllegalStateException when a layer with batch renormalization is to stop: there, running statistics are used
     *     and updated in one pass
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
     * The running statistics as they are now, to go back to: after an evaluation amid training that re-estimates them, say.
     * Waits for the device.
     *
     * @throws IllegalStateException for a layer without running statistics
     */
    public final RunningSnapshot snapshotRunning() {
        checkOpen();
        if (running() == null) {
            throw new IllegalStateException("A layer without running statistics has none to keep");
        }
        return answer(() -> new RunningSnapshot(this));
    }

    /** Whether batches of training enter running statistics: they are kept, and tracking was not switched off. */
    public final boolean isTrackingRunning() {
        return running() != null && running().isTracking();
    }
}
