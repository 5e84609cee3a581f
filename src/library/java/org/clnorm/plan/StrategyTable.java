package org.clnorm.plan;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.DeviceInfo;
import org.clnorm.view.View;

/**
 * Which strategy is the fastest where: what was measured, as rows, of which the first that matches counts. What does not
 * depend on measurements, such as whether a group stays in the cache, is in {@link Strategy}.
 *
 * <p>As text, a row is a line: conditions, {@code =>}, a strategy's name with parameters, {@code |} and the reason. Empty
 * lines, and those that begin with {@code #}, are for people.
 *
 * <pre>
 * type=cpu pass=forward,backward pattern=planes size=..65536 fits =&gt; cpu-fused tile=8 stream=262144 | why
 * </pre>
 *
 * <p>All conditions must hold; none is held by everything.
 *
 * <ul>
 *   <li>{@code type}, one or more of cpu, gpu, accelerator; {@code platform}, {@code vendor}, {@code name}, a part of what
 *       the device says, case aside.
 *   <li>{@code pass}, {@code pattern}: one or more of {@link Pass}, {@link Pattern}.
 *   <li>{@code groups}, {@code size}, {@code elements}: how many groups a block of the view has, elements a group, elements a block;
 *       {@code 64}, {@code 64..127}, {@code 64..}, {@code ..127}.
 *   <li>{@code fits}: if the strategy is fused, there are enough groups for every compute unit, and they stay in the
 *       cache; if it keeps groups in registers, they hold one.
 * </ul>
 *
 * <p>Parameters take the place of the strategy's own: {@code tile}, {@code vectors}, and {@code stream}, the elements from
 * which on outputs bypass the cache, {@code always} or {@code never}.
 *
 * @param rows in the order in which they are asked
 */
public record StrategyTable(List<Row> rows) {
    /** Without rows. */
    public static final StrategyTable EMPTY = new StrategyTable(List.of());

    /** What was measured when the library was made, by type of device and vendor; it has a row for every case. */
    public static final StrategyTable DEFAULTS = defaults();

    /** More of either would not be compiled in any reasonable time. */
    private static final int MOST_TILE = 64;

    private static final int MOST_VECTORS = 1024;

    /** How the elements of a view lie, as far as strategies are concerned. */
    public enum Pattern {
        /** Long runs of contiguous elements. */
        SEGMENTED,
        /** Columns of a matrix. */
        COLUMNAR,
        /** Segments so short that several groups, which lie side by side, are better gone over together. */
        PLANES;

