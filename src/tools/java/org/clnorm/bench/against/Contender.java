package org.clnorm.bench.against;

import java.util.List;
import java.util.Map;

/**
 * A build of this library in a comparison, whichever build that is: all that two builds in one process know of each
 * other, in terms of the JDK's classes alone.
 *
 * <p>It is the one class of this library that both sides share, so it outlives changes of all others: its name stays, as
 * do its methods, and a new one has a default. Each build implements it for itself ({@link #IMPLEMENTATION}), with a
 * constructor that takes what {@code Handles} has of a backend, a list, and the name of a strategy, or null.
 */
public interface Contender extends AutoCloseable {
    /** The class of each build that is a contender. */
    String IMPLEMENTATION = "org.clnorm.bench.against.BackendContender";

    /**
     * Makes ready for a workload.
     *
     * @param workload as {@code Workload.words} has it
     * @param buffers by what they are for, as {@code Tensors.map} has them: one of each kind, or one for each set
     * @throws UnsupportedOperationException when this build has no such workload; the message says what it lacks
     */
    Work prepare(Map<String, String> workload, Map<String, List<Object>> buffers);

    /** A workload that is ready. */
    interface Work extends AutoCloseable {
        /** Enqueues a call, on the set of tensors whose turn it is. */
        void call(int i);

        /** Frees what is not the buffers. */
        @Override
        void close();
    }

    @Override
    void close();
}
