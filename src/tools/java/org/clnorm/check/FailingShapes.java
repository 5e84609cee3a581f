package org.clnorm.check;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.check.Binding.Operation;
import org.clnorm.check.Problem.Kind;

/** Which cases fail: what their shapes have in common that those of the others have not, and what their data has. */
final class FailingShapes {
    private static final List<Integer> WIDTHS = List.of(2, 4, 8, 16, 32, 64, 128, 256);
    /** As many as are listed one by one. */
    private static final int LISTED = 4;

    private final Operation operation;
    private final List<CheckCase> cases;
    private final Set<Integer> failing;
    private final Set<Dimensions> wrong = new LinkedHashSet<>();
    private final Set<Dimensions> right = new LinkedHashSet<>();
    private final Set<Data> data = new TreeSet<>();
    private final Set<Data> allData = new TreeSet<>();

    /** @param run how many of the cases were run, the first ones */
    FailingShapes(List<CheckCase> cases, int run, Set<Integer> failing) {
        this.operation = cases.get(0).binding().operation();
        this.cases = cases;
        this.failing = failing;
        failing.forEach(i -> wrong.add(cases.get(i).dimensions()));
        failing.forEach(i -> data.add(cases.get(i).data()));
        cases.subList(0, run).forEach(c -> allData.add(c.data()));
        // On data on which nothing fails a shape tells nothing.
        cases.subList(0, run).stream().filter(c -> data.contains(c.data())).forEach(c -> right.add(c.dimensions()));
        right.removeAll(wrong);
    }

    String describe() {
        String shapes = right.isEmpty()
                ? (wrong.size() == 1 ? "on the only shape that was run" : "on all shapes")
                : common().map(common -> "on shapes with " + common + ", on no others")
                        .orElseGet(this::list);
        String which = data.size() == allData.size()
                ? ""
                : "; with data " + data.stream().map(Data::toString).collect(Collectors.joining(", "))
                        + (data.size() == 1 ? " only" : "");
        return "fails in " + failing.size() + (failing.size() == 1 ? " case, " : " cases, ") + shapes + which;
    }

    /** Those that fail, or those that do not where these are fewer. */
    private String list() {
        if (right.size() <= LISTED && right.size() < wrong.size()) {
            return "on all shapes but " + named(right);
        }
        return "on " + wrong.size() + " of " + (wrong.size() + right.size()) + " shapes: " + named(wrong)
                + (wrong.size() > LISTED ? "; ..." : "");
    }

    private String named(Set<Dimensions> shapes) {
        return shapes.stream()
                .limit(LISTED)
                .map(shape -> shape.describe(operation))
                .collect(Collectors.joining("; "));
    }

    /** Conditions each of which holds for the shapes that fail, and for no other. */
    private Optional<String> common() {
        if (wrong.size() < 2 || right.size() < 2) { // one may be anything
            return Optional.empty();
        }
        List<String> names = operation.isOfRows() ? List.of("D", "R", "E") : List.of("M", "S", "E", "C", "N");
        String sizes = names.stream().flatMap(this::ofSize).collect(Collectors.joining(" and "));
        return sizes.isEmpty() ? names.stream().flatMap(this::ofMultiple).findFirst() : Optional.of(sizes);
    }

    private Stream<String> ofSize(String name) {
        double most =
                right.stream().mapToDouble(shape -> value(shape, name)).max().orElse(0);
        double least =
                wrong.stream().mapToDouble(shape -> value(shape, name)).min().orElse(0);
        return most < least ? Stream.of(name + " over " + (long) most) : Stream.empty();
    }

    private Stream<String> ofMultiple(String name) {
        List<Integer> widths = new ArrayList<>(WIDTHS);
        cases.get(0).binding().constants().values().forEach(value -> widths.add(value.intValue()));
        return widths.stream()
                .filter(width -> width > 1)
                .filter(width -> all(wrong, shape -> value(shape, name) % width != 0)
                        && all(right, shape -> value(shape, name) % width == 0))
                .map(width -> name + " not a multiple of " + width);
    }

    private static boolean all(Set<Dimensions> shapes, Predicate<Dimensions> condition) {
        return shapes.stream().allMatch(condition);
    }

    private double value(Dimensions shape, String name) {
        return shape.names(operation).get(name);
    }

    /** What is likely the cause: what the data tells, else what is said most often of the cases one by one. */
    String mistake(Kind kind, Map<Integer, Problem> problems) {
        if (kind == Kind.VALUES && growsWithMeans()) {
            return Mistakes.CANCELLATION;
        }
        if (kind == Kind.VALUES && data.equals(Set.of(Data.LARGE))) {
            return Mistakes.RANGE;
        }
        // What a NaN in x brings to light is of interest where nothing else fails.
        Map<String, Long> said = problems.entrySet().stream()
                .filter(each -> data.size() == 1 || cases.get(each.getKey()).data() != Data.NAN)
                .map(each -> each.getValue().mistake())
                .filter(mistake -> !mistake.isEmpty())
                .collect(Collectors.groupingBy(mistake -> mistake, TreeMap::new, Collectors.counting()));
        return said.entrySet().stream()
                .max(Map.Entry.comparingByValue())
                .map(Map.Entry::getKey)
                .orElse("");
    }

    /** Whether it fails with means far from 0 and next to never else; the few values of a small group may lie near to each other by chance. */
    private boolean growsWithMeans() {
        long far = failing(Data.OFFSET) + failing(Data.FAR_OFFSET);
        return far > 0 && (failing(Data.NORMAL) + failing(Data.SMALL)) * 10 <= far;
    }

    private long failing(Data of) {
        return failing.stream().filter(i -> cases.get(i).data() == of).count();
    }
}
