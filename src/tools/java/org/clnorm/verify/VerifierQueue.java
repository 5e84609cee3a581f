package org.clnorm.verify;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Hands out cases to workers. Each worker has a range of neighbours, which have most of their binaries in common; one that
 * is through with its own takes the latter half of the longest range that is left.
 */
final class VerifierQueue {
    /** A case under a strategy. */
    record Task(String strategy, int index) {}

    private static final class Range {
        int next;
        int end;

        Range(int next, int end) {
            this.next = next;
            this.end = end;
        }

        int left() {
            return end - next;
        }
    }

    private final List<Task> tasks;
    private final List<Range> ranges = new ArrayList<>();

    /** @param tasks such that neighbours have much in common */
    VerifierQueue(List<Task> tasks, int workers) {
        this.tasks = List.copyOf(tasks);
        for (int worker = 0; worker < workers; worker++) {
            ranges.add(new Range(at(worker, workers), at(worker + 1, workers)));
        }
    }

    private int at(int worker, int workers) {
        return (int) ((long) tasks.size() * worker / workers);
    }

    /** What a worker is to run next; null when nothing is left. */
    synchronized Task next(int worker) {
        Range own = ranges.get(worker);
        if (own.left() == 0) {
            Range longest =
                    ranges.stream().max(Comparator.comparingInt(Range::left)).orElseThrow();
            int half = (longest.left() + 1) / 2;
            own.end = longest.end;
            own.next = longest.end - half;
            longest.end -= half;
        }
        return own.left() == 0 ? null : tasks.get(own.next++);
    }
}
