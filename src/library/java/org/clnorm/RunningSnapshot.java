package org.clnorm;

/**
 * A layer's running statistics as they were: mean, variance, how many batches each channel has seen, and how many the
 * layer. It is a copy on the host, with nothing to release; closing it puts it back into the layer, so that the
 * statistics are the same after a block as before it:
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
     * Puts the statistics back into the layer, bit for bit; as often as it is called.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public void restore() {
        layer.alone(() -> layer.running().set(mean, variance, absorbed, batches));
    }

    /**
     * Puts the statistics back as {@link #restore} does; when the layer is closed, it does nothing.
     *
     * @throws IllegalStateException when the layer is in the middle of another call
     */
    @Override
    public void close() {
        if (layer.isOpen()) {
            restore();
        }
    }

    /** Names the layer, and how many batches the statistics are of. */
    @Override
    public String toString() {
        return "running statistics after " + batches + " batches of " + layer;
    }
}
