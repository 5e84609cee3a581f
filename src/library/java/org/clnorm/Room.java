package org.clnorm;

import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;

/**
 * Room for what a forward pass leaves to its backward pass.
 *
 * @param normalization what is done by the pass; batch normalization's room serves all shapes, the others' one shape
 *     and layout
 * @param shape of x
 * @param layout of x
 * @param coefficients what the pass leaves
 * @param lease what the room is closed by
 * @param mean the mean of each group, or null where a backend does not show it
 * @param invstd the inverse standard deviation of each group, or null where a backend does not show it
 */
record Room(
        Normalization normalization,
        Shape shape,
        Layout layout,
        Coefficients coefficients,
        Lease lease,
        Tensor mean,
        Tensor invstd)
        implements AutoCloseable {

    /** @param layer what it is a part of */
    static Room make(Lease layer, Device device, Normalization normalization, Shape shape, Layout layout) {
        Coefficients coefficients = normalization.equals(Normalization.BATCH)
                ? device.backend().newCoefficients(Math.toIntExact(shape.channels()))
                : device.backend().newCoefficients(normalization, shape, layout);
        Lease lease = layer.part("saved statistics", coefficients::close);
        if (!isShown(normalization.grouping())) {
            return new Room(normalization, shape, layout, coefficients, lease, null, null);
        }
        try {
            Shape perGroup = Shape.of(normalization.grouping().groups(shape, layout));
            return new Room(
                    normalization,
                    shape,
                    layout,
                    coefficients,
                    lease,
                    Tensor.lent("saved mean of " + layer.what(), device, perGroup, coefficients.mean(), lease),
                    Tensor.lent(
                            "saved inverse standard deviation of " + layer.what(),
                            device,
                            perGroup,
                            coefficients.inverseStandardDeviation(),
                            lease));
        } catch (RuntimeException e) {
            lease.close();
            throw e;
        }
    }

    /** See {@link Coefficients#mean}. */
    private static boolean isShown(Grouping grouping) {
        return grouping instanceof Grouping.Rows || grouping instanceof Grouping.Batch batch && !batch.isVirtual();
    }

    /**
     * The room of a forward pass whose statistics are shown.
     *
     * @throws IllegalStateException where none are
     */
    static Room shown(ForwardState of) {
        Room last = of.room();
        if (last == null) {
            throw new IllegalStateException("There are no saved statistics before a forward pass");
        }
        if (last.mean == null) {
            throw new IllegalStateException(
                    "The last forward pass was over virtual batches or parts of samples, whose statistics are not shown");
        }
        return last;
    }

    /**
     * The room of a forward pass that was recorded, whose statistics are shown.
     *
     * @throws IllegalStateException where none are, and where it was over no values
     */
    static Room shownOf(ForwardState of) {
        if (!of.hasStatistics) {
            throw new IllegalStateException("There are no saved statistics of a forward pass over no values");
        }
        return shown(of);
    }

    /** Whether the room does for another pass. The bounds of renormalization may differ; they need no room. */
    boolean fits(Normalization other, Shape shape, Layout layout) {
        boolean sameKind = normalization == other
                || normalization.grouping().equals(other.grouping())
                        && normalization.statistic() == other.statistic()
                        && normalization.perSample() == other.perSample()
                        && (normalization.renormalization() == null) == (other.renormalization() == null);
        return sameKind
                && (normalization.equals(Normalization.BATCH) || this.layout == layout && this.shape.equals(shape));
    }

    @Override
    public void close() {
        lease.close();
    }
}
