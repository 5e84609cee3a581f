package org.clnorm.cases;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.clnorm.LastVirtualBatch;
import org.clnorm.Shape;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One normalization to compute: an {@code .npz} of float32 inputs, of what is expected of it, and, in the uint8 array
 * {@code case}, of its options as JSON.
 *
 * <p>Inputs are {@code x}, {@code weight} (γ), {@code bias} (β), {@code running_mean}, {@code running_var}, {@code
 * residual}, {@code grad_y}, and {@code grad_sum} for what came past the normalization and is added to x's gradient; all
 * but x may be absent, and not every operation has all. Expected arrays are those whose names start with {@code
 * expected_}. Arrays of x's shape are in the memory order of the layout.
 */
public final class CaseFile {
    /** What there are cases of. */
    public enum Op {
        /** Batch normalization, with virtual batches too. */
        BATCH_NORM(
                "batch-norm",
                1e-5,
                "update_rate running_variance activation negative_slope mask outside virtual_batch last_virtual_batch in_place",
                "",
                CHANNELS),
        /** Layer normalization. */
        LAYER_NORM(
                "layer-norm",
                1e-5,
                "activation negative_slope add mask outside normalized_dims over_channels",
                "normalized_dims",
                "weight bias"),
        /** RMS normalization. */
        RMS_NORM(
                "rms-norm",
                1e-5,
                "activation negative_slope add mask outside normalized_dims",
                "normalized_dims",
                "weight"),
        /** Group normalization. */
        GROUP_NORM("group-norm", 1e-5, "activation negative_slope mask outside groups", "groups", "weight bias"),
        /** Instance normalization; its {@code groups}, if given, are the channels. */
        INSTANCE_NORM(
                "instance-norm",
                1e-5,
                "update_rate running_variance activation negative_slope mask outside groups",
                "",
                CHANNELS),
        /** Weight normalization: x is v, the weight g. */
        WEIGHT_NORM("weight-norm", 0, "", "", "weight"),
        /** Rows to length 1. */
        L2_NORM("l2-norm", 1e-12, "normalized_dims", "", ""),
        /** Batch renormalization. */
        BATCH_RENORM(
                "batch-renorm",
                1e-5,
                "update_rate running_variance activation negative_slope mask outside r_max d_max",
                "r_max d_max",
                CHANNELS);

        private final String label;
        private final double epsilon;
        private final Set<String> options;
        private final Set<String> needed;
        private final Set<String> inputs;

        Op(String label, double epsilon, String options, String needed, String inputs) {
            this.label = label;
            this.epsilon = epsilon;
            this.options = words("op mode eps layout " + options);
            this.needed = words(needed);
            this.inputs = words(inputs);
        }

        private static Set<String> words(String words) {
            return words.isEmpty() ? Set.of() : new TreeSet<>(Arrays.asList(words.split(" ")));
        }

        /** ε where a case says none. */
        double epsilon() {
            return epsilon;
        }

        /** Whether it obeys the option of that name. */
        public boolean has(String option) {
            Objects.requireNonNull(option, "option");
            return options.contains(option);
        }

        /** Whether its groups are rows, so that γ, if there is one, does not go by channel. */
        boolean isOfRows() {
            return this == LAYER_NORM || this == RMS_NORM || this == WEIGHT_NORM || this == L2_NORM;
        }

        /** The name used in files and on the command line: {@code batch-norm}. */
        @Override
        public String toString() {
            return label;
        }
    }

    /** Inputs of what may have running statistics. */
    private static final String CHANNELS = "weight bias running_mean running_var";

    private static final String OPTIONS = "case";
    private static final String EXPECTED = "expected_";
    private static final Set<String> RUNNING = Set.of("running_mean", "running_var");
    private static final Set<String> AFFINE = Set.of("weight", "bias");
    private static final Set<String> MASKS = Set.of("lengths", "mask");
    private static final Set<String> LIKE_X = Set.of("residual", "grad_y", "grad_sum");

