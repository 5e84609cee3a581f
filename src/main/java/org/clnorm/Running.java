package org.clnorm;

import org.clnorm.backend.RunningStatistics;

/** A layer's running statistics, of shape (C) each, and how many batches they have seen. */
final class Running implements LayerState.Tracked {
    final Tensor mean;
    final Tensor variance;
    final RunningStatistics operands;

    private final Tensor absorbed;
    private long batches;
    private boolean tracking = true;

    Running(Tensor mean, Tensor variance, Tensor absorbed, Options options) {
        this.mean = mean;
        this.variance = variance;
        this.absorbed = absorbed;
        this.operands = new RunningStatistics(
                mean.operand(),
                variance.operand(),
                absorbed.operand(),
                options.runningAverage,
                options.runningVariance);
    }

    void reset() {
        mean.fill(0);
        variance.fill(1);
        absorbed.fill(0);
        batches = 0;
    }

    void set(float[] mean, float[] variance, float[] absorbed, long batches) {
        this.mean.upload(mean);
        this.variance.upload(variance);
        this.absorbed.upload(absorbed);
        this.batches = batches;
    }

    @Override
    public Tensor mean() {
        return mean;
    }

    @Override
    public Tensor variance() {
        return variance;
    }

    @Override
    public Tensor absorbed() {
        return absorbed;
    }

    /** So many batches are in what was loaded. */
    void loaded(long batches) {
        this.batches = batches;
    }

    /** A batch entered. */
    void count() {
        batches++;
    }

    long batches() {
        return batches;
    }

    /** Whether batches enter. */
    boolean isTracking() {
        return tracking;
    }

    void track(boolean tracking) {
        this.tracking = tracking;
    }
}
