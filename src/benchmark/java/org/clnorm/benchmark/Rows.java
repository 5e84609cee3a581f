package org.clnorm.benchmark;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.bench.against.Spread;

/**
 * Rows chosen by their words, those of {@code clnorm bench --rows}. Each ratio is the median over the rounds of what the two
 * took in the same round, with the interval of 95 % around it.
 */
final class Rows implements Predicate<Task> {
    private static final Set<String> COPIES =
            Set.of(Copy.STREAMED, Copy.PLAIN, Report.LIMIT_COPY, Guest.copyOf(Report.DL4J));

    private final List<List<String>> wanted;

    /** None given means all. */
    Rows(List<String> wanted) {
        this.wanted = wanted.stream()
                .map(words -> List.of(words.strip().split("\\s+")))
                .toList();
    }

    boolean all() {
        return wanted.isEmpty();
    }

    /** Also of blocks, which are no layout of ours, where one of ours is wanted. */
    @Override
    public boolean test(Task task) {
        return all()
                || (task.form() == Form.BLOCKED
                        ? Arrays.stream(Layout.values()).anyMatch(layout -> has(row(task, layout)))
                        : has(row(task, task.form().layout())));
    }

    private boolean has(Workload row) {
        return wanted.stream().anyMatch(words -> row.rowWords().containsAll(words));
    }

    private static Workload row(Task task, Layout layout) {
        return new Workload(task.norm(), task.direction(), task.shape(), layout, task.fusion(), DataType.FLOAT32);
    }

    /** Whether one of these is wanted. */
    boolean any(Norm norm, Shape shape, Direction direction, List<Fusion> fusions) {
        return fusions.stream()
                .flatMap(fusion ->
                        Arrays.stream(Form.values()).map(form -> new Task(norm, shape, form, direction, fusion)))
                .anyMatch(this);
    }

    /** A line for each row of ours, with what each peer takes times ours. */
    void print(Contest.Result result) {
        for (Timing own : result.timings()) {
            if (!own.peer().startsWith(Report.CLNORM) || Double.isNaN(own.milliseconds())) {
                continue;
            }
            Task task = own.task();
            Workload row = row(task, task.form().layout());
            StringBuilder line = new StringBuilder(String.format(
                    Locale.ROOT,
                    "%s%s %.2f MB %.4f ms",
                    String.join(" ", row.rowWords()),
                    own.peer().substring(Report.CLNORM.length()),
                    row.minimalBytes() / 1e6,
                    own.milliseconds()));
            double copied = 2.0 * Float.BYTES * task.shape().elements();
            result.find(Copy.STREAMED, Form.CHANNELS_FIRST, Fusion.NONE)
                    .ifPresent(copy ->
                            line.append("; of a copy's rate ").append(spread(own, copy, row.minimalBytes() / copied)));
            for (String peer : peers(result)) {
                result.find(peer, task.form(), task.fusion())
                        .ifPresent(other ->
                                line.append("; ").append(peer).append(' ').append(spread(own, other, 1)));
                Optional<Timing> best = result.best(peer, task.fusion())
                        .filter(one -> one.task().form() != task.form());
                best.ifPresent(other -> line.append("; ")
                        .append(peer)
                        .append(' ')
                        .append(other.task().form())
                        .append(' ')
                        .append(spread(own, other, 1)));
            }
            System.out.println(line);
        }
    }

    private static List<String> peers(Contest.Result result) {
        return result.timings().stream()
                .map(Timing::peer)
                .filter(peer -> !peer.startsWith(Report.CLNORM) && !COPIES.contains(peer))
                .distinct()
                .toList();
    }

    private static String spread(Timing own, Timing other, double factor) {
        double[] ratios = Arrays.stream(own.ratios(other))
                .filter(ratio -> !Double.isNaN(ratio))
                .map(ratio -> ratio * factor)
                .toArray();
        if (ratios.length == 0) {
            return Report.NOTHING;
        }
        Spread spread = Spread.of(ratios);
        return String.format(
                Locale.ROOT,
                "%.2f [%.2f %.2f]%s",
                spread.median(),
                spread.low(),
                spread.high(),
                spread.isWide() ? " wide" : "");
    }
}
