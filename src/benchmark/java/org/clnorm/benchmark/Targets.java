package org.clnorm.benchmark;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.DoubleFunction;
import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/** What the kernels are to reach on a CPU of two cores, and whether they did. */
final class Targets {
    private static final List<Shape> LARGE_PLANES = List.of(Shape.of(32, 64, 56, 56), Shape.of(8, 64, 112, 112));
    private static final List<Shape> SMALL_PLANES = List.of(Shape.of(32, 256, 14, 14), Shape.of(64, 512, 7, 7));
    private static final List<Shape> PLANES =
            List.of(LARGE_PLANES.get(0), LARGE_PLANES.get(1), SMALL_PLANES.get(0), SMALL_PLANES.get(1));
    private static final List<Shape> OTHERS =
            List.of(Shape.of(2, 2048, 7, 7), Shape.of(1, 3, 1024, 1024), Shape.of(4096, 1024));
    private static final List<Shape> LAUNCH_BOUND = List.of(Shape.of(128, 128));
    private static final List<Form> FIRST = List.of(Form.CHANNELS_FIRST);
    private static final List<Form> LAST = List.of(Form.CHANNELS_LAST);
    private static final List<Form> BOTH = List.of(Form.CHANNELS_FIRST, Form.CHANNELS_LAST);
    private static final List<Fusion> PLAIN = List.of(Fusion.NONE);
    private static final List<Fusion> ALL = List.of(Fusion.values());
    private static final double NO_TARGET = 0;
    /** How much two medians of the same work differ. */
    private static final double NOISE = 0.05;

    private final List<Contest.Result> results;
    private final StringBuilder rows = new StringBuilder();

    private int count;
    private int reached;

    Targets(List<Contest.Result> results) {
        this.results = results;
        judge();
        judgeOthers();
    }

    /** Whether nothing was measured that has a target. */
    boolean isEmpty() {
        return count == 0;
    }

    /** A sentence. */
    String summary() {
        return String.format("Targets reached in all their cases: %d of %d.%n%n", reached, count);
    }

    /** A table in Markdown. */
    String table() {
        return "| work | against | target | reached | cases that reach it | a C loop reaches |\n|---|---|---|---|---|---|\n"
                + rows;
    }

    private void judge() {
        row(
                "training forward, channels-first, 56² and 112²",
                Direction.FORWARD,
                LARGE_PLANES,
                FIRST,
                PLAIN,
                3.5,
                1.3,
                0.70);
        row(
                "training forward, channels-first, 14² and 7²",
                Direction.FORWARD,
                SMALL_PLANES,
                FIRST,
                PLAIN,
                3.5,
                1.0,
                0.55);
        row("training forward, channels-last", Direction.FORWARD, PLANES, LAST, PLAIN, 1.3, 1.1, 0.60);
        row("training backward, both layouts", Direction.BACKWARD, PLANES, BOTH, PLAIN, 1.3, 1.05, 0.65);
        row("inference, both layouts, plain and fused", Direction.INFERENCE, PLANES, BOTH, ALL, 1.2, 1.0, 0.90);
        for (Direction direction : List.of(Direction.FORWARD, Direction.BACKWARD)) {
            String which = "training " + direction + ", ";
            row(
                    which + "(2, 2048, 7, 7), (1, 3, 1024, 1024), (4096, 1024)",
                    direction,
                    OTHERS,
                    BOTH,
                    PLAIN,
                    1.2,
                    NO_TARGET,
                    NO_TARGET);
            row(
                    which + "(128, 128), 20 queued",
                    Norm.BATCH,
                    Report.QUEUED,
                    direction,
                    LAUNCH_BOUND,
                    FIRST,
                    PLAIN,
                    1.2,
                    NO_TARGET,
                    NO_TARGET);
        }
        for (Direction direction : Direction.values()) {
            Cases relu = new Cases(Norm.BATCH, direction, PLANES, BOTH, List.of(Fusion.RELU));
            criterion(
                    (direction == Direction.INFERENCE ? "" : "training ") + direction + " with ReLU",
                    "without ReLU",
                    "no more time, to within 5%",
                    relu,
                    Report.CLNORM,
                    (result, timing) -> result.find(timing.peer(), timing.task().form(), Fusion.NONE)
                            .map(timing::advantageOver),
                    1 - NOISE,
                    Targets::times);
        }
    }

