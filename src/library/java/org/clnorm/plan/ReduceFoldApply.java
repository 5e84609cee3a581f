package org.clnorm.plan;

import static org.clnorm.backend.Role.ADDEND;
import static org.clnorm.backend.Role.BETA;
import static org.clnorm.backend.Role.DBETA;
import static org.clnorm.backend.Role.DGAMMA;
import static org.clnorm.backend.Role.GAMMA;
import static org.clnorm.backend.Role.RESIDUAL;
import static org.clnorm.backend.Role.VALID;
import static org.clnorm.backend.Role.X;
import static org.clnorm.backend.Role.Y;
import static org.clnorm.plan.Argument.arguments;
import static org.clnorm.plan.Argument.named;
import static org.clnorm.plan.Place.COEFFICIENTS;
import static org.clnorm.plan.Place.PARTIALS;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;
import org.clnorm.view.View;

/**
 * The launches of a normalization's three steps: one, where a work-group has whole groups to itself, or three, which
 * meet in partials and coefficients. It knows views and strategies. What makes one normalization differ from another is
 * the view and the arguments of the fold step.
 *
 * @param affineByElement whether groups are rows, and γ and β go by their elements
 * @param operands which operands there are
 */
public record ReduceFoldApply(
        View view, Strategy strategy, int computeUnits, boolean affineByElement, OperandTypes operands) {
    private static final String MASKED = " -DMASKED=1";

    /** Of a program that knows all activations. */
    static final String ACTIVATED = " -DACTIVATION=1";

    /**
     * What a pass enqueues.
     *
     * @param partials floats that its launches leave to each other
     */
    public record Steps(List<Launch> launches, long partials) {
        Steps(Launch... launches) {
            this(List.of(launches), 0);
        }

        /** The same, by how the operands are stored. */
        Steps storing(OperandTypes types) {
            return new Steps(
                    launches.stream().map(launch -> launch.storing(types)).toList(), partials);
        }

        /** These and then those, which find the room for partials free again. */
        Steps and(Steps more) {
            List<Launch> all = new ArrayList<>(launches);
            all.addAll(more.launches);
            return new Steps(List.copyOf(all), Math.max(partials, more.partials));
        }
    }

    /**
     * Whether vectors lie as a strategy needs them: a single work-item's may lie anywhere, others' at multiples of their
     * width. Asked in each step; it allocates nothing.
     */
    public static boolean isAligned(View view, Strategy strategy, List<Role> tensors, Operands operands) {
        int width = strategy.vectorWidth();
        if (strategy.items() == 1 || width == 1) {
            return true;
        }
        boolean aligned = view.contiguous() % width == 0;
        for (int i = 0; aligned && i < tensors.size(); i++) {
            Operand operand = operands.get(tensors.get(i));
            aligned = operand == null || operand.offset() % width == 0;
        }
        return aligned;
    }

    /**
     * All three steps.
     *
     * @param reduce the arguments of the reduce step, if it is a launch of its own, besides what it goes over
     * @param fold the arguments of the fold step that say which normalization it is
     * @param pointwise the arguments of the apply step, and of all three in one, that say what happens to an element
     * @param macros of the steps that go over elements
     */
    Steps all(
            Direction direction, List<Argument> reduce, List<Argument> fold, List<Argument> pointwise, String macros) {
        if (strategy.fused()) {
            return new Steps(fused(direction, pointwise, arguments(fold, coefficients()), macros));
        }
        Geometry geometry = geometry();
        boolean joins = view.joined() != 1;
        return new Steps(
                List.of(
                        reduce(direction, geometry, reduce, macros),
                        new Launch(
                                direction.fold.replaceFirst("_", joins ? "_joined_" : "_"),
                                strategy.forFold(joins ? geometry.slices() * view.sharing() : geometry.slices()),
                                "",
                                joins
                                        ? view.allGroups() / view.sharing()
                                        : foldGroups(strategy.forFold(1).workX()) * blocks(),
                                arguments(
                                        PARTIALS,
                                        named("slices", geometry.slices()),
                                        named(
                                                "per_block",
                                                joins
                                                        ? Math.max(1, view.groups() / Math.max(1, view.joined()))
                                                        : (int) foldGroups(
                                                                strategy.forFold(1)
                                                                        .workX())),
                                        named("blocks", blocks()),
                                        groups(),
                                        fold,
                                        coefficients())),
                        apply(direction, pointwise, macros)),
                partials(direction, geometry));
    }

    /**
     * The reduce step, and what its slices come to in rows of the coefficients. Groups have statistics of their own, in
     * one block.
     *
     * @param reduce as of {@link #all}
     * @param macros as of {@link #all}
     */
    Steps reduced(Direction direction, List<Argument> reduce, String macros) {
        Geometry geometry = geometry();
        Strategy joining = strategy.forFold(geometry.slices());
        long workGroups = foldGroups(strategy.forFold(1).workX());
        return new Steps(
                List.of(
                        reduce(direction, geometry, reduce, macros),
                        new Launch(
                                direction.join,
                                joining,
                                "",
                                workGroups,
                                arguments(
                                        PARTIALS,
                                        named("slices", geometry.slices()),
                                        named("per_block", (int) workGroups),
                                        named("blocks", blocks()),
                                        groups(),
                                        coefficients()))),
                partials(direction, geometry));
    }

    private Launch reduce(Direction direction, Geometry geometry, List<Argument> reduce, String macros) {
        // Rows that take no part have numbers of their own, which nobody reads.
        boolean masked = isMasked() && !affineByElement;
        String kernel = direction.reduce + KernelCatalogue.patternOf(view);
        if (direction == Direction.FORWARD) { // the moments of x ask for no activation
            return launch(
                    kernel,
                    masked ? MASKED : "",
                    perBlock(geometry.workGroups()),
                    direction.reduced,
                    addition(view),
                    mask(masked, masked),
                    reduce,
                    slices(geometry),
                    PARTIALS,
                    named("pitch", pitch()));
        }
        return launch(
                kernel,
                general(macros),
                perBlock(geometry.workGroups()),
                direction.reduced,
                mask(isGeneral(macros), masked),
                reduce,
                rowAffine(view),
                slices(geometry),
                COEFFICIENTS,
                PARTIALS,
                named("pitch", pitch()));
    }

    private long partials(Direction direction, Geometry geometry) {
        return (long) direction.numbers * geometry.slices() * pitch();
    }

    /** The apply step, from coefficients that are there. */
    Launch apply(Direction direction, List<Argument> pointwise, String macros) {
        List<Argument> tensors = arguments(
                direction == Direction.FORWARD && operands.has(ADDEND)
                        ? List.of(X, named("residual", Place.NONE), Y)
                        : direction.tensors,
                pointwise);
        if (direction == Direction.FORWARD && strategy.appliesAlongPlanes(view) && !affineByElement && !isMasked()) {
            long elements = view.groups() * view.groupSize();
            long perSlice = Geometry.flatPerSlice(strategy, elements, (computeUnits + blocks() - 1) / blocks());
            return launch(
                    direction.apply + "_planes",
                    macros,
                    perBlock((elements + perSlice - 1) / perSlice),
                    tensors,
                    flat((elements + perSlice - 1) / perSlice, perSlice),
                    named("length", view.contiguous()),
                    coefficients());
        }
        Geometry geometry = geometry();
        boolean segmented = view instanceof View.Segmented;
        long elements = view.groups() * view.groupSize();
        // Where steps are rows of a matrix, a slice has whole ones.
        long perSlice = isMasked() && !segmented
                ? (geometry.flatPerSlice() + view.groups() - 1) / view.groups() * view.groups()
                : geometry.flatPerSlice();
        long flatSlices = segmented ? 0 : (elements + perSlice - 1) / perSlice;
        return launch(
                direction.apply + KernelCatalogue.patternOf(view),
                general(macros),
                perBlock(segmented ? geometry.workGroups() : flatSlices),
                tensors,
                mask(isGeneral(macros), isMasked()),
                rowAffine(view),
                segmented ? slices(geometry) : flat(flatSlices, perSlice),
                coefficients());
    }

    /**
     * The fold and the apply step, where statistics are given. On a CPU they are one launch, whose work-groups fold what
     * they apply; unless there would be too few of them, or groups would be folded too often.
     *
     * @param fold as of {@link #all}, and the statistics
     * @param pointwise as of {@link #all}
     */
    Steps given(List<Argument> fold, List<Argument> pointwise, String macros) {
        boolean asOneMatrix = view instanceof View.Columnar || strategy.appliesAlongPlanes(view);
        if (strategy.items() == 1 && asOneMatrix && blocks() == 1 && !isMasked()) {
            Inference cut = new Inference(view, computeUnits);
            if (cut.isWorthwhile) {
                long copied = (CoefficientRows.UNIT + 1L) * pitch();
                return new Steps(
                        List.of(launch(
                                "infer",
                                macros,
                                cut.stripes * cut.slices,
                                arguments(Direction.FORWARD.tensors, pointwise),
                                groups(),
                                named("own_groups", cut.ownGroups),
                                named("rows", view.blocks().runs()),
                                named("rows_per_slice", cut.rowsPerSlice),
                                named("length", Inference.length(view)),
                                fold,
                                COEFFICIENTS,
                                named("copies", PARTIALS),
                                named("pitch", pitch()))),
                        Math.max(1, (cut.slices - 1) * copied));
            }
        }
        return new Steps(foldEach("fold_given", fold), apply(Direction.FORWARD, pointwise, macros));
    }

    /** A fold step without partial results: a work-item for each vector of groups, of each block. */
    Launch foldEach(String kernel, List<Argument> fold) {
        Strategy folding = strategy.forFold(1);
        long perBlock = foldGroups(folding.items());
        return new Launch(
                kernel,
                folding,
                "",
                perBlock * blocks(),
                arguments(
                        named("per_block", (int) perBlock), named("blocks", blocks()), groups(), fold, coefficients()));
    }

    /**
     * A fold step that goes over blocks by itself: a work-item for each vector of a block's groups.
     *
     * @param blocks the first ones, 1 where all hold the same
     */
    Launch foldBlocks(String kernel, int blocks, List<Argument> fold) {
        Strategy folding = strategy.forFold(1);
        long perBlock = foldGroups(folding.items());
        return new Launch(
                kernel,
                folding,
                "",
                perBlock,
                arguments(named("per_block", (int) perBlock), named("blocks", blocks), groups(), fold, coefficients()));
    }

    /** The sum of the blocks' parts of dγ and dβ. */
    Launch sumParts(int accumulate) {
        return sumParts(
                COEFFICIENTS,
                (long) CoefficientRows.GRAD_GAMMA * pitch(),
                (long) CoefficientRows.GRAD_BETA * pitch(),
                blocks(),
                CoefficientRows.blockPitch(view.groups()),
                view.groups(),
                accumulate);
    }

    private Launch sumParts(Place from, long gamma, long beta, int parts, long step, int columns, int accumulate) {
        Strategy folding = strategy.forFold(1);
        long each = (long) folding.items() * folding.vectorWidth();
        return new Launch(
                "sum_parts",
                folding,
                "",
                (columns + each - 1) / each,
                arguments(
                        named("values", from),
                        named("gamma_at", gamma),
                        named("beta_at", beta),
                        named("parts", parts),
                        named("step", step),
                        named("count", columns),
                        DGAMMA,
                        DBETA,
                        named("accumulate", accumulate)));
    }

    /** dγ and dβ of rows, which are sums down the matrix of rows: its launches, before those that write dx. */
    Steps rowGradients(List<Argument> mask, String macros, int accumulate) {
        View.Segmented rows = (View.Segmented) view;
        View.Columnar matrix = new View.Columnar(rows.length(), rows.groups(), 1);
        Geometry geometry = Geometry.of(strategy, matrix, computeUnits);
        int pitch = CoefficientRows.pitch(matrix);
        return new Steps(
                List.of(
                        launch(
                                "affine_sums",
                                macros,
                                geometry.workGroups(),
                                Direction.BACKWARD.reduced,
                                named("valid", isMasked() ? VALID : Place.NONE),
                                mask,
                                rowAffine(rows),
                                named("rows", matrix.rows()),
                                named("columns", matrix.columns()),
                                named("rows_per_slice", geometry.rowsPerSlice()),
                                named("stripes", geometry.stripes()),
                                coefficients(),
                                PARTIALS,
                                named("parts_pitch", pitch)),
                        sumParts(PARTIALS, 0, pitch, geometry.slices(), 2L * pitch, matrix.columns(), accumulate)),
                2L * geometry.slices() * pitch);
    }

    /**
     * The same together with dx, in one launch and the sum of its parts.
     *
     * @param fold as of {@link #all}
     * @param pointwise as of {@link #all}
     */
    Steps rowGradients(List<Argument> fold, List<Argument> pointwise, String macros, int accumulate) {
        View.Segmented rows = (View.Segmented) view;
        int pitch = CoefficientRows.pitch(rows.length(), 1);
        int perSlice = Geometry.rowsPerSlice(strategy, rows, computeUnits);
        int slices = (rows.groups() + perSlice - 1) / perSlice;
        return new Steps(
                List.of(
                        launch(
                                "gradient_rows",
                                macros,
                                slices,
                                Direction.BACKWARD.tensors,
                                pointwise,
                                rowAffine(rows),
                                groups(),
                                named("columns", rows.length()),
                                named("rows_per_slice", perSlice),
                                fold,
                                coefficients(),
                                PARTIALS,
                                named("parts_pitch", pitch)),
                        sumParts(PARTIALS, 0, pitch, slices, 2L * pitch, rows.length(), accumulate)),
                2L * slices * pitch);
    }

    /** How many work-groups have a block's groups, so many items of each having a vector of groups. */
    private long foldGroups(int items) {
        long each = (long) items * strategy.forFold(1).vectorWidth();
        return (view.groups() + each - 1) / each;
    }

    /** All three steps in one launch, whose work-groups have whole groups. */
    private Launch fused(Direction direction, List<Argument> pointwise, List<Argument> fold, String macros) {
        View shaped = affineByElement ? view : strategy.reshape(view);
        String kernel = KernelCatalogue.fusedStep(direction.fused, strategy) + KernelCatalogue.patternOf(shaped);
        List<Argument> tensors = arguments(
                direction.tensors,
                pointwise,
                direction == Direction.FORWARD && shaped instanceof View.Segmented ? List.of(ADDEND) : List.of(),
                rowAffine(shaped));
        if (shaped instanceof View.Segmented segmented) {
            int groups = Geometry.fusedGroups(strategy, segmented, computeUnits);
            long perBlock = (view.groups() + groups - 1L) / groups;
            return launch(
                    kernel,
                    macros,
                    perBlock(perBlock),
                    tensors,
                    blockArguments(perBlock),
                    groups(),
                    named("own_groups", groups),
                    named("folded", Geometry.folded(strategy, segmented)),
                    runs(segmented),
                    fold);
        }
        View.Columnar columnar = (View.Columnar) shaped;
        int stripe = Geometry.fusedStripe(strategy, columnar, computeUnits);
        int stripes = Geometry.fusedStripes(strategy, columnar, stripe, computeUnits);
        long columns = (long) stripe * stripes;
        long perBlock = (columnar.columns() + columns - 1) / columns;
        return launch(
                kernel,
                macros,
                perBlock(perBlock),
                tensors,
                blockArguments(perBlock),
                groups(),
                named("width", columnar.width()),
                named("rows", columnar.blocks().runs()),
                named("stripe", stripe),
                named("stripes", stripes),
                fold);
    }

    /** A launch that goes over the tensors' elements. */
    Launch launch(String kernel, String macros, long workGroups, Object... arguments) {
        boolean rows = affineByElement
                && strategy.items() == 1
                && KernelCatalogue.entry(kernel).macros().contains("ROWS");
        String all = (rows ? " -DROWS=1" : "") + macros;
        return new Launch(kernel, strategy, all, workGroups, arguments(arguments));
    }

    private List<Argument> slices(Geometry geometry) {
        List<Argument> blocks = blockArguments(geometry.workGroups());
        return view instanceof View.Segmented segmented
                ? arguments(
                        blocks,
                        groups(),
                        named("own_groups", geometry.ownGroups()),
                        runs(segmented),
                        named("segments_per_slice", geometry.segmentsPerSlice()),
                        named("chunk", geometry.chunk()))
                : arguments(
                        blocks,
                        groups(),
                        named("rows", view.blocks().runs()),
                        named("rows_per_slice", geometry.rowsPerSlice()));
    }

    private List<Argument> flat(long perBlock, long perSlice) {
        return arguments(
                blockArguments(perBlock), groups(), named("rows", view.blocks().runs()), named("per_slice", perSlice));
    }

    private List<Argument> blockArguments(long perBlock) {
        View.Blocks blocks = view.blocks();
        return List.of(
                named("per_block", Math.toIntExact(perBlock)),
                named("blocks", blocks.count()),
                named("block_stride", blocks.stride()),
                named("last_runs", blocks.lastRuns()));
    }

    private static List<Argument> runs(View.Segmented view) {
        return List.of(
                named("segments", (int) view.blocks().runs()),
                named("length", view.length()),
                named("segment_stride", view.segmentStride()));
    }

    private Argument groups() {
        return named("groups", view.groups());
    }

    private List<Argument> coefficients() {
        return arguments(COEFFICIENTS, named("pitch", pitch()));
    }

    /** Whether some steps may take no part. */
    boolean isMasked() {
        return operands.has(VALID);
    }

    /**
     * Whether what some networks have is there: a mask, or another activation than ReLU. The steps have one program for both,
     * which asks its arguments.
     */
    private boolean isGeneral(String macros) {
        return isMasked() || macros.equals(ACTIVATED);
    }

    private String general(String macros) {
        return isGeneral(macros) ? MASKED + ACTIVATED : macros;
    }

    /**
     * Which steps take part.
     *
     * @param asked whether the program asks for it
     * @param masked whether some may take none
     */
    private List<Argument> mask(boolean asked, boolean masked) {
        return asked
                ? arguments(
                        named("valid", masked ? VALID : Place.NONE),
                        named("valid_stride", masked && blocks() > 1 ? view.groupSize() : 0L),
                        named("valid_along", affineByElement ? 0 : 1))
                : List.of();
    }

    /** What x is made of before its moments are taken: of kernels for runs, which may find none. */
    private static List<Role> addition(View view) {
        return view instanceof View.Segmented ? List.of(RESIDUAL, ADDEND) : List.of();
    }

    /** γ and β by the element: of kernels for runs, which on a GPU can always have them, and on a CPU if told so. */
    private List<Argument> rowAffine(View shaped) {
        return shaped instanceof View.Segmented && (affineByElement || strategy.items() > 1)
                ? List.of(
                        named("row_gamma", affineByElement ? GAMMA : Place.NONE),
                        named("row_beta", affineByElement ? BETA : Place.NONE))
                : List.of();
    }

    private Geometry geometry() {
        return Geometry.of(strategy, view, computeUnits);
    }

    private int blocks() {
        return view.blocks().count();
    }

    private long perBlock(long workGroups) {
        return workGroups * blocks();
    }

    private int pitch() {
        return CoefficientRows.pitch(view);
    }
}
