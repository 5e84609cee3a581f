package org.clnorm.reference;

import java.util.function.Supplier;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Operand;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/**
 * The coefficients as the doubles that they were computed in. What parts of a batch tell each other stays the plain
 * value that it is for the host.
 */
final class ReferenceCoefficients implements Coefficients {
    /** What a forward pass applied to x: γ and β too, so that its backward pass finds the very same pre-activations. */
    record Applied(Statistics statistics, double[] gamma, double[] beta) {}

    /** What {@link #writeMoments} was given. */
    record CombinedMoments(ChannelMoments moments, RunningVariance estimate) {}

    /** What {@link #writeSums} was given. */
    record CombinedSums(GradientSums own, GradientSums all) {}

    private final ReferenceBackend owner;
    private final int groups;
    private final Operand roundedMean;
    private final Operand roundedInverseStandardDeviation;
    private Applied applied;
    /** Whether a backward pass has y for x. */
    private boolean inverted;

    private ChannelMoments reducedMoments;
    private CombinedMoments combinedMoments;
    private GradientSums reducedSums;
    private CombinedSums combinedSums;
    private boolean closed;

    ReferenceCoefficients(ReferenceBackend owner, int groups) {
        this.owner = owner;
        this.groups = groups;
        roundedMean = new Operand(owner.allocate(groups), 0);
        roundedInverseStandardDeviation = new Operand(owner.allocate(groups), 0);
    }

    /** Whose device they are of. */
    ReferenceBackend owner() {
        return owner;
    }

    void checkOpen() {
        owner.checkOpen();
        if (closed) {
            throw new IllegalStateException("The coefficients are closed");
        }
    }

    /** Given statistics are per channel, and an empty batch may have no room for those. */
    void keep(Applied used) {
        Statistics statistics = used.statistics();
        if (statistics.mean().length <= groups) {
            owner.store(statistics.mean(), roundedMean);
            owner.store(statistics.inverseStandardDeviation(), roundedInverseStandardDeviation);
        }
        applied = used;
        inverted = false;
    }

    /** From here on, a backward pass has y for x. */
    void invert() {
        applied();
        inverted = true;
    }

    boolean isInverted() {
        return inverted;
    }

    void keep(ChannelMoments moments) {
        reducedMoments = moments;
    }

    void keep(GradientSums sums) {
        reducedSums = sums;
    }

    Applied applied() {
        return there(applied, "what a forward pass leaves");
    }

    CombinedMoments combinedMoments() {
        return there(combinedMoments, "moments to normalize by");
    }

    CombinedSums combinedSums() {
        return there(combinedSums, "sums to go by");
    }

    @Override
    public int groups() {
        return groups;
    }

    @Override
    public Operand mean() {
        return roundedMean;
    }

    @Override
    public Operand inverseStandardDeviation() {
        return roundedInverseStandardDeviation;
    }

    @Override
    public Supplier<ChannelMoments> readMoments(long count) {
        synchronized (owner) {
            checkOpen();
            ChannelMoments moments = there(reducedMoments, "moments that a pass left");
            checkCount(count, moments.count());
            return () -> moments;
        }
    }

    @Override
    public void writeMoments(ChannelMoments moments, RunningVariance estimate) {
        synchronized (owner) {
            checkOpen();
            combinedMoments = new CombinedMoments(moments, estimate);
        }
    }

    @Override
    public Supplier<GradientSums> readSums(long count) {
        synchronized (owner) {
            checkOpen();
            GradientSums sums = there(reducedSums, "sums that a pass left");
            checkCount(count, sums.count());
            return () -> sums;
        }
    }

    @Override
    public void writeSums(GradientSums own, GradientSums all) {
        synchronized (owner) {
            checkOpen();
            combinedSums = new CombinedSums(own, all);
        }
    }

    private static <T> T there(T value, String what) {
        if (value == null) {
            throw new IllegalStateException("The coefficients do not hold " + what);
        }
        return value;
    }

    private static void checkCount(long given, long had) {
        if (given != had) {
            throw new IllegalArgumentException(
                    "The pass had " + had + " values per channel, but asked for were those of " + given);
        }
    }

    @Override
    public void close() {
        synchronized (owner) {
            roundedMean.memory().close();
            roundedInverseStandardDeviation.memory().close();
            applied = null;
            reducedMoments = null;
            combinedMoments = null;
            reducedSums = null;
            combinedSums = null;
            closed = true;
        }
    }
}