    /** What a case can have, but for expected arrays. */
    private static final Set<String> ARRAYS = Set.of(
            "x",
            "weight",
            "bias",
            "running_mean",
            "running_var",
            "residual",
            "grad_y",
            "grad_sum",
            "lengths",
            "mask",
            OPTIONS);

    private static final Logger log = LoggerFactory.getLogger(CaseFile.class);

    /** An array without its elements. */
    private record Described(long[] dimensions, String words) {
        @Override
        public String toString() {
            return words;
        }
    }

    private final String name;
    private final Op op;
    private final CaseOptions options;
    private final Shape shape;
    private final long[] row;
    private final Map<String, float[]> inputs = new HashMap<>();
    private final Map<String, NpyArray> expected = new LinkedHashMap<>();

    /** @param arrays emptied on the way, so that no array is there in two forms for longer than it takes */
    private CaseFile(String name, Op op, CaseOptions options, Map<String, NpyArray> arrays) {
        this.name = name;
        this.op = op;
        this.options = options;
        if (!arrays.containsKey("x")) {
            throw new IllegalArgumentException("there is no array x among its arrays " + arrays.keySet());
        }
        Described x =
                new Described(arrays.get("x").dimensions(), arrays.get("x").toString());
        shape = shapeOf(x, options);
        row = rowOf(op, x, options);
        checkOptions();
        for (String array : List.copyOf(arrays.keySet())) {
            take(array, arrays.remove(array), x);
        }
        checkRunningStatistics();
        if (options.mask() != null && !inputs.containsKey(options.mask().toString())) {
            throw new IllegalArgumentException(
                    "the option mask is " + options.mask() + ", but there is no array of that name");
        }
        if (options.addition() == CaseOptions.Addition.BEFORE && !inputs.containsKey("residual")) {
            throw new IllegalArgumentException("the option add is before, but there is no residual to be added");
        }
        if (inputs.containsKey("grad_sum") && !inputs.containsKey("grad_y")) {
            throw new IllegalArgumentException("grad_sum goes with grad_y, but there is only the first");
        }
    }

    /**
     * Reads a case that says itself what it is a case of.
     *
     * @throws IOException when the file cannot be read or is not such a case, also when it has an option or an array that
     *     no case has; the message names the file and what is wrong with it
     * @throws IllegalStateException without Gson on the class path
     */
    public static CaseFile read(Path file) throws IOException {
        return read(file, null, UnaryOperator.identity());
    }

    /**
     * Reads a case of {@code op}, which the file may say or not.
     *
     * @param override makes of the file's options, or of the defaults where it has none, those that hold
     * @throws IOException as {@link #read(Path)}, and when the file says that it is a case of something else
     */
    public static CaseFile read(Path file, Op op, UnaryOperator<CaseOptions> override) throws IOException {
        Objects.requireNonNull(override, "override");
        Map<String, NpyArray> arrays = Npz.read(file);
        return read(file, arrays, op, override);
    }

