package org.clnorm.cases;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.clnorm.optim.Adam;
import org.clnorm.optim.AdamW;
import org.clnorm.optim.RmsProp;
import org.clnorm.optim.Sgd;
import org.clnorm.optim.UpdateRule;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;

/**
 * An optimizer to run, or gradients to clip: an {@code .npz} whose {@code case} says {@code "op": "optimizer"} or {@code
 * "op": "clip-norm"}.
 *
 * <p>An optimizer has a {@code parameter} and its {@code gradients}, a row for each step, and expects {@code
 * expected_parameter_K}, the parameter after K steps. Clipping has {@code gradient_0}, {@code gradient_1} and so on, and
 * expects {@code expected_norm} and {@code expected_gradient_0} and so on.
 */
public final class UpdateFile {
    /** What a case of each optimizer may say. */
    private static final Map<String, Set<String>> OPTIONS = Map.of(
            "sgd", Set.of("rate", "momentum", "dampening", "nesterov", "weight_decay"),
            "adam", Set.of("rate", "beta1", "beta2", "eps", "weight_decay"),
            "adamw", Set.of("rate", "beta1", "beta2", "eps", "weight_decay"),
            "rmsprop", Set.of("rate", "alpha", "eps", "momentum", "weight_decay"));

    private static final String EXPECTED = "expected_";

    private final String name;
    private final String describe;
    private final UpdateRule rule;
    private final double maxNorm;
    private final Map<String, NpyArray> inputs = new LinkedHashMap<>();
    private final Map<String, NpyArray> expected = new LinkedHashMap<>();

    private UpdateFile(String name, JsonObject json, Map<String, NpyArray> arrays) {
        this.name = name;
        boolean clips = json.get("op").getAsString().equals("clip-norm");
        this.describe = json.toString().replace("\"", "").replace(",", ", ");
        if (clips) {
            checkOptions(json, Set.of("op", "max_norm"));
            rule = Sgd.rate(0);
            maxNorm = number(json, "max_norm", null);
        } else {
            String kind = json.has("optimizer") ? json.get("optimizer").getAsString() : "";
            if (!OPTIONS.containsKey(kind)) {
                throw new IllegalArgumentException("the option optimizer must be one of "
                        + new TreeSet<>(OPTIONS.keySet()) + ", but is " + json.get("optimizer"));
            }
            Set<String> known = new TreeSet<>(OPTIONS.get(kind));
            known.addAll(Set.of("op", "optimizer"));
            checkOptions(json, known);
            rule = rule(kind, json);
            maxNorm = Double.POSITIVE_INFINITY;
        }
        arrays.forEach((array, content) -> {
            if (array.startsWith(EXPECTED)) {
                expected.put(array.substring(EXPECTED.length()), content);
            } else if (array.equals("parameter") || array.equals("gradients") || array.startsWith("gradient_")) {
                inputs.put(array, content);
            } else if (!array.equals("case")) {
                throw new IllegalArgumentException("an optimizer's case has no array " + array);
            }
        });
        checkArrays(clips);
    }

    private void checkArrays(boolean clips) {
        if (clips) {
            if (inputs.keySet().stream().anyMatch(array -> !array.startsWith("gradient_")) || inputs.isEmpty()) {
                throw new IllegalArgumentException(
                        "clip-norm takes arrays gradient_0, gradient_1 and so on, but has " + inputs.keySet());
            }
            return;
        }
        if (!inputs.keySet().equals(Set.of("parameter", "gradients"))) {
            throw new IllegalArgumentException(
                    "an optimizer takes the arrays parameter and gradients, but has " + inputs.keySet());
        }
        int elements = inputs.get("parameter").elements();
        long[] rows = inputs.get("gradients").dimensions();
        if (rows.length < 2 || elements == 0 || inputs.get("gradients").elements() != rows[0] * elements) {
            throw new IllegalArgumentException("gradients must have a row of the parameter's " + elements
                    + " elements for each step, but is " + inputs.get("gradients"));
        }
    }

    private static void checkOptions(JsonObject json, Set<String> known) {
        for (String key : json.keySet()) {
            if (!known.contains(key)) {
                throw new IllegalArgumentException(
                        "there is no option " + key + " here; there are " + new TreeSet<>(known));
            }
        }
    }

    private static UpdateRule rule(String kind, JsonObject json) {
        double rate = number(json, "rate", null);
        double eps = number(json, "eps", 1e-8);
        double beta1 = number(json, "beta1", 0.9);
        double beta2 = number(json, "beta2", 0.999);
        double momentum = number(json, "momentum", 0.0);
        return switch (kind) {
            case "sgd" ->
                new Sgd(
                        rate,
                        momentum,
                        number(json, "dampening", 0.0),
                        json.has("nesterov") && json.get("nesterov").getAsBoolean(),
                        number(json, "weight_decay", 0.0));
            case "adam" -> new Adam(rate, beta1, beta2, eps, number(json, "weight_decay", 0.0));
            case "adamw" -> new AdamW(rate, beta1, beta2, eps, number(json, "weight_decay", 0.01));
            default -> new RmsProp(rate, number(json, "alpha", 0.99), eps, momentum, number(json, "weight_decay", 0.0));
        };
    }

    private static double number(JsonObject json, String option, Double otherwise) {
        JsonElement value = json.get(option);
        if (value == null && otherwise != null) {
            return otherwise;
        }
        if (value == null
                || !value.isJsonPrimitive()
                || !value.getAsJsonPrimitive().isNumber()) {
            throw new IllegalArgumentException("the option " + option + " must be a number, but is " + value);
        }
        return value.getAsDouble();
    }

    /**
     * Reads a file, if it is such a case.
     *
     * @return empty when the file is no such case, but maybe another
     * @throws IOException when it is one and has something wrong; the message names the file and what it is
     */
    public static Optional<UpdateFile> read(Path file) throws IOException {
        Map<String, NpyArray> arrays = Npz.read(Objects.requireNonNull(file, "file"));
        NpyArray options = arrays.get("case");
        if (options == null) {
            return Optional.empty();
        }
        try {
            JsonObject json = CaseOptions.parse(options.toBytes());
            JsonElement op = json.get("op");
            boolean isOne = op != null
                    && op.isJsonPrimitive()
                    && Set.of("optimizer", "clip-norm").contains(op.getAsString());
            return isOne ? Optional.of(new UpdateFile(file.toString(), json, arrays)) : Optional.empty();
        } catch (IllegalArgumentException | UnsupportedOperationException | IllegalStateException e) {
            if (isOther(options)) {
                return Optional.empty();
            }
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    /** What is not even such text is for the reader of other cases to complain of. */
    private static boolean isOther(NpyArray options) {
        try {
            return !CaseOptions.parse(options.toBytes()).has("op");
        } catch (RuntimeException e) {
            return true;
        }
    }

    /** The file. */
    public String name() {
        return name;
    }

    /** Its options, in words. */
    public String describe() {
        return describe;
    }

    /** The optimizer's rule; of clipping one that changes nothing. */
    public UpdateRule rule() {
        return rule;
    }

    /** What the norm is clipped to; infinity for an optimizer. */
    public double maxNorm() {
        return maxNorm;
    }

    /** The inputs by name. */
    public Map<String, NpyArray> inputs() {
        return Map.copyOf(inputs);
    }

    /** What is expected, by name without {@code expected_}, in the file's order. */
    public Map<String, NpyArray> expected() {
        return new LinkedHashMap<>(expected);
    }

    @Override
    public String toString() {
        return name + ": " + describe;
    }
}
