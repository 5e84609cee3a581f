package org.clnorm.io;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.TypeAdapter;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.clnorm.Activation;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;

/**
 * How a case is to be computed.
 *
 * @param mode whose statistics normalize
 * @param epsilon added to the variance inside the square root
 * @param updateRate the weight of the new batch in the running statistics: PyTorch's momentum, one minus Keras's
 * @param runningVariance which variance enters the running variance
 * @param layout how the arrays of x's shape lie in the file
 * @param activation applied after the residual is added
 */
public record CaseOptions(
        Mode mode,
        double epsilon,
        double updateRate,
        RunningVariance runningVariance,
        Layout layout,
        Activation activation) {

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

    /** What holds where nothing is said: training, ε = 1e-5, update rate 0.1, unbiased, channels-first, no activation. */
    public static final CaseOptions DEFAULTS =
            new CaseOptions(Mode.TRAIN, 1e-5, 0.1, RunningVariance.UNBIASED, Layout.CHANNELS_FIRST, Activation.NONE);

    /** Those of other normalizations too, which do nothing here. */
    private static final Set<String> KNOWN = Set.of(
            "op",
            "mode",
            "eps",
            "update_rate",
            "running_variance",
            "layout",
            "activation",
            "normalized_dims",
            "groups",
            "r_max",
            "d_max");

    private static final TypeAdapter<JsonElement> STRICT =
            new GsonBuilder().setStrictness(Strictness.STRICT).create().getAdapter(JsonElement.class);

    /** Checks the numbers. */
    public CaseOptions {
        if (!(epsilon >= 0 && epsilon < Float.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("the option eps must be finite and at least 0, but is " + epsilon);
        }
        if (!(updateRate > 0 && updateRate <= 1)) {
            throw new IllegalArgumentException(
                    "the option update_rate must be above 0 and at most 1, but is " + updateRate);
        }
    }

    /** The object that a text in JSON is. */
    static JsonObject parse(String json) {
        try {
            JsonElement element = STRICT.fromJson(json);
            if (element instanceof JsonObject object) {
                return object;
            }
            throw new IllegalArgumentException("the array case must be a JSON object, but is " + element);
        } catch (IOException | JsonParseException e) {
            throw new IllegalArgumentException("the array case must be a JSON object, but it is not JSON", e);
        }
    }

    /** The options of a case, the {@link #DEFAULTS} where it says nothing. */
    static CaseOptions of(JsonObject json) {
        return new CaseOptions(
                choice(json, "mode", Mode.values(), DEFAULTS.mode),
                number(json, "eps", DEFAULTS.epsilon),
                number(json, "update_rate", DEFAULTS.updateRate),
                choice(json, "running_variance", RunningVariance.values(), DEFAULTS.runningVariance),
                choice(json, "layout", Layout.values(), DEFAULTS.layout),
                choice(json, "activation", Activation.values(), DEFAULTS.activation));
    }

    /** The options that no operation has; perhaps one was mistyped. */
    static List<String> unknown(JsonObject json) {
        return json.keySet().stream().filter(key -> !KNOWN.contains(key)).toList();
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
                .orElseThrow(() -> new IllegalArgumentException(
                        "the option " + option + " must be one of " + Arrays.toString(values) + ", but is " + given));
    }

    private static double number(JsonObject json, String option, double absent) {
        JsonElement given = json.get(option);
        if (given == null) {
            return absent;
        }
        if (!(given instanceof JsonPrimitive primitive && primitive.isNumber())) {
            throw new IllegalArgumentException("the option " + option + " must be a number, but is " + given);
        }
        return given.getAsDouble();
    }
}
