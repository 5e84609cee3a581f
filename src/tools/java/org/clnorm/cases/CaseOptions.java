package org.clnorm.cases;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.TypeAdapter;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.clnorm.Activation;
import org.clnorm.LastVirtualBatch;
import org.clnorm.Layout;
import org.clnorm.Mask;
import org.clnorm.RunningVariance;

/**
 * How a case is to be computed. Null is what was not said of an option that only some operations have.
 *
 * @param mode whose statistics normalize, where there are running ones
 * @param epsilon added to the variance inside the square root; of lengths, the least that is divided by
 * @param updateRate the weight of the new batch in the running statistics, from 0 to 1: PyTorch's momentum, one minus
 *     Keras's
 * @param runningVariance which variance enters the running variance
 * @param layout how the arrays of x's shape lie in the file
 * @param activation applied after the residual is added
 * @param addition when the residual is added
 * @param mask by which array it is said which steps take part; null for all
 * @param outside what y and the gradients have at the others
 * @param normalizedDims how many dimensions a row has, the last ones in memory order
 * @param overChannels whether the channels of a position are normalized, which lie together in channels-last memory alone
 * @param groups of the channels of a sample
 * @param virtualBatch how many samples have statistics of their own
 * @param lastVirtualBatch what becomes of a last virtual batch with one value per channel
 * @param rMax the upper bound of batch renormalization's factor
 * @param dMax the upper bound of its offset
 * @param inPlace whether y takes x's place, from which the backward pass has x again
 */
