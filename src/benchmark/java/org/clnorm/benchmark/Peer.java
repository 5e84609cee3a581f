package org.clnorm.benchmark;

/** A library that normalizes. */
interface Peer extends AutoCloseable {
    /** A task made ready: nothing is allocated for the first time, or compiled, in a measured call. */
    interface Call {
        /** Does the task on one of the sets of tensors, and waits until it is done. */
        void run(int set);

        /** The same {@code count} times, from set {@code first} on. */
        default void run(int first, int count, Sets sets) {
            for (int i = 0; i < count; i++) {
                run((first + i) % sets.count());
            }
        }

        /** How long that takes, in seconds of one call. */
        default double seconds(int first, int count, Sets sets) {
            long start = System.nanoTime();
            run(first, count, sets);
            return (System.nanoTime() - start) * 1e-9 / count;
        }

        /** Does the task on set 0 and returns y, or dx, in memory order. */
        float[] result();
    }

    String name();

    boolean supports(Task task);

    /** Whether it only copies x. */
    default boolean copies() {
        return false;
    }

    Call prepare(Task task, Sets sets);

    @Override
    default void close() {}
}
