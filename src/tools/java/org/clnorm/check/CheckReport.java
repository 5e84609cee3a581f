package org.clnorm.check;

import com.google.gson.GsonBuilder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.clnorm.check.Outcome.Deviation;
import org.clnorm.check.Problem.Kind;

/**
 * What came of a check.
 *
 * @param kernel what the kernel computes
 * @param device where it ran
 * @param cases how many there are
 * @param outcomes of those that were run
 * @param arrays what the worst case of each array is off by
 * @param failures what is wrong, once for each check and array
 * @param speed how fast it is; null where that was not measured
 */
public record CheckReport(
        String kernel,
        String device,
        int cases,
        List<Outcome> outcomes,
        List<Row> arrays,
        List<Failure> failures,
        Speed speed) {
    /**
     * An array's worst case.
     *
     * @param array its name
     * @param worst how far it is off there
     * @param where the shape and data
     */
    public record Row(String array, Deviation worst, String where) {}

    /**
     * What is wrong of one array by one check.
     *
     * @param kind the check
     * @param array its name; empty where it is of none
     * @param text what was found in the smallest case
     * @param mistake what is likely the cause; empty where nothing tells it
     * @param smallest the shape and data of the smallest case
     * @param index its index among the cases
     * @param cases in how many cases
     * @param shapes where: which shapes and which data
     */
    public record Failure(
            Kind kind,
            String array,
            String text,
            String mistake,
            String smallest,
            int index,
            int cases,
            String shapes) {}

    static CheckReport of(KernelCheck check, List<Outcome> outcomes, String device) {
        List<CheckCase> cases = check.cases();
        return new CheckReport(
                check.binding().toString(),
                device,
                cases.size(),
                List.copyOf(outcomes),
                rows(outcomes),
                failures(cases, outcomes),
                null);
    }

    /** The same with how fast it is. */
    public CheckReport with(Speed measured) {
        return new CheckReport(kernel, device, cases, outcomes, arrays, failures, measured);
    }

    /** Whether nothing is wrong, in any case. */
    public boolean passed() {
        return failures.isEmpty() && outcomes.size() == cases;
    }

    /**
     * For tests: ends one that is of a wrong kernel.
     *
     * @throws AssertionError with {@link #toText} unless the kernel {@link #passed}
     */
    public void verify() {
        if (!passed()) {
            throw new AssertionError("The kernel is not right: " + toText());
        }
    }

    private static List<Row> rows(List<Outcome> outcomes) {
        Map<String, Row> rows = new LinkedHashMap<>();
        for (Outcome outcome : outcomes) {
            for (Deviation error : outcome.errors()) {
                Row row = rows.get(error.array());
                if (row == null || error.ofBound() > row.worst.ofBound()) {
                    rows.put(error.array(), new Row(error.array(), error, outcome.toString()));
                }
            }
        }
        return List.copyOf(rows.values());
    }

    private static List<Failure> failures(List<CheckCase> cases, List<Outcome> outcomes) {
        Map<String, Map<Integer, Problem>> found = new LinkedHashMap<>();
        for (int i = 0; i < outcomes.size(); i++) {
            for (Problem problem : outcomes.get(i).problems()) {
                found.computeIfAbsent(problem.kind() + " " + problem.array(), key -> new LinkedHashMap<>())
                        .putIfAbsent(i, problem);
            }
        }
        List<Failure> failures = new ArrayList<>();
        for (Map<Integer, Problem> problems : found.values()) {
            int smallest = problems.keySet().iterator().next();
            Problem first = problems.get(smallest);
            FailingShapes shapes = new FailingShapes(cases, outcomes.size(), problems.keySet());
            failures.add(new Failure(
                    first.kind(),
                    first.array(),
                    first.text(),
                    shapes.mistake(first.kind(), problems),
                    outcomes.get(smallest).toString(),
                    smallest,
                    problems.size(),
                    shapes.describe()));
        }
        return failures;
    }

    /** All of it for programs. */
    public String toJson() {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("passed", passed());
        json.put("kernel", kernel);
        json.put("device", device);
        json.put("cases", cases);
        json.put("arrays", arrays);
        json.put("failures", failures);
        json.put("speed", speed);
        json.put("outcomes", outcomes);
        return new GsonBuilder()
                .serializeSpecialFloatingPointValues()
                .setPrettyPrinting()
                .create()
                .toJson(json);
    }

    /**
     * All of it as a page of HTML.
     *
     * @param title its heading
     * @param command what to type to have it made again
     */
    public String toHtml(String title, String command) {
        return new CheckPage(this).html(title, command);
    }

    /** All of it for people. */
    public String toText() {
        StringBuilder text = new StringBuilder();
        text.append(kernel).append(" on ").append(device).append('\n').append('\n');
        text.append(String.format("  %-17s %11s %11s  %-9s %s%n", "array", "worst error", "bound", "of bound", "in"));
        for (Row row : arrays) {
            text.append(String.format(
                    Locale.ROOT,
                    "  %-17s %11.2e %11.2e  %-9s %s%n",
                    row.array,
                    row.worst.error(),
                    row.worst.bound(),
                    ofBound(row.worst),
                    row.where));
        }
        for (Failure failure : failures) {
            text.append(String.format(
                    "%nFAIL %s%s%n", words(failure.kind), failure.array.isEmpty() ? "" : ": " + failure.array));
            text.append("  ").append(failure.text).append('\n');
            if (!failure.mistake.isEmpty()) {
                text.append("  Likely: ").append(failure.mistake).append('\n');
            }
            text.append("  Smallest case: ")
                    .append(failure.smallest)
                    .append("; ")
                    .append(failure.shapes)
                    .append('\n');
        }
        if (speed != null) {
            text.append('\n').append(speed).append('\n');
        }
        long passed = outcomes.stream().filter(Outcome::passed).count();
        text.append(String.format("%n%d of %d cases pass%s%n", passed, cases, notRun()));
        return text.toString();
    }

    static String ofBound(Deviation worst) {
        double share = worst.ofBound();
        return share > 1000 ? ">1000" : String.format(Locale.ROOT, "%.2f", share);
    }

    String notRun() {
        return outcomes.size() == cases ? "" : "; " + (cases - outcomes.size()) + " were not run";
    }

    static String words(Kind kind) {
        return switch (kind) {
            case CALL -> "cannot be called";
            case CRASH -> "crashes";
            case HANG -> "does not come back";
            case OVERRUN -> "writes beside its arrays";
            case INPUT_CHANGED -> "changes an input";
            case NOT_WRITTEN -> "leaves elements unwritten";
            case VALUES -> "wrong values";
            case RUNS_DIFFER -> "two runs differ";
            case SIMULATOR -> "the simulator's report";
        };
    }
}
