package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.clnorm.DeviceInfo;
import org.clnorm.view.View;

/**
 * How the kernels are compiled and launched. Choosing one is a pure function of the device's facts, the pass, the view and
 * a table of what was measured; the results are the same to within rounding under all of them, and each runs on every
 * device that {@link #all} lists it for.
 *
 * @param name how a person selects it
 * @param fused whether a pass is one launch, each work-group having whole groups to itself, or three (reduce, fold,
 *     apply) with the groups cut into slices
 * @param workX work-items of a work-group along contiguous elements
 * @param workY work-items across them, in columnar views; a segmented view has them all along the segments
 * @param vectorWidth lanes of a work-item's vector
 * @param tile vectors that a work-item holds in registers while it takes their moments
 * @param blocks vectors of a row that a work-item goes over in columnar views
 * @param stream whether outputs bypass the cache
 */
public record Strategy(
        String name, boolean fused, int workX, int workY, int vectorWidth, int tile, int blocks, boolean stream) {
    /** The name that leaves the choice to a {@link StrategyTable}. */
    public static final String AUTO = "auto";

    /** A CPU's second pass is from cache while a group takes no more than this: half of a common L2, in bytes. */
    static final long CACHED_GROUP_BYTES = 1 << 20;

    /** Elements of a plane up to which several channels are taken together. */
    static final int MOST_SMALL_PLANE = 256;

    /** Work-items in a work-group. */
    public int items() {
        return workX * workY;
    }

    /** Columns of one work-group in a columnar view. */
    int stripe() {
        return workX * blocks * vectorWidth;
    }

    /** The kernels' macros. */
    String macros() {
        return "-DVW=" + vectorWidth + " -DWX=" + workX + " -DWY=" + workY + " -DTILE=" + tile + " -DBLOCKS=" + blocks
                + " -DSTREAM=" + (stream ? 1 : 0);
    }

    /**
     * The strategies that a device can run, in both families:
     *
     * <ul>
     *   <li><b>cpu</b>: one work-item per work-group, the device's native vectors, no barriers. A core's vector unit and
     *       caches do what a GPU's neighbouring work-items do.
     *   <li><b>gpu</b>: neighbouring work-items on neighbouring 16-byte vectors, trees in local memory.
     * </ul>
     */
    public static List<Strategy> all(DeviceFacts facts) {
        int width = Math.max(1, Math.min(16, Integer.highestOneBit(Math.max(1, facts.floatVectorWidth()))));
        List<Strategy> all = new ArrayList<>();
        if (!isLlvmpipe(facts)) {
            all.add(new Strategy("cpu-fused", true, 1, 1, width, 8, 1024 / width, true));
            all.add(new Strategy("cpu-split", false, 1, 1, width, 8, 8, true));
        }
        int workY = facts.maxWorkGroup() >= 256 ? 32 : Integer.highestOneBit(Math.max(8, facts.maxWorkGroup()) / 8);
        if (facts.maxWorkGroup() >= 8) {
            all.add(new Strategy("gpu-fused", true, 8, workY, 4, 4, 1, false));
            all.add(new Strategy("gpu-split", false, 8, workY, 4, 4, 1, false));
        }
        return all;
    }

    /**
     * The strategy of that name.
     *
     * @throws IllegalArgumentException when there is none; the message lists those there are
     */
    public static Strategy named(String name, DeviceFacts facts) {
        List<Strategy> all = all(facts);
        return all.stream()
                .filter(strategy -> strategy.name.equalsIgnoreCase(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("No strategy is named '" + name + "'. There are: "
                        + AUTO + ", " + all.stream().map(Strategy::name).collect(Collectors.joining(", "))));
    }

    /**
     * Whether it is Mesa's llvmpipe, which calls itself a CPU. It ends a work-item's loops after 65,535 iterations in
     * all, without a word, so that the strategies of a CPU, with long loops, are not to be had.
     */
    private static boolean isLlvmpipe(DeviceFacts facts) {
        return facts.kind() == DeviceInfo.Kind.CPU && facts.platform().equalsIgnoreCase("rusticl");
    }

    /** What {@link #choose} may choose on a device, as the command {@code devices} shows it. */
    static String describeChoice(DeviceFacts facts, boolean tuned) {
        String family = forCopies(facts).name.replaceFirst("-.*", "");
        return AUTO + " (" + family + "-fused or -split by shape" + (tuned ? ", as tuned here)" : ")");
    }

    /** The strategy for a pass over a view, by the first row of a table that matches. */
    public static Strategy choose(DeviceFacts facts, Pass pass, View view, StrategyTable table) {
        return table.strategyFor(facts, pass, view);
    }

    /**
     * Whether fused gains by what it is for: a read of x is saved where what a work-group read is still in its cache when
     * it comes back, and that needs enough groups to occupy every compute unit. Always, if not fused.
     */
    boolean fits(DeviceFacts facts, View view) {
        if (!fused) {
            return true;
        }
        int occupying = facts.computeUnits() * (items() > 1 ? 2 : 1);
        if (view instanceof View.Columnar columnar) {
            int stripe = Geometry.fusedStripe(this, columnar, facts.computeUnits());
            long stripeBytes = columnar.rows() * stripe * Float.BYTES;
            return stripeBytes <= CACHED_GROUP_BYTES && columnar.columns() / stripe >= occupying;
        }
        boolean cached = items() > 1 || view.groupSize() * Float.BYTES <= CACHED_GROUP_BYTES;
        return view.groups() >= occupying && cached;
    }

    /**
     * The view as this strategy goes over it. A CPU's work-item that has whole groups takes several neighbouring channels
     * of small planes at a time: one plane of 7x7 is three vectors and a rest of one lane, at no line's beginning, but
     * sixteen of them are 49 whole lines.
     */
    View reshape(View view) {
        return fused && items() == 1
                ? smallPlanes(view)
                        .filter(planes -> planes.width() <= stripe())
                        .map(View.class::cast)
                        .orElse(view)
                : view;
    }

    /** A view of small planes, which lie side by side, as wide columns; empty for any other. */
    static Optional<View.Columnar> smallPlanes(View view) {
        return view instanceof View.Segmented segmented && segmented.length() <= MOST_SMALL_PLANE
                ? segmented.asColumns()
                : Optional.empty();
    }

    /** The strategy for work that has no groups. */
    static Strategy forCopies(DeviceFacts facts) {
        return choose(facts, Pass.INFERENCE, new View.Segmented(1, 1, 1 << 20, 1 << 20), StrategyTable.DEFAULTS);
    }

    /** The same with stores through the cache, or past it. */
    public Strategy withStream(boolean stream) {
        return new Strategy(name, fused, workX, workY, vectorWidth, tile, blocks, stream);
    }

    /** The same with so many vectors in registers. */
    public Strategy withTile(int tile) {
        return new Strategy(name, fused, workX, workY, vectorWidth, tile, blocks, stream);
    }

    /** The same with so many vectors of a row. */
    public Strategy withBlocks(int blocks) {
        return new Strategy(name, fused, workX, workY, vectorWidth, tile, blocks, stream);
    }
}
