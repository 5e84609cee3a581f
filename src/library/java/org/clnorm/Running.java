package org.clnorm;

import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;

/** A layer's running statistics, of shape (C) each, and how many batches they have seen. */
final class Running implements LayerState.Tracked {
    final Tensor mean;
    final Tensor variance;
    private final Tensor absorbed;
    private long batches;
    private boolean tracking = true;

    Running(Tensor mean, Tensor variance, Tensor absorbed) {
        this.mean = mean;
        this.variance = variance;
        this.absorbed = absorbed;
    }

    /** Makes the statistics operands that a pass updates. */
    void putTo(Operands operands) {
        operands.put(Role.RUNNING_MEAN, mean.operand())
                .put(Role.RUNNING_VARIANCE, variance.operand())
                .put(Role.ABSORBED, absorbed.operand());
    }

    /** Makes no statistics operands. */
    static void putNone(Operands operands) {
        operands.put(Role.RUNNING_MEAN, null).put(Role.RUNNING_VARIANCE, null).put(Role.ABSORBED, null);
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

    /** Says how many batches are in what was loaded. */
    void loaded(long batches) {
        this.batches = batches;
    }

    /** Counts a batch that entered. */
    void count() {
        batches++;
    }

    long batches() {
        return batches;
    }

    /** Whether batches of training enter. */
    boolean isTracking() {
        return tracking;
    }

    void track(boolean tracking) {
        this.tracking = tracking;
    }
}