    /** The others: as quick as PyTorch at least, and at such a share of a streamed copy. */
    private void judgeOthers() {
        List<Shape> rows = Norm.LAYER.shapes();
        other("layer norm forward", Norm.LAYER, Direction.FORWARD, rows, 0.90);
        other("layer norm backward", Norm.LAYER, Direction.BACKWARD, rows, 0.65);
        other("RMS norm forward", Norm.RMS, Direction.FORWARD, rows, NO_TARGET);
        other("group norm forward, channels-first", Norm.GROUP, Direction.FORWARD, PLANES, 30.0 / 48);
        other("group norm backward, channels-first", Norm.GROUP, Direction.BACKWARD, PLANES, 27.0 / 48);
        other("instance norm forward, channels-first", Norm.INSTANCE, Direction.FORWARD, PLANES, 30.0 / 48);
        other("instance norm backward, channels-first", Norm.INSTANCE, Direction.BACKWARD, PLANES, NO_TARGET);
    }

    private void other(String work, Norm norm, Direction direction, List<Shape> shapes, double copy) {
        row(work, norm, Report.CLNORM, direction, shapes, FIRST, PLAIN, 1.0, NO_TARGET, copy);
    }

    /** What a target is about. */
    private record Cases(Norm norm, Direction direction, List<Shape> shapes, List<Form> forms, List<Fusion> fusions) {}

    /** What is held against a target. */
    private interface Value extends BiFunction<Contest.Result, Timing, Optional<Double>> {}

    private void row(
            String work,
            Direction direction,
            List<Shape> shapes,
            List<Form> forms,
            List<Fusion> fusions,
            double pyTorch,
            double oneDnn,
            double copy) {
        row(work, Norm.BATCH, Report.CLNORM, direction, shapes, forms, fusions, pyTorch, oneDnn, copy);
    }

    private void row(
            String work,
            Norm norm,
            String peer,
            Direction direction,
            List<Shape> shapes,
            List<Form> forms,
            List<Fusion> fusions,
            double pyTorch,
            double oneDnn,
            double copy) {
        Cases cases = new Cases(norm, direction, shapes, forms, fusions);
        Value againstPyTorch = (result, timing) -> result.find(
                        "PyTorch", timing.task().form(), timing.task().fusion())
                .map(timing::advantageOver);
        criterion(work, "PyTorch, same layout", times(pyTorch), cases, peer, againstPyTorch, pyTorch, Targets::times);
        if (oneDnn != NO_TARGET) {
            Value againstOneDnn = (result, timing) ->
                    result.best("oneDNN", timing.task().fusion()).map(timing::advantageOver);
            criterion(work, "oneDNN's best layout", times(oneDnn), cases, peer, againstOneDnn, oneDnn, Targets::times);
        }
        if (copy != NO_TARGET) {
            Value ofCopy = (result, timing) -> Optional.of(result.ofCopy(
                            timing, timing.peer().equals(Report.LIMIT) ? Report.LIMIT_COPY : Copy.STREAMED))
                    .filter(value -> !value.isNaN());
            criterion(work, "streamed copy", percent(copy), cases, peer, ofCopy, copy, Targets::percent);
        }
    }

    private List<Double> values(Cases cases, String peer, Value value) {
        List<Double> values = new ArrayList<>();
        for (Contest.Result result : results) {
            if (result.norm() == cases.norm
                    && result.direction() == cases.direction
                    && cases.shapes.contains(result.shape())) {
                for (Form form : cases.forms) {
                    for (Fusion fusion : cases.fusions) {
                        result.find(peer, form, fusion)
                                .flatMap(timing -> value.apply(result, timing))
                                .ifPresent(values::add);
                    }
                }
            }
        }
        return values;
    }

    private void criterion(
            String work,
            String against,
            String target,
            Cases cases,
            String peer,
            Value value,
            double least,
            DoubleFunction<String> words) {
        List<Double> values = values(cases, peer, value);
        if (values.isEmpty()) {
            return;
        }
        long met = values.stream().filter(v -> v >= least).count();
        count++;
        reached += met == values.size() ? 1 : 0;
        rows.append(String.format(
                "| %s | %s | %s | %s | %s | %s |%n",
                work,
                against,
                target,
                range(values, words),
                met == values.size()
                        ? "all " + met
                        : met == 0 ? "**none** of " + values.size() : "**" + met + "** of " + values.size(),
                range(values(cases, Report.LIMIT, value), words)));
    }

    private static String range(List<Double> values, DoubleFunction<String> words) {
        if (values.isEmpty()) {
            return Report.NOTHING;
        }
        String from = words.apply(values.stream().mapToDouble(v -> v).min().orElseThrow());
        String to = words.apply(values.stream().mapToDouble(v -> v).max().orElseThrow());
        return from.equals(to) ? from : from + " to " + to;
    }

    static String times(double ratio) {
        return Double.isNaN(ratio) ? Report.NOTHING : String.format(Locale.ROOT, "%.2f×", ratio);
    }

    static String percent(double fraction) {
        return Double.isNaN(fraction) ? Report.NOTHING : String.format(Locale.ROOT, "%.0f%%", fraction * 100);
    }
}
