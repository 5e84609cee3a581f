package org.clnorm.opencl;

import static org.clnorm.opencl.Launch.arguments;
import static org.clnorm.opencl.Place.COEFFICIENTS;
import static org.clnorm.opencl.Place.DRESIDUAL;
import static org.clnorm.opencl.Place.DX;
import static org.clnorm.opencl.Place.DY;
import static org.clnorm.opencl.Place.PARTIALS;
import static org.clnorm.opencl.Place.RESIDUAL;
import static org.clnorm.opencl.Place.X;
import static org.clnorm.opencl.Place.Y;

import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.view.View;

/**
 * The launches of a normalization's three steps: one, where a work-group has whole groups to itself, or three, which
 * meet in partials and coefficients. It knows views and strategies. What makes one normalization differ from another is
 * the view and the arguments of the fold step.
 *
 * @param aligned whether neighbouring work-items' vectors are whole 16-byte pieces; see {@link #isAligned}
 */
record ReduceFoldApply(View view, Strategy strategy, int computeUnits, boolean aligned) {
    /** The kernels of a direction, and what they go over. */
    enum Direction {
        FORWARD("normalize", "moments", "fold_moments", "apply", 4, List.of(X), List.of(X, RESIDUAL, Y)),
        BACKWARD(
                "gradient",
                "gradient_sums",
                "fold_gradients",
                "gradient_apply",
                2,
                List.of(DY, X, Y),
                List.of(DY, X, Y, DX, DRESIDUAL));

        private final String fused;
        private final String reduce;
        private final String fold;
        private final String apply;
        /** Floats of a partial result. */
        private final int numbers;
        /** What the reduce step reads. */
        private final List<Place> reduced;
        /** What the apply step, and all three in one, read and write. */
        private final List<Place> tensors;

        Direction(
                String fused,
                String reduce,
                String fold,
                String apply,
                int numbers,
                List<Place> reduced,
                List<Place> tensors) {
            this.fused = fused;
            this.reduce = reduce;
            this.fold = fold;
            this.apply = apply;
            this.numbers = numbers;
            this.reduced = reduced;
            this.tensors = tensors;
        }

        /** All tensors that a pass reads and writes. */
        List<Place> tensors() {
            return tensors;
        }
    }

    /**
     * What a pass enqueues.
     *
     * @param partials floats that its launches leave to each other
     */
    record Steps(List<Launch> launches, long partials) {
        Steps(Launch... launches) {
            this(List.of(launches), 0);
        }
    }

    /** Whether vectors start at 16-byte lines wherever a run of contiguous elements does; one work-item gains nothing. */
    static boolean isAligned(View view, Strategy strategy, List<Place> tensors, Operand[] places) {
        int width = strategy.vectorWidth();
        boolean aligned = strategy.items() > 1 && view.contiguous() % width == 0;
        for (int i = 0; aligned && i < tensors.size(); i++) {
            Operand operand = tensors.get(i).of(places);
            aligned = operand == null || operand.offset() % width == 0;
        }
        return aligned;
    }

    /**
     * All three steps.
     *
     * @param fold the arguments of the fold step that say which normalization it is
     * @param reduceMacros of the reduce step
     * @param macros of the apply step, and of all three in one
     */
    Steps all(Direction direction, List<Object> fold, String reduceMacros, String macros) {
        if (strategy.fused()) {
            return new Steps(fused(direction, arguments(fold, COEFFICIENTS, pitch()), macros));
        }
        Geometry geometry = geometry();
        return new Steps(
                List.of(
                        launch(
                                direction.reduce + KernelCatalogue.patternOf(view),
                                reduceMacros,
                                geometry.workGroups(),
                                direction.reduced,
                                view.elements(),
                                slices(geometry),
                                direction == Direction.BACKWARD ? List.of(COEFFICIENTS) : List.of(),
                                PARTIALS,
                                pitch()),
                        new Launch(
                                direction.fold,
                                strategy.forSlices(geometry.slices()),
                                "",
                                vectorsOfGroups(strategy.workX()),
                                arguments(PARTIALS, geometry.slices(), view.groups(), fold, COEFFICIENTS, pitch())),
                        apply(direction, macros)),
                (long) direction.numbers * geometry.slices() * pitch());
    }