public record CaseOptions(
        Mode mode,
        double epsilon,
        double updateRate,
        RunningVariance runningVariance,
        Layout layout,
        Activation activation,
        Addition addition,
        MaskArray mask,
        Mask.Outside outside,
        Integer normalizedDims,
        boolean overChannels,
        Integer groups,
        Long virtualBatch,
        LastVirtualBatch lastVirtualBatch,
        Double rMax,
        Double dMax,
        boolean inPlace) {

    /** Whose statistics normalize. */
    public enum Mode {
        /** The batch's own. */
        TRAIN,
        /** The running ones. */
        EVAL;

        /** The name used in files and on the command line: {@code train} or {@code eval}. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** When the residual is added. */
    public enum Addition {
        /** To x, and the sum is normalized. */
        BEFORE,
        /** To what x was normalized to, before the activation. */
        AFTER;

        /** The name used in files: {@code before} or {@code after}. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** How it is said which steps take part. */
    public enum MaskArray {
        /** By how many of each sample do. */
        LENGTHS,
        /** By a byte for each step. */
        MASK;

        /** The name used in files, of the option and of the array. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Those that there are. */
    private static final Set<String> KNOWN = Set.of(
            "op",
            "mode",
            "negative_slope",
            "eps",
            "update_rate",
            "running_variance",
            "layout",
            "activation",
            "add",
            "mask",
            "outside",
            "normalized_dims",
            "over_channels",
            "groups",
            "virtual_batch",
            "last_virtual_batch",
            "r_max",
            "d_max",
            "in_place");

    private static final String[] OUTSIDE = {"zero", "untouched"};

    private static final byte[] BYTE_ORDER_MARK = {(byte) 0xef, (byte) 0xbb, (byte) 0xbf};
    /** The longest value that is shown whole. */
    private static final int SHOWN = 80;

    /** Checks the numbers. */
    public CaseOptions {
        Objects.requireNonNull(mode, "mode");
        Objects.requireNonNull(runningVariance, "runningVariance");
        Objects.requireNonNull(layout, "layout");
        Objects.requireNonNull(activation, "activation");
        Objects.requireNonNull(addition, "addition");
        Objects.requireNonNull(outside, "outside");
        if (!(epsilon >= 0 && epsilon < Float.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("the option eps must be finite and at least 0, but is " + epsilon);
        }
        if (!(updateRate >= 0 && updateRate <= 1)) {
            throw new IllegalArgumentException("the option update_rate must be from 0 to 1, but is " + updateRate);
        }
        checkCount("normalized_dims", normalizedDims);
        checkCount("groups", groups);
        checkCount("virtual_batch", virtualBatch);
        checkBound("r_max", rMax, 1);
        checkBound("d_max", dMax, 0);
    }

    private static void checkCount(String option, Number count) {
        if (count != null && count.longValue() < 1) {
            throw new IllegalArgumentException("the option " + option + " must be at least 1, but is " + count);
        }
    }

    private static void checkBound(String option, Double bound, int least) {
        if (bound != null && !(bound >= least && bound <= Float.MAX_VALUE)) {
            throw new IllegalArgumentException(
                    "the option " + option + " must be finite and at least " + least + ", but is " + bound);
        }
    }

    /** The object that a text in JSON is: one, in UTF-8, each name in it once. */
    static JsonObject parse(byte[] text) {
        if (text.length >= 3 && Arrays.equals(text, 0, 3, BYTE_ORDER_MARK, 0, 3)) {
            throw new IllegalArgumentException(
                    "the array case must be a JSON object, but begins with a byte order mark, which JSON is without");
        }
        // A decoder of its own: it refuses what is not UTF-8.
        Reader characters = new InputStreamReader(new ByteArrayInputStream(text), StandardCharsets.UTF_8.newDecoder());
        TypeAdapter<JsonElement> values =
                new GsonBuilder().setStrictness(Strictness.STRICT).create().getAdapter(JsonElement.class);
        JsonObject object = new JsonObject();
        boolean ended = false;
        try (JsonReader json = new JsonReader(characters)) {
            json.setStrictness(Strictness.STRICT);
            if (json.peek() != JsonToken.BEGIN_OBJECT) {
                throw new IllegalArgumentException(
                        "the array case must be a JSON object, but is " + shown(values.read(json)));
            }
            json.beginObject();
            while (json.hasNext()) {
                String name = json.nextName();
                if (object.has(name)) {
                    throw new IllegalArgumentException("the array case has the option " + shown(name) + " twice");
                }
                object.add(name, values.read(json));
            }
            json.endObject();
            ended = true;
            if (json.peek() != JsonToken.END_DOCUMENT) {
                throw new IOException("more");
            }
            return object;
        } catch (IOException | JsonParseException e) {
            throw new IllegalArgumentException(
                    "the array case must be a JSON object, but "
                            + (ended ? "something comes after it" : "it is not JSON"),
                    e);
        }
    }

    /** @throws IllegalArgumentException for an option that no operation has */
    static void checkKnown(JsonObject json) {
        for (String option : json.keySet()) {
            if (!isKnown(option)) {
                throw new IllegalArgumentException("the option " + shown(option) + " is not known"
                        + Nearest.question(option, KNOWN) + " Known are " + new TreeSet<>(KNOWN));
            }
        }
    }

    /** A text as JSON has it: in quotes, without characters that a terminal obeys. */
    private static String shown(String text) {
        return shown(new JsonPrimitive(text));
    }

    private static String shown(JsonElement element) {
        String text = element.toString();
        return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "...";
    }

    /**
     * The options of a case. Where it says nothing: training, the operation's ε, update rate 0.1, unbiased,
     * channels-first, no activation.
     */
    static CaseOptions of(JsonObject json, CaseFile.Op op) {
        Long dimensions = count(json, "normalized_dims");
        Long groups = count(json, "groups");
        return new CaseOptions(
                choice(json, "mode", Mode.values(), Mode.TRAIN),
                number(json, "eps", op.epsilon()),
                number(json, "update_rate", 0.1),
                choice(json, "running_variance", RunningVariance.values(), RunningVariance.UNBIASED),
                choice(json, "layout", Layout.values(), Layout.CHANNELS_FIRST),
                activation(json),
                choice(json, "add", Addition.values(), Addition.AFTER),
                choice(json, "mask", MaskArray.values(), null),
                Mask.Outside.valueOf(
                        choice(json, "outside", OUTSIDE, OUTSIDE[0]).toUpperCase(Locale.ROOT)),
                dimensions == null ? null : Math.toIntExact(dimensions),
                flag(json, "over_channels"),
                groups == null ? null : Math.toIntExact(groups),
                count(json, "virtual_batch"),
                choice(json, "last_virtual_batch", LastVirtualBatch.values(), null),
                number(json, "r_max", null),
                number(json, "d_max", null),
                flag(json, "in_place"));
    }

    private static Activation activation(JsonObject json) {
        Activation activation = choice(json, "activation", Activation.values(), Activation.NONE);
        Double slope = number(json, "negative_slope", null);
        if (slope != null && activation.kind() != Activation.Kind.LEAKY_RELU) {
            throw new IllegalArgumentException(
                    "the option negative_slope is of the activation leaky-relu, but that is " + activation);
        }
        return slope == null ? activation : Activation.leakyRelu(slope);
    }

    /** Whether there is an option of that name. */
    public static boolean isKnown(String option) {
        Objects.requireNonNull(option, "option");
        return KNOWN.contains(option);
    }

    /** Those that only some operations have, as far as they were given. */
    Set<String> ofSomeOperations() {
        Set<String> given = new TreeSet<>();
        if (normalizedDims != null) {
            given.add("normalized_dims");
        }
        if (overChannels) {
            given.add("over_channels");
        }
        if (groups != null) {
            given.add("groups");
        }
        if (virtualBatch != null) {
            given.add("virtual_batch");
        }
        if (lastVirtualBatch != null) {
            given.add("last_virtual_batch");
        }
        if (rMax != null) {
            given.add("r_max");
        }
        if (dMax != null) {
            given.add("d_max");
        }
        return given;
    }

    /** The value that the option names, or {@code absent}. */
    static <T> T choice(JsonObject json, String option, T[] values, T absent) {
        JsonElement given = json.get(option);
        if (given == null) {
            return absent;
        }
        return Arrays.stream(values)
                .filter(value -> new JsonPrimitive(value.toString()).equals(given))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("the option " + option + " must be one of "
                        + Arrays.toString(values) + ", but is " + shown(given)));
    }

    private static Double number(JsonObject json, String option, Double absent) {
        JsonElement given = json.get(option);
        if (given == null) {
            return absent;
        }
        if (!(given instanceof JsonPrimitive primitive && primitive.isNumber())) {
            throw new IllegalArgumentException("the option " + option + " must be a number, but is " + shown(given));
        }
        return given.getAsDouble();
    }

    /** False where it is not given. */
    private static boolean flag(JsonObject json, String option) {
        JsonElement given = json.get(option);
        if (given != null && !(given instanceof JsonPrimitive primitive && primitive.isBoolean())) {
            throw new IllegalArgumentException(
                    "the option " + option + " must be true or false, but is " + shown(given));
        }
        return given != null && given.getAsBoolean();
    }

    /** Null where it is not given. */
    private static Long count(JsonObject json, String option) {
        Double given = number(json, option, null);
        if (given != null && !(given == Math.rint(given) && Math.abs(given) <= Integer.MAX_VALUE)) {
            throw new IllegalArgumentException(
                    "the option " + option + " must be a whole number below 2^31, but is " + shown(json.get(option)));
        }
        return given == null ? null : given.longValue();
    }
}
