package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.clnorm.DeviceInfo;
import org.clnorm.view.View;

/**
 * How the kernels are compiled and launched. Choosing one is a pure function of the device's facts and the view; the
 * results are the same to within rounding under all of them, and each runs on every device.
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
    /** The name that leaves the choice to {@link #choose}. */
    public static final String AUTO = "auto";

    /** A CPU's second pass is from cache while a group takes no more than this: half of a common L2, in bytes. */
    static final long CACHED_GROUP_BYTES = 1 << 20;

    /** Elements of a plane up to which several channels are taken together. */
    static final int MOST_SMALL_PLANE = 256;

    /** Smaller outputs are still in the cache when somebody reads them, and stay there: stores past it would lose. */
    static final long LEAST_STREAMED_BYTES = 1 << 20;

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

    /** Whether the GPU's strategies are the faster ones. */
    static boolean prefersGpuForm(DeviceFacts facts) {
        return facts.kind() != DeviceInfo.Kind.CPU || isLlvmpipe(facts);
    }

    /**
     * Whether it is Mesa's llvmpipe, which calls itself a CPU. It compiles work-items to vector lanes, as GPUs do, so
     * their strategies are five times as fast there; and it ends a work-item's loops after 65,535 iterations in all,
     * without a word, so that those of a CPU, with long loops, are not to be had.
     */
    private static boolean isLlvmpipe(DeviceFacts facts) {
        return facts.kind() == DeviceInfo.Kind.CPU && facts.platform().equalsIgnoreCase("rusticl");
    }

    /** What {@link #choose} may choose on a device, as the command {@code devices} shows it. */
    static String describeChoice(DeviceFacts facts) {
        return AUTO + " (" + (prefersGpuForm(facts) ? "gpu" : "cpu") + "-fused or -split by shape)";
    }

    /**
     * The strategy for a view.
     *
     * <p>Fused saves a read of x where what a work-group read is still in its cache when it comes back, and it needs
     * enough groups to occupy every compute unit.
     */
    public static Strategy choose(DeviceFacts facts, View view) {
        boolean gpu = prefersGpuForm(facts);
        Strategy fused = named(gpu ? "gpu-fused" : "cpu-fused", facts);
        Strategy chosen =
                fused.fits(facts, fused.reshape(view)) ? fused : named(gpu ? "gpu-split" : "cpu-split", facts);
        return chosen.withStream(chosen.stream && view.elements() * Float.BYTES >= LEAST_STREAMED_BYTES);
    }

    private boolean fits(DeviceFacts facts, View view) {
        int occupying = facts.computeUnits() * (items() > 1 ? 2 : 1);
        if (view instanceof View.Columnar columnar) {
            if (columnar.width() == 1) {
                // Narrow stripes of long columns share pages and lines with their neighbours: only for few bytes in
                // all.
                return view.elements() * Float.BYTES <= LEAST_STREAMED_BYTES / 2;
            }
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
        if (fused
                && items() == 1
                && view instanceof View.Segmented segmented
                && segmented.length() <= MOST_SMALL_PLANE) {
            return segmented.asColumns().map(View.class::cast).orElse(view);
        }
        return view;
    }

    /** The strategy for work that has no groups. */
    static Strategy forCopies(DeviceFacts facts) {
        return named(prefersGpuForm(facts) ? "gpu-split" : "cpu-split", facts);
    }

    /** The same with stores through the cache, or past it. */
    public Strategy withStream(boolean stream) {
        return new Strategy(name, fused, workX, workY, vectorWidth, tile, blocks, stream);
    }
}
