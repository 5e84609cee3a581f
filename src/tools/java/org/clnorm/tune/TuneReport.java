package org.clnorm.tune;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Pass;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyTable;
import org.clnorm.plan.StrategyTable.Condition;
import org.clnorm.plan.StrategyTable.Pattern;
import org.clnorm.plan.StrategyTable.Range;
import org.clnorm.plan.StrategyTable.Row;
import org.clnorm.view.View;

/**
 * What a {@link Tuner} found, and what follows from it: a pure function of the heats.
 *
 * <p>A winner counts for a class of views: those with its pass and pattern, whose number of groups and of elements in a
 * group lie between the same powers of four. It must beat the default in every heat of its class.
 *
 * @param heats in the order in which they were run
 * @param left heats that were not run, as the time was up
 */
public record TuneReport(DeviceFacts facts, List<Heat> heats, int left, double seconds) {
    /** How many times as fast as the default a strategy must be to take its place; less is noise. */
    static final double LEAST_GAIN = 1.05;

    /** Views that have a row in common. */
    record SizeClass(Pass pass, Pattern pattern, Range groups, Range size) {
        static SizeClass of(Heat heat) {
            View view = heat.rung().view();
            return new SizeClass(
                    heat.pass(), Pattern.of(view), powersOfFour(view.groups()), powersOfFour(view.groupSize()));
        }

        private static Range powersOfFour(long value) {
            int exponent = (63 - Long.numberOfLeadingZeros(value)) / 2 * 2;
            return new Range(1L << exponent, (1L << exponent + 2) - 1);
        }

        Condition condition() {
            return new Condition(Set.of(), "", "", "", Set.of(pass), Set.of(pattern), groups, size, Range.ALL, false);
        }
    }

    /** A strategy that takes the default's place, and by how much it is faster at least. */
    record Winner(Strategy strategy, double gain) {}

    /** Copies the heats. */
    public TuneReport {
        heats = List.copyOf(heats);
    }

    private Map<SizeClass, List<Heat>> classes() {
        return heats.stream().collect(Collectors.groupingBy(SizeClass::of, LinkedHashMap::new, Collectors.toList()));
    }

    private static Optional<Winner> winner(List<Heat> ofOneClass) {
        return ofOneClass.get(0).gains().keySet().stream()
                .map(strategy -> new Winner(
                        strategy,
                        ofOneClass.stream()
                                .mapToDouble(heat -> heat.gains().getOrDefault(strategy, 0.0))
                                .min()
                                .orElse(0)))
                .filter(winner -> winner.gain >= LEAST_GAIN)
                .max(Comparator.comparingDouble(Winner::gain));
    }

    /** What takes the default's place where a heat was run, in words; empty where the default stays. */
    public Optional<String> winnerOf(Heat heat) {
        return winner(classes().get(SizeClass.of(heat))).map(winner -> Candidates.label(winner.strategy, facts));
    }

    /** How many times as fast as the default that is, here. */
    public double gainOf(Heat heat) {
        return winner(classes().get(SizeClass.of(heat)))
                .map(winner -> heat.gains().get(winner.strategy))
                .orElse(1.0);
    }

    /** A strategy in words. */
    public String label(Strategy strategy) {
        return Candidates.label(strategy, facts);
    }

    /** A row for each class whose default was beaten. */
    public StrategyTable table() {
        List<Row> rows = new ArrayList<>();
        classes().forEach((sizes, ofOneClass) -> winner(ofOneClass).ifPresent(winner -> {
            String where =
                    ofOneClass.stream().map(heat -> heat.rung().toString()).collect(Collectors.joining(", "));
            rows.add(Row.of(
                    sizes.condition(),
                    winner.strategy,
                    String.format(Locale.ROOT, "%.2f times as fast as the default at %s", winner.gain, where)));
        }));
        return new StrategyTable(rows);
    }

    /** Whether nothing that was tried computed anything wrong. */
    public boolean allRight() {
        return heats.stream().allMatch(heat -> heat.wrong().isEmpty());
    }
}