        /** That of a view. */
        public static Pattern of(View view) {
            return view instanceof View.Columnar
                    ? COLUMNAR
                    : Strategy.smallPlanes(view).isPresent() ? PLANES : SEGMENTED;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Numbers from one to another, both included. */
    public record Range(long from, long to) {
        /** All numbers. */
        public static final Range ALL = new Range(0, Long.MAX_VALUE);

        boolean contains(long value) {
            return from <= value && value <= to;
        }

        static Range parse(String text) {
            int dots = text.indexOf("..");
            if (dots < 0) {
                long only = number(text);
                return new Range(only, only);
            }
            String from = text.substring(0, dots);
            String to = text.substring(dots + 2);
            return new Range(from.isEmpty() ? 0 : number(from), to.isEmpty() ? Long.MAX_VALUE : number(to));
        }

        @Override
        public String toString() {
            return from == to ? "" + from : (from == 0 ? "" : from) + ".." + (to == Long.MAX_VALUE ? "" : to);
        }
    }

    /**
     * When a row counts.
     *
     * @param types of device; none for all, as with passes and patterns
     * @param platform a part of its name in lower case, or empty, as with vendor and name
     * @param mustFit whether the strategy must fit the view and the device
     */
    public record Condition(
            Set<DeviceInfo.Kind> types,
            String platform,
            String vendor,
            String name,
            Set<Pass> passes,
            Set<Pattern> patterns,
            Range groups,
            Range size,
            Range elements,
            boolean mustFit) {
        boolean holds(DeviceFacts facts, Pass pass, View view) {
            return (types.isEmpty() || types.contains(facts.kind()))
                    && contains(facts.platform(), platform)
                    && contains(facts.vendor(), vendor)
                    && contains(facts.name(), name)
                    && (passes.isEmpty() || passes.contains(pass))
                    && (patterns.isEmpty() || patterns.contains(Pattern.of(view)))
                    && groups.contains(view.groups())
                    && size.contains(view.groupSize())
                    && elements.contains(view.groups() * view.groupSize());
        }

        private static boolean contains(String text, String part) {
            return text.toLowerCase(Locale.ROOT).contains(part);
        }

        @Override
        public String toString() {
            return words(
                    list("type", types),
                    part("platform", platform),
                    part("vendor", vendor),
                    part("name", name),
                    list("pass", passes),
                    list("pattern", patterns),
                    range("groups", groups),
                    range("size", size),
                    range("elements", elements),
                    mustFit ? "fits" : "");
        }

        private static <T extends Enum<T>> String list(String key, Set<T> values) {
            return values.isEmpty()
                    ? ""
                    : key + "="
                            + new TreeSet<>(values)
                                    .stream()
                                            .map(value -> value.toString().toLowerCase(Locale.ROOT))
                                            .collect(Collectors.joining(","));
        }

        private static String part(String key, String value) {
            return value.isEmpty() ? "" : key + "=" + value;
        }

        private static String range(String key, Range range) {
            return range.equals(Range.ALL) ? "" : key + "=" + range;
        }
    }

    /**
     * A row.
     *
     * @param strategy its name
     * @param tile in place of the strategy's own; 0 for that
     * @param vectors in place of the strategy's own; 0 for that
     * @param streamFrom outputs of at least so many elements bypass the cache; −1 where the strategy's own word counts
     * @param why the reason, for people
     */
    public record Row(Condition condition, String strategy, int tile, int vectors, long streamFrom, String why) {
        /** The row that gives exactly this strategy. */
        public static Row of(Condition condition, Strategy strategy, String why) {
            return new Row(
                    condition,
                    strategy.name(),
                    strategy.tile(),
                    strategy.vectors(),
                    strategy.stream() ? 0 : Long.MAX_VALUE,
                    why);
        }

        /** Its strategy for a view, with its parameters; empty where the device has none of that name. */
        private Stream<Strategy> strategyFor(DeviceFacts facts, View view) {
            return Strategy.all(facts).stream()
                    .filter(one -> one.name().equals(strategy))
                    .map(one -> one.withTile(tile > 0 ? tile : one.tile())
                            .withVectors(vectors > 0 ? vectors : one.vectors())
                            .withStream(streamFrom < 0 ? one.stream() : view.elements() >= streamFrom));
        }

        @Override
        public String toString() {
            return words(
                            condition.toString(),
                            "=>",
                            strategy,
                            tile > 0 ? "tile=" + tile : "",
                            vectors > 0 ? "vectors=" + vectors : "",
                            streamFrom < 0
                                    ? ""
                                    : "stream="
                                            + (streamFrom == 0
                                                    ? "always"
                                                    : streamFrom == Long.MAX_VALUE ? "never" : "" + streamFrom))
                    + " | " + why;
        }
    }

    /** Copies the rows. */
    public StrategyTable {
        rows = List.copyOf(rows);
    }

    /** This table's rows, and after them those of another. */
    public StrategyTable before(StrategyTable other) {
        return new StrategyTable(
                Stream.concat(rows.stream(), other.rows.stream()).toList());
    }

    /**
     * What the first row says that matches and whose strategy the device has.
     *
     * @throws IllegalStateException when there is none; {@link #DEFAULTS} always has one
     */
    Strategy strategyFor(DeviceFacts facts, Pass pass, View view) {
        return rows.stream()
                .filter(row -> row.condition.holds(facts, pass, view))
                .flatMap(row -> row.strategyFor(facts, view)
                        .filter(strategy -> !row.condition.mustFit || strategy.fits(facts, strategy.reshape(view)))
                        .map(strategy -> strategy.forView(facts, view)))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException(
                        "No strategy of the table runs a " + pass + " pass over " + view + " on " + facts.name()));
    }

    /**
     * From text.
     *
     * @throws IllegalArgumentException for a line that is no row; the message has its number and what is wrong
     */
    public static StrategyTable parse(String text) {
        List<Row> rows = new ArrayList<>();
        int number = 0;
        for (String line : text.split("\n", -1)) {
            number++;
            String row = line.strip();
            if (!row.isEmpty() && !row.startsWith("#")) {
                try {
                    rows.add(parseRow(row));
                } catch (IllegalArgumentException e) {
                    throw new IllegalArgumentException("Line " + number + ": " + e.getMessage() + " in: " + row, e);
                }
            }
        }
        return new StrategyTable(rows);
    }

