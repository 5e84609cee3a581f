package org.clnorm.verify;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.clnorm.DeviceInfo;

/**
 * What a {@link Verifier} found.
 *
 * @param facts of the device
 * @param strategies those that were verified
 * @param cases how many cases each strategy was given
 * @param left how many, of all strategies, did not run, as the time was up
 * @param programs how many programs were compiled, by all processes
 * @param seconds that it took
 * @param rows one for each kernel and strategy that has it
 * @param failures all that is wrong, in the order in which it was found
 */
public record VerifyReport(
        DeviceInfo device,
        Map<String, String> facts,
        List<String> strategies,
        int cases,
        int left,
        int programs,
        double seconds,
        List<Row> rows,
        List<Failure> failures) {

    /** What is to be said of a kernel under a strategy. */
    public enum Verdict {
        /** All that it was launched for came out right. */
        PASS,
        /** Something did not. */
        FAIL,
        /** No case launched it. */
        NOT_RUN
    }

    /**
     * A kernel under a strategy.
     *
     * @param cases in which it was launched
     * @param worstError the error that comes nearest to its bound, as a share of the array's scale
     * @param bound what that error may be
     * @param worstArray the array that has it, by the name that case files use; empty where nothing was measured
     */
    public record Row(
            String kernel,
            String strategy,
            int cases,
            double worstError,
            double bound,
            String worstArray,
            Verdict verdict) {}

    /**
     * Something that is wrong.
     *
     * @param kernels which of them may have done it; none where it cannot be told
     * @param array what is wrong, by the name that case files use
     * @param problem in words
     * @param caseDescription the case in words; empty where no single case shows it
     */
    public record Failure(
            String strategy, List<String> kernels, String array, String problem, String caseDescription) {}

    /** Whether every case and every kernel ran, and nothing failed. */
    public boolean passed() {
        return left == 0 && failures.isEmpty() && rows.stream().allMatch(row -> row.verdict == Verdict.PASS);
    }

    /** All of it, for programs. An error that is not finite is a string. */
    public String toJson() {
        JsonObject json = new JsonObject();
        json.addProperty("passed", passed());
        JsonObject on = new JsonObject();
        on.addProperty("kind", lower(device.kind()));
        on.addProperty("platform", device.platform());
        on.addProperty("name", device.name());
        facts.forEach(on::addProperty);
        json.add("device", on);
        json.add("strategies", strings(strategies));
        json.addProperty("cases", cases);
        json.addProperty("left", left);
        json.addProperty("programs", programs);
        json.addProperty("seconds", seconds);
        JsonArray kernels = new JsonArray();
        rows.forEach(row -> kernels.add(json(row)));
        json.add("kernels", kernels);
        JsonArray failed = new JsonArray();
        failures.forEach(failure -> failed.add(json(failure)));
        json.add("failures", failed);
        return new GsonBuilder().setPrettyPrinting().create().toJson(json);
    }

    private static JsonObject json(Row row) {
        JsonObject json = new JsonObject();
        json.addProperty("kernel", row.kernel);
        json.addProperty("strategy", row.strategy);
        json.addProperty("cases", row.cases);
        json.add("worst_error", number(row.worstError));
        json.add("bound", number(row.bound));
        json.addProperty("worst_array", row.worstArray);
        json.addProperty("verdict", lower(row.verdict));
        return json;
    }

    static JsonObject json(Failure failure) {
        JsonObject json = new JsonObject();
        json.addProperty("strategy", failure.strategy);
        json.add("kernels", strings(failure.kernels));
        json.addProperty("array", failure.array);
        json.addProperty("problem", failure.problem);
        json.addProperty("case", failure.caseDescription);
        return json;
    }

    static JsonElement number(double value) {
        return Double.isFinite(value) ? new JsonPrimitive(value) : new JsonPrimitive(Double.toString(value));
    }

    private static JsonArray strings(List<String> values) {
        JsonArray array = new JsonArray();
        values.forEach(array::add);
        return array;
    }

    private static String lower(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
