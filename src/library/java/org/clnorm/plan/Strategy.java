package org.clnorm.plan;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.DeviceInfo;
import org.clnorm.view.View;

/**
 * How the kernels are compiled and launched. Choosing one is a pure function of the device's facts, the pass, the view and
 * a table of what was measured; the results are the same to within rounding under all of them, and each runs on every
 * device that {@link #all} lists it for.
 *
 * @param family what kind of device it is made for
 * @param form into which launches a pass is divided
 * @param workX work-items of a work-group along contiguous elements
 * @param workY work-items across them, in columnar views; a segmented view has them all along the segments
 * @param vectorWidth lanes of a work-item's vector
 * @param tile vectors that a work-item holds in registers while it takes their moments
 * @param vectors vectors of a row that a work-item goes over in columnar views
 * @param cached vectors that a work-item keeps in registers from the reduce step to the apply step, or 0: then x is read
 *     again
 * @param stream whether outputs bypass the cache
 * @param language the compiler's options for the version of OpenCL C, and what it has besides
 */
public record Strategy(
        Family family,
        Form form,
        int workX,
        int workY,
        int vectorWidth,
        int tile,
        int vectors,
        int cached,
        boolean stream,
        String language) {
    /** What kind of device a strategy is made for; either runs on the other kind. */
    public enum Family {
        /** One work-item to a work-group, the device's native vectors, no barriers. */
        CPU,
        /** Neighbouring work-items on neighbouring 16-byte vectors, trees in local memory or sub-groups. */
        GPU
    }

    /** Into which launches a pass is divided. */
    public enum Form {
        /** One launch: each work-group has whole groups to itself, and reads x again to apply. */
        FUSED,
        /** Three, reduce, fold and apply, with the groups cut into slices. */
        SPLIT,
        /** One launch, and what a work-group read stays in its registers. */
        CACHED
    }

    /** The name that leaves the choice to a {@link StrategyTable}. */
    public static final String AUTO = "auto";

    /** A CPU's second pass is from cache while a group takes no more than this: half of a common L2, in bytes. */
    static final long IN_CACHE_GROUP_BYTES = 1 << 20;

    /** Elements of a plane up to which several channels are taken together. */
    static final int MOST_SMALL_PLANE = 256;

    /**
     * Of a strategy that keeps groups in registers, how many times as many columns a work-group has where they are short, and
     * how many times as many items where groups are large: few sizes, since each is a binary of its own, and none so large
     * that a work-item is left with too few registers for x and dy.
     */
    private static final int SHORT_COLUMNS = 4;

    private static final int LARGE_GROUPS = 2;

    /** Work-items without which groups are not kept in registers. */
    private static final int LEAST_CACHED_ITEMS = 64;

    /** A GPU's work-group, where the device allows so many. */
    private static final int USUAL_ITEMS = 256;

    /** Slices that the smallest work-group of a fold step takes one by one. */
    private static final int FEW_SLICES = 64;

    /** Work-groups of 256 items that a compute unit should have, to wait for memory in one while others compute. */
    static final int GPU_GROUPS_PER_UNIT = 4;

    /** Of a GPU: neighbours of a row, and the elements of a 16-byte access. */
    private static final int GPU_WORK_X = 8;

    private static final int GPU_VECTOR = 4;

    private static final Pattern VERSION = Pattern.compile("^OpenCL (\\d+)\\.");

    /** OpenCL C 1.2, without sub-groups. */
    public static final String PLAIN_LANGUAGE = "-cl-std=CL1.2 -DSUBGROUPS=0";

    /** How a person selects it: its family and its form. */
    public String name() {
        return (family + "-" + form).toLowerCase(Locale.ROOT);
    }

    /** Whether a pass is one launch. */
    public boolean fused() {
        return form != Form.SPLIT;
    }

    /** Work-items in a work-group. */
    public int items() {
        return workX * workY;
    }

    /** Columns of one work-group in a columnar view. */
    int stripe() {
        return workX * vectors * vectorWidth;
    }

    /** The macros of kernels, with their values. */
    public Map<String, Integer> macros() {
        Map<String, Integer> macros = new LinkedHashMap<>();
        macros.put("VW", vectorWidth);
        macros.put("WX", workX);
        macros.put("WY", workY);
        macros.put("TILE", tile);
        macros.put("VECTORS", vectors);
        if (cached > 0) {
            macros.put("CACHED", cached);
        }
        macros.put("STREAM", stream ? 1 : 0);
        return macros;
    }

    /**
     * The same for a kernel that reads two tensors at a time, dy beside x: on a GPU half as many vectors of each, since a tile of
     * both would take so many registers that a unit has room for half as many work-items.
     */
    Strategy forPairs() {
        return items() == 1 ? this : withTile(Math.max(1, tile / 2));
    }

    /**
     * The options of the compiler, for a kernel that obeys some of the macros: without the others, strategies that differ in
     * those only share its binary.
     */
    String options(Set<String> obeyed) {
        return macros().entrySet().stream()
                .filter(macro -> obeyed.contains(macro.getKey()))
                .map(macro -> " -D" + macro.getKey() + "=" + macro.getValue())
                .collect(Collectors.joining("", language, ""));
    }

    /**
     * The language of GPU strategies on a device: with sub-groups where it has them and they can hand each other
     * registers, which takes OpenCL C 2.0.
     */
    static String languageOf(DeviceFacts facts) {
        Matcher version = VERSION.matcher(facts.version());
        int major = version.find() ? Integer.parseInt(version.group(1)) : 1;
        Set<String> extensions = Set.of(facts.extensions().strip().split("\\s+"));
        boolean exchange = extensions.contains("cl_khr_subgroup_shuffle_relative")
                || extensions.contains("cl_khr_subgroup_shuffle");
        return major >= 2 && extensions.contains("cl_khr_subgroups") && exchange
                ? "-cl-std=CL" + Math.min(major, 3) + ".0 -DSUBGROUPS=1"
                : PLAIN_LANGUAGE;
    }

    /**
     * The strategies that a device can run, in both families:
     *
     * <ul>
     *   <li><b>cpu</b>: one work-item per work-group, the device's native vectors, no barriers. A core's vector unit and
     *       caches do what a GPU's neighbouring work-items do.
     *   <li><b>gpu</b>: neighbouring work-items on neighbouring 16-byte vectors, trees in local memory or sub-groups.
     * </ul>
     *
     * <p>gpu-cached is for small groups; what it does not hold goes to gpu-fused or gpu-split ({@link #forView}).
     *
     * <p>A device that calls itself a GPU has the gpu family alone: a work-item of the other keeps so many vectors in
     * arrays that they do not fit its registers (82 KB of stack were counted), and to compile and try it there is time
     * lost. Only one whose work-groups are too small for the gpu family has the other.
     */
    public static List<Strategy> all(DeviceFacts facts) {
        // Oclgrind names no width of its own, and what it is to check is the code that devices run. Not of 16 lanes:
        // its check for memory that nobody wrote takes lane 11 of such a vector's halves for undefined.
        int lanes = facts.isOclgrind() ? 8 : facts.floatVectorWidth();
        int width = Math.max(1, Math.min(16, Integer.highestOneBit(Math.max(1, lanes))));
        List<Strategy> all = new ArrayList<>();
        boolean gpuFamily = facts.maxWorkGroup() >= 8;
        if (!gpuFamily || !isLlvmpipe(facts) && facts.kind() != DeviceInfo.Kind.GPU) {
            all.add(new Strategy(Family.CPU, Form.FUSED, 1, 1, width, 8, 1024 / width, 0, true, PLAIN_LANGUAGE));
            // Rows apart are lines apart in memory, so that a work-item goes over 1 KB of each (measured with
            // vectors of eight: 256 to 512 columns 4 to 14 % faster than by 256 bytes; with sixteen, by 512 bytes).
            int row = width < 16 ? 256 : 128;
            all.add(new Strategy(Family.CPU, Form.SPLIT, 1, 1, width, 8, row / width, 0, true, PLAIN_LANGUAGE));
        }
        int workY = facts.maxWorkGroup() >= USUAL_ITEMS
                ? USUAL_ITEMS / 8
                : Integer.highestOneBit(Math.max(8, facts.maxWorkGroup()) / 8);
        if (gpuFamily) {
            String language = languageOf(facts);
            if (facts.maxWorkGroup() >= LEAST_CACHED_ITEMS) {
                all.add(new Strategy(Family.GPU, Form.CACHED, GPU_WORK_X, workY, GPU_VECTOR, 4, 1, 8, false, language));
            }
            all.add(new Strategy(Family.GPU, Form.FUSED, GPU_WORK_X, workY, GPU_VECTOR, 4, 1, 0, false, language));
            all.add(new Strategy(Family.GPU, Form.SPLIT, GPU_WORK_X, workY, GPU_VECTOR, 4, 1, 0, false, language));
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
                .filter(strategy -> strategy.name().equalsIgnoreCase(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("No strategy is named '" + name + "'. There are: "
                        + AUTO + ", " + all.stream().map(Strategy::name).collect(Collectors.joining(", "))));
    }

    private static Strategy of(Family family, Form form, DeviceFacts facts) {
        return all(facts).stream()
                .filter(strategy -> strategy.family == family && strategy.form == form)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(facts.name() + " has no " + family + " " + form));
    }

    /**
     * Whether it is Mesa's llvmpipe, which calls itself a CPU. It ends a work-item's loops after 65,535 iterations in
     * all, without a word, so that the strategies of a CPU, with long loops, are not to be had.
     */
    private static boolean isLlvmpipe(DeviceFacts facts) {
        return facts.kind() == DeviceInfo.Kind.CPU && facts.platform().equalsIgnoreCase("rusticl");
    }

    /** What {@link #choose} may choose on a device, as the command {@code devices} shows it. */
    public static String describeChoice(DeviceFacts facts, boolean tuned) {
        String first = facts.kind() != DeviceInfo.Kind.CPU
                ? "gpu-cached, "
                : forCopies(facts).family.name().toLowerCase(Locale.ROOT);
        return AUTO + " (" + first + "-fused or -split by shape" + (tuned ? ", as tuned here)" : ")");
    }

    /** The strategy for a pass over a view, by the first row of a table that matches. */
    public static Strategy choose(DeviceFacts facts, Pass pass, View view, StrategyTable table) {
        return table.strategyFor(facts, pass, view);
    }

    /** Whether groups stay in registers. */
    public boolean isCached() {
        return cached > 0;
    }

    /**
     * This strategy as it goes over a view: one that keeps groups in registers with the smallest work-group that holds
     * them, or its family's others where none does.
     */
    public Strategy forView(DeviceFacts facts, View view) {
        if (!joins(view)) {
            return split(facts);
        }
        if (!isCached()) {
            return this;
        }
        Strategy fused = of(Family.GPU, Form.FUSED, facts);
        return holding(facts, view)
                .orElseGet(() -> fused.fits(facts, view) ? fused : of(Family.GPU, Form.SPLIT, facts));
    }

    /** The one of its family whose steps are launches of their own. */
    Strategy split(DeviceFacts facts) {
        return of(family, Form.SPLIT, facts).withStream(stream);
    }

    /**
     * Whether one launch can do for groups that share statistics: for neighbours, by a work-item that has room for the
     * numbers of all of them.
     */
    private boolean joins(View view) {
        boolean neighbours = items() == 1 && view.joined() != View.ACROSS_BLOCKS && view.joined() <= stripe();
        return !fused() || view.joined() == 1 || neighbours;
    }

    /**
     * The same with the first of its work-groups that holds the view's groups: of short columns as many at a time as leave
     * every compute unit a work-group, the usual one, a large one. Empty where none does.
     */
    private Optional<Strategy> holding(DeviceFacts facts, View view) {
        Strategy usual = (view.contiguous() % vectorWidth == 0 ? this : narrow()).usual();
        int fewRows = Math.max(1, usual.workY / SHORT_COLUMNS);
        Strategy across = usual.withWorkGroup(usual.items() / fewRows, fewRows);
        Strategy large = usual.withWorkGroup(usual.workX, LARGE_GROUPS * usual.workY);
        boolean manyShort = view instanceof View.Columnar columnar
                && columnar.columns() * (long) view.blocks().count() / across.stripe() >= facts.computeUnits();
        return Stream.of(manyShort ? across : usual, usual, large)
                .filter(sized -> sized.items() <= facts.maxWorkGroup() && sized.holds(view))
                .findFirst();
    }

    /**
     * The same for a view some of whose vectors do not start at a multiple of their width: neighbouring work-items take
     * neighbouring elements instead, so that every access stays one piece of memory.
     */
    public Strategy unaligned(DeviceFacts facts, View view) {
        if (!isCached()) {
            return narrow();
        }
        Strategy fused = of(Family.GPU, Form.FUSED, facts);
        return narrow().holding(facts, view)
                .orElseGet(() -> (fused.fits(facts, view) ? fused : of(Family.GPU, Form.SPLIT, facts)).narrow());
    }

    /** The same for a kernel whose tensors lie anywhere. */
    Strategy forSingles() {
        return usual().narrow();
    }

    /** The same by single elements, as many of them on their way; and, in registers, half of them in twice the places. */
    private Strategy narrow() {
        int x = Math.min(workX * vectorWidth, items());
        return new Strategy(family, form, x, items() / x, 1, tile * vectorWidth, vectors, 2 * cached, stream, language);
    }

    private boolean holds(View view) {
        long perItem = view instanceof View.Columnar columnar
                ? (columnar.rows() + workY - 1) / workY
                : (view.groupSize() / vectorWidth + items() - 1) / items();
        return perItem <= cached && view.elements() <= Integer.MAX_VALUE;
    }

    /** The same for a pass that only applies: no group is held then, and work-groups are those of other strategies. */
    Strategy forApply() {
        return isCached() ? usual() : this;
    }

    /** The same with the work-groups of the other strategies of a GPU. */
    private Strategy usual() {
        int items = Math.min(items(), USUAL_ITEMS), x = Math.min(GPU_WORK_X * GPU_VECTOR / vectorWidth, items);
        return withWorkGroup(x, items / x);
    }

    /**
     * The same for a fold step over so many slices: a work-group per group need not be much larger, since there may be
     * thousands of groups. Its shape is the same whatever that of the other steps, so that they share its binary.
     */
    public Strategy forFold(int slices) {
        if (items() == 1) {
            return this;
        }
        int most = slices <= FEW_SLICES ? FEW_SLICES : USUAL_ITEMS;
        return new Strategy(
                family,
                form,
                GPU_WORK_X,
                Math.max(1, Math.min(items(), most) / GPU_WORK_X),
                GPU_VECTOR,
                tile,
                vectors,
                0,
                stream,
                language);
    }

    private Strategy withWorkGroup(int x, int y) {
        return new Strategy(family, form, x, y, vectorWidth, tile, vectors, cached, stream, language);
    }

    /**
     * Whether fused gains by what it is for: a read of x is saved where what a work-group read is still in its cache when
     * it comes back, and that needs enough groups to occupy every compute unit. Always, if not fused.
     */
    boolean fits(DeviceFacts facts, View view) {
        if (!fused()) {
            return true;
        }
        if (!joins(view)) {
            return false;
        }
        if (isCached()) {
            return holding(facts, view).isPresent();
        }
        int occupying = facts.computeUnits() * (items() > 1 ? GPU_GROUPS_PER_UNIT : 1);
        if (view instanceof View.Columnar columnar) {
            int stripe = Geometry.fusedStripe(this, columnar, facts.computeUnits());
            long stripeBytes = columnar.rows() * stripe * Float.BYTES;
            long stripes = columnar.columns() / stripe * (long) view.blocks().count();
            return stripeBytes <= IN_CACHE_GROUP_BYTES && stripes >= occupying;
        }
        boolean inCache = items() > 1 || view.groupSize() * view.joined() * Float.BYTES <= IN_CACHE_GROUP_BYTES;
        return view.allGroups() / view.joined() >= occupying && inCache;
    }

    /**
     * The view as this strategy goes over it. A CPU's work-item that has whole groups takes several neighbouring channels
     * of small planes at a time: one plane of 7x7 is three vectors and a rest of one lane, at no line's beginning, but
     * sixteen of them are 49 whole lines.
     */
    View reshape(View view) {
        return fused() && items() == 1
                ? smallPlanes(view)
                        .filter(planes -> (long) planes.width() * planes.joined() <= Geometry.mostStripe(this, planes))
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

    /**
     * Whether the forward apply step walks through memory plane by plane, whatever the groups: a work-item of its own can,
     * where the groups' runs fill the memory.
     */
    boolean appliesAlongPlanes(View view) {
        return items() == 1 && view instanceof View.Segmented planes && planes.sideBySide();
    }

    /** The strategy for work that has no groups. */
    static Strategy forCopies(DeviceFacts facts) {
        return choose(facts, Pass.INFERENCE, new View.Segmented(1, 1, 1 << 20, 1 << 20), StrategyTable.DEFAULTS);
    }

    /** The same with stores through the cache, or past it. */
    public Strategy withStream(boolean stream) {
        return new Strategy(family, form, workX, workY, vectorWidth, tile, vectors, cached, stream, language);
    }

    /** The same in another version of OpenCL C. */
    public Strategy withLanguage(String language) {
        return new Strategy(family, form, workX, workY, vectorWidth, tile, vectors, cached, stream, language);
    }

    /** The same with so many vectors in registers. */
    public Strategy withTile(int tile) {
        return new Strategy(family, form, workX, workY, vectorWidth, tile, vectors, cached, stream, language);
    }

    /** The same with so many vectors of a row. */
    public Strategy withVectors(int vectors) {
        return new Strategy(family, form, workX, workY, vectorWidth, tile, vectors, cached, stream, language);
    }
}
