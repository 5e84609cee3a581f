package org.clnorm;

/**
 * A layer's running statistics as they were: mean, variance, how many batches each channel has, and how many the layer. A
 * copy on the host, with nothing to release; closing it goes back to them, so that a block has them as they were after it:
 *
 * <pre>{@code
 * try (RunningSnapshot before = norm.snapshotRunning()) {
 *     PopulationStatistics.estimate(norm, inputs);
 *     ... // evaluate
 * }
 * }</pre>
 *
 * <p>Whether batches are tracked, and the mode, are not part of it.
 */
public final class RunningSnapshot implements AutoCloseable {
    private final RunningNormalizer layer;
    private final float[] mean;
    private final float[] variance;
    private final float[] absorbed;
    private final long batches;

    RunningSnapshot(RunningNormalizer layer) {
        Running running = layer.running();
        this.layer = layer;
        this.mean = running.mean().download();
        this.variance = running.variance().download();
        this.absorbed = running.absorbed().download();
        this.batches = running.batches();
    }

    /**
     * Goes back to them, bit for bit; as often as it is called.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public void restore() {
        layer.alone(() -> layer.running().set(mean, variance, absorbed, batches));
    }

    /** As {@link #restore}; nothing when the layer is closed. */
    @Override
    public void close() {
        if (layer.isOpen()) {
            restore();
        }
    }

    /** Whose they are, and of how many batches. */
    @Override
    public String toString() {
        return "running statistics after " + batches + " batches of " + layer;
    }
}