    private static Row parseRow(String line) {
        int bar = line.indexOf('|');
        int arrow = line.indexOf("=>");
        if (bar < 0 || arrow < 0 || arrow > bar) {
            throw new IllegalArgumentException("expected was 'conditions => strategy parameters | why'");
        }
        String why = line.substring(bar + 1).strip();
        Fields conditions = new Fields(line.substring(0, arrow));
        Fields use = new Fields(line.substring(arrow + 2, bar));
        Condition condition = new Condition(
                conditions.set("type", DeviceInfo.Kind.values()),
                conditions.part("platform"),
                conditions.part("vendor"),
                conditions.part("name"),
                conditions.set("pass", Pass.values()),
                conditions.set("pattern", Pattern.values()),
                conditions.take("groups", Range::parse, Range.ALL),
                conditions.take("size", Range::parse, Range.ALL),
                conditions.take("elements", Range::parse, Range.ALL),
                conditions.word("fits"));
        conditions.end();
        Row row = new Row(
                condition,
                use.firstWord(),
                use.take("tile", value -> upTo(MOST_TILE, value), 0),
                use.take("vectors", value -> upTo(MOST_VECTORS, value), 0),
                use.take("stream", StrategyTable::streamFrom, -1L),
                why);
        use.end();
        if (why.isEmpty()) {
            throw new IllegalArgumentException("after | the reason is missing");
        }
        return row;
    }

    private static long streamFrom(String text) {
        return switch (text) {
            case "always" -> 0;
            case "never" -> Long.MAX_VALUE;
            default -> number(text);
        };
    }

    private static int upTo(int most, String text) {
        long value = number(text);
        if (value < 1 || value > most) {
            throw new IllegalArgumentException("expected was a number from 1 to " + most + ", not '" + text + "'");
        }
        return (int) value;
    }

    private static long number(String text) {
        if (!text.matches("\\d{1,18}")) {
            throw new IllegalArgumentException("expected was a number, not '" + text + "'");
        }
        return Long.parseLong(text);
    }

    private static String words(String... words) {
        return Arrays.stream(words).filter(word -> !word.isEmpty()).collect(Collectors.joining(" "));
    }

    /** The words of one side of a row, taken one after another; what is left at the end nobody knows. */
    private static final class Fields {
        private final List<String> left;
        private final Set<String> taken = new HashSet<>();

        Fields(String text) {
            left = new ArrayList<>(
                    text.isBlank() ? List.of() : List.of(text.strip().split("\\s+")));
        }

        String firstWord() {
            if (left.isEmpty() || left.get(0).contains("=")) {
                throw new IllegalArgumentException("after => a strategy's name is missing");
            }
            return left.remove(0);
        }

        boolean word(String word) {
            taken.add(word);
            return left.remove(word);
        }

        <T> T take(String key, Function<String, T> parse, T absent) {
            for (String word : left) {
                if (word.startsWith(key + "=")) {
                    left.remove(word);
                    taken.add(key);
                    return parse.apply(word.substring(key.length() + 1));
                }
            }
            return absent;
        }

        String part(String key) {
            return take(key, value -> value.toLowerCase(Locale.ROOT), "");
        }

        <T extends Enum<T>> Set<T> set(String key, T[] values) {
            return take(
                    key,
                    text -> Set.copyOf(Arrays.stream(text.split(","))
                            .map(word -> of(word, values))
                            .toList()),
                    Set.of());
        }

        private static <T extends Enum<T>> T of(String word, T[] values) {
            return Arrays.stream(values)
                    .filter(value -> value.name().equalsIgnoreCase(word))
                    .findFirst()
                    .orElseThrow(() -> new IllegalArgumentException("'" + word + "' is none of "
                            + Arrays.toString(values).toLowerCase(Locale.ROOT)));
        }

        void end() {
            if (!left.isEmpty()) {
                String key = left.get(0).replaceFirst("=.*", "");
                throw new IllegalArgumentException(
                        "'" + (taken.contains(key) ? key + "' is there twice" : left.get(0) + "' is unknown"));
            }
        }
    }

    private static StrategyTable defaults() {
        try (InputStream in = StrategyTable.class.getResourceAsStream("strategies.txt")) {
            return parse(
                    new String(Objects.requireNonNull(in, "strategies.txt").readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException("strategies.txt cannot be read", e);
        }
    }

    /** As text, a line for each row. */
    @Override
    public String toString() {
        return rows.stream().map(row -> row + "\n").collect(Collectors.joining());
    }
}
