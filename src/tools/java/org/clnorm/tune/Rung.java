package org.clnorm.tune;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.view.View;

/** One step of the ladder of shapes that are timed. */
public record Rung(Shape shape, Layout layout) {
    /**
     * Few and many channels, small and large planes, and matrices: what networks have, and what lies between; in the order
     * of worth, for those who have no time for all.
     */
    public static final List<Rung> LADDER = bothLayouts(
            Shape.of(32, 64, 56, 56),
            Shape.of(8, 64, 112, 112),
            Shape.of(16, 128, 28, 28),
            Shape.of(32, 256, 14, 14),
            Shape.of(64, 512, 7, 7),
            Shape.of(2, 2048, 7, 7),
            Shape.of(256, 16, 8, 8),
            Shape.of(4, 32, 32, 32),
            Shape.of(1, 3, 1024, 1024),
            Shape.of(16, 3, 224, 224),
            Shape.of(128, 128),
            Shape.of(32, 1024),
            Shape.of(4096, 64),
            Shape.of(4096, 1024));

    /** One of each pattern, none of them large. */
    public static final List<Rung> QUICK =
            bothLayouts(Shape.of(8, 64, 28, 28), Shape.of(16, 256, 7, 7), Shape.of(512, 256));

    /** The view that kernels get of it. */
    View view() {
        return View.batch(shape, layout);
    }

    /** A matrix is the same in both layouts. */
    private static List<Rung> bothLayouts(Shape... shapes) {
        List<Rung> rungs = new ArrayList<>();
        for (Shape shape : shapes) {
            rungs.add(new Rung(shape, Layout.CHANNELS_FIRST));
            if (shape.rank() > 2) {
                rungs.add(new Rung(shape, Layout.CHANNELS_LAST));
            }
        }
        return List.copyOf(rungs);
    }

    @Override
    public String toString() {
        return shape + " " + layout;
    }
}
