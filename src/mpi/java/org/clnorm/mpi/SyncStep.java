package org.clnorm.mpi;

import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.clnorm.mpi.DataParallel.Call;
import org.clnorm.mpi.DataParallel.Gathered;

/**
 * A pass of a {@link SyncBatchNorm} that has begun: what this rank has to tell the others is being computed, and nobody waits for
 * it yet. What is enqueued on the device from here on runs while {@link #finish} waits for the other ranks; it is to be of other
 * layers, and to leave the tensors of this pass as they are. Steps of several layers may be finished by {@linkplain
 * DataParallel#finish one message}.
 */
public final class SyncStep {
    private final DataParallel ranks;
    private final SyncBatchNorm of;
    /** Null where there is nothing to tell. */
    private final Call call;

    private final Consumer<List<double[]>> rest;
    /** Of what is to be told; null where there is nothing, or where it has failed. */
    private Supplier<double[]> numbers;

    private RuntimeException failure;
    private boolean isFinished;

    /**
     * Begins. What fails here is told in the place of the numbers, and thrown by {@link #finish}.
     *
     * @param call what ranks must agree in
     * @param begin gives what waits for this rank's numbers
     * @param rest what is done with those of all ranks
     */
    SyncStep(
            DataParallel ranks,
            SyncBatchNorm of,
            Call call,
            Supplier<Supplier<double[]>> begin,
            Consumer<List<double[]>> rest) {
        this.ranks = ranks;
        this.of = of;
        this.call = call;
        this.rest = rest;
        try {
            this.numbers = begin.get();
        } catch (RuntimeException e) {
            this.failure = e;
        }
    }

    /** One of which the other ranks need to know nothing. */
    SyncStep(DataParallel ranks, SyncBatchNorm of, Runnable all) {
        this.ranks = ranks;
        this.of = of;
        this.call = null;
        this.rest = none -> all.run();
    }

    /**
     * Exchanges this rank's numbers with the others', and enqueues the rest of the pass. All ranks must make this call.
     *
     * @throws IllegalArgumentException for what the pass refuses
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException for what the pass refuses, when it was finished before, and when the layer, the device or the
     *     group is closed
     */
    public void finish() {
        ranks.finish(this);
    }

    /** Whether there is something to tell. */
    boolean isShared() {
        return call != null;
    }

    Call call() {
        return call;
    }

    SyncBatchNorm of() {
        return of;
    }

    DataParallel ranks() {
        return ranks;
    }

    /** How many numbers it has to tell. */
    int length() {
        return 1 + 2 * of.layer().channels();
    }

    /** Ends it for its caller, once. */
    void close() {
        if (isFinished) {
            throw new IllegalStateException("This pass of " + of + " was finished before");
        }
        isFinished = true;
    }

    /** This rank's numbers, for which it waits; throws what it has failed by. */
    double[] numbers() {
        if (failure != null) {
            throw failure;
        }
        return numbers.get();
    }

    /** @param all the numbers of all steps of a message, of which this one's begin at {@code from}; null for one that tells none */
    void complete(Gathered all, int from) {
        rest.accept(call == null ? List.of() : all.parts(from, length()));
    }

    /** The layer, and whether it was finished. */
    @Override
    public String toString() {
        return (isFinished ? "finished" : "begun") + " pass of " + of;
    }
}
