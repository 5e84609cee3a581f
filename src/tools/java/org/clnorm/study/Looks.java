package org.clnorm.study;

import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/**
 * The times in a training at which something is looked at, as far apart as each other: the first before its first step, the last
 * after its last one.
 *
 * @param count how many
 * @param every steps from one to the next
 */
record Looks(int count, int every) {
    /** So many in a training of about so many steps, or of fewer in a quick study. */
    static Looks of(Lab lab, int count, int steps) {
        return new Looks(count, Math.max(1, lab.steps(steps) / (count - 1)));
    }

    /** The steps of the training. */
    int steps() {
        return (count - 1) * every;
    }

    /** The steps that were made before each. */
    double[] xs() {
        return IntStream.range(0, count).mapToDouble(look -> look * every).toArray();
    }

    /** What is to be done before a step so that each look, counted from 0, is made in time. */
    IntConsumer make(IntConsumer look) {
        return step -> {
            if (step % every == 0) {
                look.accept(step / every);
            }
        };
    }
}