    /** The apply step, from coefficients that are there. */
    Launch apply(Direction direction, String macros) {
        List<Object> coefficients = List.of(COEFFICIENTS, pitch());
        if (direction == Direction.FORWARD && strategy.appliesAlongPlanes(view)) {
            long perSlice = Geometry.flatPerSlice(strategy, view.elements(), computeUnits);
            return launch(
                    direction.apply + "_planes",
                    macros,
                    (view.elements() + perSlice - 1) / perSlice,
                    direction.tensors,
                    view.elements(),
                    perSlice,
                    view.groups(),
                    view.contiguous(),
                    coefficients);
        }
        Geometry geometry = geometry();
        boolean segmented = view instanceof View.Segmented;
        return launch(
                direction.apply + KernelCatalogue.patternOf(view),
                macros,
                segmented ? geometry.workGroups() : geometry.flatSlices(),
                direction.tensors,
                segmented ? slices(geometry) : List.of(view.elements(), geometry.flatPerSlice(), view.groups()),
                coefficients);
    }

    /** A fold step without partial results: a work-item for each vector of groups. */
    Launch foldEach(String kernel, List<Object> fold) {
        return new Launch(
                kernel,
                strategy,
                "",
                vectorsOfGroups(strategy.items()),
                arguments(view.groups(), fold, COEFFICIENTS, pitch()));
    }

    /** How many work-groups have the groups, so many items of each having a vector of groups. */
    private long vectorsOfGroups(int items) {
        long each = (long) items * strategy.vectorWidth();
        return (view.groups() + each - 1) / each;
    }

    /** All three steps in one launch, whose work-groups have whole groups. */
    private Launch fused(Direction direction, List<Object> fold, String macros) {
        View shaped = strategy.reshape(view);
        String kernel = KernelCatalogue.fusedStep(direction.fused, strategy) + KernelCatalogue.patternOf(shaped);
        if (shaped instanceof View.Segmented segmented) {
            int groups = Geometry.fusedGroups(strategy, segmented, computeUnits);
            return launch(
                    kernel,
                    macros,
                    (view.groups() + groups - 1) / groups,
                    direction.tensors,
                    view.elements(),
                    view.groups(),
                    groups,
                    runs(segmented),
                    fold);
        }
        View.Columnar columnar = (View.Columnar) shaped;
        int stripe = Geometry.fusedStripe(strategy, columnar, computeUnits);
        int stripes = Geometry.fusedStripes(strategy, columnar, stripe, computeUnits);
        long columns = (long) stripe * stripes;
        return launch(
                kernel,
                macros,
                (columnar.columns() + columns - 1) / columns,
                direction.tensors,
                view.elements(),
                view.groups(),
                columnar.width(),
                columnar.rows(),
                stripe,
                stripes,
                fold);
    }

    /** A launch that goes over the tensors' elements. */
    Launch launch(String kernel, String macros, long workGroups, Object... arguments) {
        return new Launch(kernel, strategy, (aligned ? " -DALIGNED=1" : "") + macros, workGroups, arguments(arguments));
    }

    private List<Object> slices(Geometry geometry) {
        return view instanceof View.Segmented segmented
                ? arguments(view.groups(), runs(segmented), geometry.segmentsPerSlice(), geometry.chunk())
                : List.of(view.groups(), view.groupSize(), geometry.rowsPerSlice());
    }

    private static List<Object> runs(View.Segmented view) {
        return List.of(view.segments(), view.length(), view.segmentStride());
    }

    private Geometry geometry() {
        return Geometry.of(strategy, view, computeUnits);
    }

    private int pitch() {
        return OpenClSavedStatistics.pitch(view.groups());
    }
}
