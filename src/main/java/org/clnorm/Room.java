package org.clnorm;

import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.SavedStatistics;

/**
 * Room for what a forward pass leaves to its backward pass.
 *
 * @param normalization of the pass; batch normalization's serves all shapes, the others one shape and layout
 * @param holder closes the memory of the two tensors; null where there are none
 * @param mean of each group, or null where a backend does not show it
 * @param invstd likewise
 */
record Room(
        Normalization normalization,
        Shape shape,
        Layout layout,
        SavedStatistics saved,
        Tensor holder,
        Tensor mean,
        Tensor invstd)
        implements AutoCloseable {

    static Room make(Device device, Normalization normalization, Shape shape, Layout layout) {
        SavedStatistics saved = normalization.equals(Normalization.BATCH)
                ? device.backend().newSavedStatistics(Math.toIntExact(shape.channels()))
                : device.backend().newSavedStatistics(normalization, shape, layout);
        if (!isShown(normalization.grouping())) {
            return new Room(normalization, shape, layout, saved, null, null, null);
        }
        try {
            Shape perGroup = Shape.of(normalization.grouping().groups(shape, layout));
            Tensor holder = Tensor.owning(device, perGroup, Layout.CHANNELS_FIRST, saved.mean());
            return new Room(
                    normalization,
                    shape,
                    layout,
                    saved,
                    holder,
                    Tensor.over(holder, saved.mean(), perGroup),
                    Tensor.over(holder, saved.inverseStandardDeviation(), perGroup));
        } catch (RuntimeException e) {
            saved.close();
            throw e;
        }
    }

    /** See {@link SavedStatistics#mean}. */
    private static boolean isShown(Grouping grouping) {
        return grouping instanceof Grouping.Rows || grouping instanceof Grouping.Batch batch && !batch.isVirtual();
    }

    /** Whether it does for another pass. The bounds of renormalization may differ; they need no room. */
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
        if (holder != null) {
            holder.close();
        }
        saved.close();
    }
}
