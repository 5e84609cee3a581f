package org.clnorm.io;

import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.clnorm.Shape;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One normalization to compute: an {@code .npz} of float32 inputs, of what is expected of it, and, in the uint8 array
 * {@code case}, of its options as JSON.
 *
 * <p>Inputs are {@code x}, {@code weight} (γ), {@code bias} (β), {@code running_mean}, {@code running_var}, {@code
 * residual} and {@code grad_y}; all but x may be absent. Expected arrays are those whose names start with {@code
 * expected_}. Arrays of x's shape are in the memory order of the layout.
 */
public final class CaseFile {
    /** What there are cases of. */
    public enum Op {
        /** Batch normalization. */
        BATCH_NORM("batch-norm");

        private final String label;

        Op(String label) {
            this.label = label;
        }

        /** The name used in files and on the command line: {@code batch-norm}. */
        @Override
        public String toString() {
            return label;
        }
    }

    private static final String OPTIONS = "case";
    private static final String EXPECTED = "expected_";
    private static final Set<String> PER_CHANNEL = Set.of("weight", "bias", "running_mean", "running_var");
    private static final Set<String> LIKE_X = Set.of("residual", "grad_y");

    private static final Logger log = LoggerFactory.getLogger(CaseFile.class);

    private final String name;
    private final Op op;
    private final CaseOptions options;
    private final Shape shape;
    private final Map<String, float[]> inputs = new HashMap<>();
    private final Map<String, NpyArray> expected = new LinkedHashMap<>();

    private CaseFile(String name, Op op, CaseOptions options, Map<String, NpyArray> arrays) {
        this.name = name;
        this.op = op;
        this.options = options;
        NpyArray x = arrays.get("x");
        if (x == null) {
            throw new IllegalArgumentException("there is no array x among its arrays " + arrays.keySet());
        }
        shape = shapeOf(x, options);
        arrays.forEach((array, values) -> take(array, values, x));
        checkRunningStatistics();
    }

    /**
     * Reads a case that says itself what it is a case of.
     *
     * @throws IOException when the file cannot be read or is not such a case; the message names the file and what is
     *     wrong with it
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
        Map<String, NpyArray> arrays = Npz.read(file);
        try {
            JsonObject json = optionsIn(arrays);
            CaseOptions.unknown(json)
                    .forEach(key ->
                            log.warn("{}: the option {} is not known and does nothing", file, new JsonPrimitive(key)));
            Op said = CaseOptions.choice(json, "op", op == null ? Op.values() : new Op[] {op}, op);
            if (said == null) {
                throw new IllegalArgumentException("it does not say what it is a case of, by a uint8 array " + OPTIONS
                        + " of JSON text with the option op, one of " + Arrays.toString(Op.values()));
            }
            return new CaseFile(file.toString(), said, override.apply(CaseOptions.of(json)), arrays);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    private static JsonObject optionsIn(Map<String, NpyArray> arrays) {
        NpyArray options = arrays.get(OPTIONS);
        return options == null
                ? new JsonObject()
                : CaseOptions.parse(new String(named(OPTIONS, options::toBytes), StandardCharsets.UTF_8));
    }

    private static Shape shapeOf(NpyArray x, CaseOptions options) {
        long[] dimensions = x.dimensions();
        if (dimensions.length < 2) {
            throw new IllegalArgumentException("the array x must have a batch and a channel dimension, but is " + x);
        }
        return named("x", () -> options.layout().fromMemoryOrder(dimensions));
    }

    private void take(String array, NpyArray values, NpyArray x) {
        if (array.startsWith(EXPECTED)) {
            expected.put(array.substring(EXPECTED.length()), values);
        } else if (PER_CHANNEL.contains(array)) {
            checkDimensions(array, values, "of the channels of x, " + shape + " " + options.layout(), shape.channels());
            inputs.put(array, named(array, values::toFloats));
        } else if (LIKE_X.contains(array) || array.equals("x")) {
            checkDimensions(array, values, "of x", x.dimensions());
            inputs.put(array, named(array, values::toFloats));
        } else if (!array.equals(OPTIONS)) {
            log.warn("{}: the array {} is not known and does nothing", name, array);
        }
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
        if (!mean && options.mode() == CaseOptions.Mode.EVAL) {
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

    /** The logical shape of x. */
    public Shape shape() {
        return shape;
    }

    /** The input x, in memory order. */
    public float[] x() {
        return inputs.get("x");
    }

    /** Another input, in memory order, if there is one of that name. */
    public Optional<float[]> input(String array) {
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
}
