package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.clnorm.verify.VerifierQueue.Task;
import org.junit.jupiter.api.Test;

class VerifierQueueTest {
    private static List<Task> tasks(int count) {
        return IntStream.range(0, count).mapToObj(i -> new Task("auto", i)).toList();
    }

    @Test
    void next_manyWorkers_givesEachTaskOnce() {
        for (int count : new int[] {0, 1, 2, 7, 100}) {
            for (int workers : new int[] {1, 2, 3, 16}) {
                VerifierQueue queue = new VerifierQueue(tasks(count), workers);
                List<Task> given = new ArrayList<>();
                for (int worker = 0; given.size() < count; worker = (worker + 1) % workers) {
                    Task task = queue.next(worker);
                    if (task != null) {
                        given.add(task);
                    }
                }

                assertThat(given).containsExactlyInAnyOrderElementsOf(tasks(count));
                for (int worker = 0; worker < workers; worker++) {
                    assertThat(queue.next(worker)).isNull();
                }
            }
        }
    }

    @Test
    void next_oneOfTwo_hasNeighboursAndThenHalfOfWhatTheOtherHasLeft() {
        VerifierQueue queue = new VerifierQueue(tasks(8), 2);
        queue.next(1);

        List<Integer> first = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            first.add(queue.next(0).index());
        }

        assertThat(first)
                .as("its own are 0 to 3, and of the 5, 6, 7 that the other has left 6 and 7")
                .containsExactly(0, 1, 2, 3, 6, 7);
        assertThat(queue.next(1).index()).isEqualTo(5);
    }

    @Test
    void next_slowWorker_keepsNobodyWaiting() {
        VerifierQueue queue = new VerifierQueue(tasks(64), 4);
        Set<Task> given = new HashSet<>(Set.of(queue.next(3)));

        for (Task task = queue.next(0); task != null; task = queue.next(0)) {
            given.add(task);
        }

        assertThat(given)
                .as("one worker runs all that the others do not come to")
                .hasSize(64);
    }
}