    private static CaseFile read(Path file, Map<String, NpyArray> arrays, Op op, UnaryOperator<CaseOptions> override)
            throws IOException {
        try {
            JsonObject json = optionsIn(arrays);
            CaseOptions.checkKnown(json);
            Op said = CaseOptions.choice(json, "op", op == null ? Op.values() : new Op[] {op}, op);
            if (said == null) {
                throw new IllegalArgumentException("it does not say what it is a case of, by a uint8 array " + OPTIONS
                        + " of JSON text with the option op, one of " + Arrays.toString(Op.values()));
            }
            json.keySet().stream()
                    .filter(key -> !said.has(key))
                    .forEach(key -> log.warn("{}: the option {} does nothing for {}", file, key, said));
            return new CaseFile(file.toString(), said, override.apply(CaseOptions.of(json, said)), arrays);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    private static JsonObject optionsIn(Map<String, NpyArray> arrays) {
        NpyArray options = arrays.get(OPTIONS);
        return options == null ? new JsonObject() : CaseOptions.parse(named(OPTIONS, options::toBytes));
    }

    private static Shape shapeOf(Described x, CaseOptions options) {
        long[] dimensions = x.dimensions();
        if (dimensions.length < 2) {
            throw new IllegalArgumentException("the array x must have a batch and a channel dimension, but is " + x);
        }
        return named("x", () -> options.layout().fromMemoryOrder(dimensions));
    }

    /** Empty where groups are not rows. */
    private static long[] rowOf(Op op, Described x, CaseOptions options) {
        long[] dimensions = x.dimensions();
        if (op == Op.WEIGHT_NORM) {
            return Arrays.copyOfRange(dimensions, 1, dimensions.length);
        }
        if (!op.isOfRows() || op == Op.LAYER_NORM && options.overChannels()) {
            return new long[0];
        }
        int last = options.normalizedDims() == null ? 1 : options.normalizedDims();
        if (last > dimensions.length) {
            throw new IllegalArgumentException("the option normalized_dims must be at most " + dimensions.length
                    + " for x, " + x + ", but is " + last);
        }
        return Arrays.copyOfRange(dimensions, dimensions.length - last, dimensions.length);
    }

    private void checkOptions() {
        if (isOverChannels() && options.normalizedDims() != null) {
            throw new IllegalArgumentException(
                    "the option over_channels says what normalized_dims does, which is " + options.normalizedDims());
        }
        Set<String> missing = new TreeSet<>(isOverChannels() ? Set.of() : op.needed);
        missing.removeAll(options.ofSomeOperations());
        if (!missing.isEmpty()) {
            throw new IllegalArgumentException(
                    op + " needs the options " + op.needed + ", but not given were " + missing);
        }
        if (op == Op.INSTANCE_NORM && options.groups() != null && options.groups() != shape.channels()) {
            throw new IllegalArgumentException("the option groups of instance-norm must be the channels of x, "
                    + shape.channels() + ", or absent, but is " + options.groups());
        }
        if (op == Op.BATCH_NORM && options.lastVirtualBatch() != null && options.virtualBatch() == null) {
            throw new IllegalArgumentException(
                    "the option last_virtual_batch is of the option virtual_batch, which is not given");
        }
    }

    /** Whether its last virtual batch has a single value per channel, in training. */
    public boolean leavesOne() {
        Long samples = options.virtualBatch();
        return samples != null
                && samples > 1
                && options.mode() == CaseOptions.Mode.TRAIN
                && shape.spatial() == 1
                && shape.batch() % samples == 1;
    }

    private void take(String array, NpyArray values, Described x) {
        if (array.startsWith(EXPECTED)) {
            expected.put(array.substring(EXPECTED.length()), values);
        } else if (RUNNING.contains(array) && op.inputs.contains(array)) {
            checkPerChannel(array, values);
            inputs.put(array, named(array, values::toFloats));
        } else if (AFFINE.contains(array) && op.inputs.contains(array)) {
            checkAffine(array, values, x);
            inputs.put(array, named(array, values::toFloats));
        } else if (RUNNING.contains(array) || AFFINE.contains(array)) {
            log.warn("{}: the array {} does nothing for {}", name, array, op);
        } else if (MASKS.contains(array)) {
            checkMask(array, values, x);
            inputs.put(array, named(array, values::toFloats));
        } else if (LIKE_X.contains(array) || array.equals("x")) {
            checkDimensions(array, values, "of x", x.dimensions());
            inputs.put(array, named(array, values::toFloats));
        } else if (!array.equals(OPTIONS)) {
            throw new IllegalArgumentException("the array " + array + " is not known" + Nearest.question(array, ARRAYS)
                    + " Known are " + new TreeSet<>(ARRAYS) + " and what starts with " + EXPECTED);
        }
    }

    /** A mask has x's steps: its samples and what comes after them, without the channels or the elements of a row. */
    private void checkMask(String array, NpyArray values, Described x) {
        if (array.equals("lengths")) {
            checkDimensions(array, values, "of the samples of x, " + x, shape.batch());
        } else if (isOfRows()) {
            long[] steps = Arrays.copyOf(x.dimensions(), x.dimensions().length - row.length);
            checkDimensions(array, values, "of the rows of x, " + x, steps);
        } else {
            long[] logical = shape.toArray();
            long[] steps = new long[logical.length - 1];
            steps[0] = logical[0];
            System.arraycopy(logical, 2, steps, 1, logical.length - 2);
            checkDimensions(array, values, "of the samples and the spatial dimensions of x, " + x, steps);
        }
    }

    private void checkAffine(String array, NpyArray values, Described x) {
        if (op == Op.WEIGHT_NORM) {
            checkDimensions(array, values, "of the first dimension of x, " + x, x.dimensions()[0]);
        } else if (isOfRows()) {
            checkDimensions(array, values, "of a row, the last " + row.length + " of x, " + x, row);
        } else {
            checkPerChannel(array, values);
        }
    }

    private void checkPerChannel(String array, NpyArray values) {
        checkDimensions(array, values, "of the channels of x, " + shape + " " + options.layout(), shape.channels());
    }

    private static void checkDimensions(String array, NpyArray values, String why, long... dimensions) {
        if (!Arrays.equals(values.dimensions(), dimensions)) {
            throw new IllegalArgumentException("the array " + array + " must have the dimensions "
                    + NpyArray.tuple(dimensions) + " " + why + ", but is " + values);
        }
    }

    private void checkRunningStatistics() {
        boolean mean = inputs.containsKey("running_mean");
        boolean variance = inputs.containsKey("running_var");
        if (mean != variance) {
            throw new IllegalArgumentException("running_mean and running_var go together, but there is only "
                    + (mean ? "the first" : "the second"));
        }
        if (!mean && op == Op.BATCH_RENORM) {
            throw new IllegalArgumentException(
                    "batch-renorm normalizes with running_mean and running_var too, but there are none");
        }
        if (!mean && op == Op.BATCH_NORM && options.lastVirtualBatch() == LastVirtualBatch.RUNNING) {
            throw new IllegalArgumentException(
                    "the last_virtual_batch running normalizes with running_mean and running_var, but there are none");
        }
        if (!mean && op == Op.BATCH_NORM && options.mode() == CaseOptions.Mode.EVAL) {
            throw new IllegalArgumentException(
                    "the mode eval normalizes with running_mean and running_var, but there are none");
        }
    }

    private static <T> T named(String array, Supplier<T> values) {
        try {
            return values.get();
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("the array " + array + ": " + e.getMessage(), e);
        }
    }

    /** The file it was read from. */
    public String name() {
        return name;
    }

    /** What it is a case of. */
    public Op op() {
        return op;
    }

    /** How it is to be computed. */
    public CaseOptions options() {
        return options;
    }

    private boolean isOfRows() {
        return op.isOfRows() && !isOverChannels();
    }

    /** Whether it is layer normalization of the channels of each position, in either layout. */
    public boolean isOverChannels() {
        return op == Op.LAYER_NORM && options.overChannels();
    }

    /** How many steps a sample has, where a mask is of steps; of rows, how many rows. */
    public long steps() {
        long rows = Math.max(1, Arrays.stream(row).reduce(1, (a, b) -> a * b));
        return isOfRows() ? shape.elements() / rows / shape.batch() : shape.spatial();
    }

    /** The logical shape of x. */
    public Shape shape() {
        return shape;
    }

    /** The dimensions of a row in memory order; none where groups are not rows. */
    public long[] row() {
        return row.clone();
    }

    /** Whether running statistics normalize, and not those of x. */
    public boolean isFrozen() {
        return options.mode() == CaseOptions.Mode.EVAL && inputs.containsKey("running_mean");
    }

    /** The input x, in memory order. */
    public float[] x() {
        return inputs.get("x");
    }

    /** Another input, in memory order, if there is one of that name. */
    public Optional<float[]> input(String array) {
        Objects.requireNonNull(array, "array");
        return Optional.ofNullable(inputs.get(array));
    }

    /** What is expected, by name without {@code expected_}, in the file's order. */
    public Map<String, NpyArray> expected() {
        return Collections.unmodifiableMap(expected);
    }

    /** What it is a case of, in a few words. */
    public String describe() {
        return op + " " + options.mode() + " " + shape + " " + options.layout();
    }

    /** The file, and what it is a case of. */
    @Override
    public String toString() {
        return name + ": " + describe();
    }
}
