package org.clnorm.mpi;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.clnorm.BatchNorm;
import org.clnorm.Parameter;
import org.clnorm.Tensor;

/**
 * Training of one network by the ranks of a {@link Group}, each with the network, a device, and a part of every batch. What it
 * is asked for is numbered in the order of asking, so that all ranks ask for the same in the same order.
 *
 * <p>Every message says which it is, from what, and of which settings, in four numbers before those that it is for. A rank that is
 * in another call than the others, in a layer with other settings or elements of another type, or in a call that fails, is found
 * out with that message: all ranks then tell each other what they were in, and each throws a {@link GroupException} with the
 * words of all. The first message of a layer is preceded by one of these four numbers alone, so that layers of different sizes are
 * found before they exchange anything else.
 *
 * <p>One of each rank, which is used by one thread at a time.
 */
public final class DataParallel implements AutoCloseable {
    /** How many numbers each message begins with: its number, what it is from, the checksum of the settings, and its length. */
    static final int HEADER = 4;

    /** In the place of the length, where the rank that sends the message has failed. */
    private static final int FAILED = -1;

    private final Group group;
    private int members;
    private long messages;
    private GroupException fault;
    private boolean isClosed;
    /** The messages of several layers, by those of each. */
    private final Map<List<Call>, Call> joint = new HashMap<>();

    private double[] own = {};
    private double[] all = {};

    /**
     * Begins with a group; a {@linkplain Group#sub part} of one serves as well, for statistics over the part's batches only.
     *
     * @param group the group as this rank sees it, which is closed with this
     */
    public DataParallel(Group group) {
        this.group = Objects.requireNonNull(group, "group");
    }

    /** The ranks that train together. */
    public Group group() {
        return group;
    }

    /**
     * A layer whose statistics are those of the parts of all ranks.
     *
     * @param layer this rank's layer, which is the caller's; without virtual batches and renormalization
     */
    public SyncBatchNorm synchronize(BatchNorm layer) {
        return new SyncBatchNorm(this, nextMember(), Objects.requireNonNull(layer, "layer"));
    }

    /**
     * The sum over the ranks of the gradients of some parameters: all of this rank's layers, as a rule, once per step. Those that
     * are frozen are left out.
     *
     * @param parameters at least one, in the same order on all ranks
     * @throws IllegalArgumentException for none
     */
    public GradientSum gradientsOf(Collection<? extends Parameter> parameters) {
        Objects.requireNonNull(parameters, "parameters")
                .forEach(each -> Objects.requireNonNull(each, "parameters has null in it"));
        return gradients(
                "parameters", parameters.stream().map(GradientSum.Source::of).toList());
    }

    /**
     * The sum over the ranks of what some tensors hold: the gradients of a program's own weights, and those of layers' parameters
     * that are to go in the same message.
     *
     * @param tensors at least one, of the same shapes in the same order on all ranks; they stay the caller's
     * @throws IllegalArgumentException for none
     */
    public GradientSum gradientsIn(Collection<Tensor> tensors) {
        Objects.requireNonNull(tensors, "tensors")
                .forEach(each -> Objects.requireNonNull(each, "tensors has null in it"));
        return gradients("tensors", tensors.stream().map(GradientSum.Source::of).toList());
    }

    private GradientSum gradients(String what, List<GradientSum.Source> sources) {
        if (sources.isEmpty()) {
            throw new IllegalArgumentException(
                    what + " must have at least one, to add up gradients of, but given was none");
        }
        return new GradientSum(this, nextMember(), sources);
    }

    /**
     * Finishes passes that have begun, of one layer or several, by one message: as where a network has branches, whose layers
     * stand beside each other. Those that need nothing of other ranks, in evaluation mode, need no message. All ranks must make
     * this call, with passes of the same layers in the same order.
     *
     * @param steps at least one, each of another layer of this
     * @throws IllegalArgumentException for none, for those of another group's layers, and for what a pass refuses
     * @throws GroupException when ranks are not in the same call with the same settings, or one is missing
     * @throws IllegalStateException for what a pass refuses, for one that was finished before, and when a layer, the device or the
     *     group is closed
     */
    public synchronized void finish(SyncStep... steps) {
        if (Objects.requireNonNull(steps, "steps").length == 0) {
            throw new IllegalArgumentException("steps must have at least one, to be finished, but given was none");
        }
        for (SyncStep step : steps) {
            if (Objects.requireNonNull(step, "steps has null in it").ranks() != this) {
                throw new IllegalArgumentException("A " + step + " belongs to " + step.ranks() + ", not to " + this);
            }
        }
        Arrays.stream(steps).forEach(SyncStep::close);
        List<SyncStep> shared = Arrays.stream(steps).filter(SyncStep::isShared).toList();
        Gathered all = shared.isEmpty() ? null : gather(shared);
        int from = 0;
        for (SyncStep step : steps) {
            step.complete(all, from);
            from += step.isShared() ? step.length() : 0;
        }
    }

    /** Exchanges the numbers of some steps, or the word that there are none. */
    private Gathered gather(List<SyncStep> steps) {
        Call call = steps.size() == 1
                ? steps.get(0).call()
                : joint.computeIfAbsent(steps.stream().map(SyncStep::call).toList(), Call::new);
        boolean agreed = steps.stream().allMatch(step -> step.of().hasAgreed());
        double[] numbers = new double[steps.stream().mapToInt(SyncStep::length).sum()];
        try {
            int at = 0;
            for (SyncStep step : steps) {
                System.arraycopy(step.numbers(), 0, numbers, at, step.length());
                at += step.length();
            }
        } catch (RuntimeException e) {
            tell(call, agreed ? numbers.length : 0, e);
            throw e;
        }
        if (!agreed) {
            agree(call);
            steps.forEach(step -> step.of().agreed());
        }
        return gather(call, numbers);
    }

    private synchronized int nextMember() {
        return members++;
    }

    /** What a message is from, as all ranks must be. */
    static final class Call {
        private final int member;
        private final int direction;
        private final String purpose;
        private final String words;
        private final double checksum;

        /**
         * @param member the number of what makes the call
         * @param direction which of its calls it is, from 0 to 7
         * @param purpose what it is
         * @param settings all in which ranks must agree
         */
        Call(int member, int direction, String purpose, String settings) {
            this.member = member;
            this.direction = direction;
            this.purpose = purpose;
            this.words = purpose + ": " + settings;
            this.checksum = checksumOf(words);
        }

        /** The calls of several layers in one message. */
        Call(List<Call> calls) {
            this.member = calls.get(0).member;
            this.direction = calls.get(0).direction;
            this.purpose = calls.stream().map(call -> call.purpose).collect(Collectors.joining(", with "));
            this.words = calls.stream().map(call -> call.words).collect(Collectors.joining(", with "));
            this.checksum = checksumOf(words);
        }

        /** 32 bits by FNV-1a, which a double has room for. */
        private static double checksumOf(String words) {
            int hash = 0x811c9dc5;
            for (int i = 0; i < words.length(); i++) {
                hash = (hash ^ words.charAt(i)) * 0x01000193;
            }
            return hash;
        }
    }

    /** Numbers of all ranks, until the next message. */
    final class Gathered {
        private final int length;

        private Gathered(int length) {
            this.length = length;
        }

        /** So many of each rank from one on, in the order of ranks. */
        List<double[]> parts(int from, int count) {
            return IntStream.range(0, group.size())
                    .map(rank -> rank * (HEADER + length) + HEADER + from)
                    .mapToObj(at -> Arrays.copyOfRange(all, at, at + count))
                    .toList();
        }

        /** One number of one rank. */
        double get(int rank, int index) {
            return all[rank * (HEADER + length) + HEADER + index];
        }
    }

    /** Makes sure that all ranks are in the same call, before they exchange anything by it. */
    synchronized void agree(Call call) {
        exchange(call, new double[0], null);
    }

    /** Gives numbers, and gets those of all ranks. */
    synchronized Gathered gather(Call call, double[] numbers) {
        return exchange(call, numbers, null);
    }

    /** Tells the other ranks, in the place of a message of so many numbers, that this one has failed. */
    synchronized void tell(Call call, int length, RuntimeException failure) {
        try {
            exchange(call, new double[length], failure);
        } catch (IllegalStateException e) { // of a group that has failed, or that this rank has left
            failure.addSuppressed(e);
        }
    }

    private Gathered exchange(Call call, double[] numbers, RuntimeException failure) {
        if (isClosed) {
            throw new IllegalStateException("This rank has left the group");
        }
        if (fault != null) {
            throw fault;
        }
        int stride = HEADER + numbers.length;
        if (own.length != stride) {
            own = new double[stride];
            all = new double[stride * group.size()];
        }
        own[0] = ++messages;
        own[1] = 8.0 * call.member + call.direction;
        own[2] = call.checksum;
        own[3] = failure == null ? numbers.length : FAILED;
        System.arraycopy(numbers, 0, own, HEADER, numbers.length);
        try {
            group.allGather(call.purpose, own, all);
        } catch (GroupException e) {
            if (e.isOfLengths()) {
                throw differing(call, failure);
            }
            throw broken(e);
        }
        for (int r = 0; r < group.size(); r++) {
            if (!Arrays.equals(own, 0, HEADER, all, r * stride, r * stride + HEADER)) {
                throw differing(call, failure);
            }
        }
        return new Gathered(numbers.length);
    }

    private GroupException broken(GroupException why) {
        fault = why;
        group.fail(why.getMessage());
        return why;
    }

    /** After a message in which ranks differ, which all of them see: what each of them is in. */
    private GroupException differing(Call call, RuntimeException failure) {
        String words = "message " + messages + ", " + call.words + (failure == null ? "" : " FAILED: " + failure);
        double[] text = Words.toNumbers(words);
        double[] texts = new double[text.length * group.size()];
        try {
            group.allGather(call.purpose, text, texts);
        } catch (GroupException e) {
            return broken(new GroupException(
                    "Ranks are not in the same call, and " + group + " is in " + words + "; " + e.getMessage()));
        }
        Map<String, List<Integer>> ranksIn = new LinkedHashMap<>();
        for (int r = 0; r < group.size(); r++) {
            String its = Words.of(Arrays.copyOfRange(texts, r * text.length, (r + 1) * text.length));
            ranksIn.computeIfAbsent(its, key -> new ArrayList<>()).add(r);
        }
        String each = ranksIn.entrySet().stream()
                .map(in -> "rank " + in.getValue().get(0) + " is in " + in.getKey()
                        + (in.getValue().size() == 1
                                ? ""
                                : ", like " + (in.getValue().size() - 1) + " more"))
                .collect(Collectors.joining("; "));
        return broken(new GroupException("Ranks are not in the same call, or one has failed: " + each));
    }

    /**
     * Leaves the group, together with all others: ranks that are in another call then get a {@link GroupException}, as this one
     * does, and learn so of a rank that leaves because of an exception. Closing twice is harmless.
     *
     * @throws GroupException when the others do not leave too
     */
    @Override
    public synchronized void close() {
        if (isClosed) {
            return;
        }
        try {
            if (fault == null) {
                agree(new Call(members, 7, "leaving the group", members + " layers and sums"));
            }
        } finally {
            isClosed = true;
            group.close();
        }
    }

    /** The rank, of how many, and what was asked for so far. */
    @Override
    public String toString() {
        return "data-parallel training as " + group + ", " + members + " layers and sums";
    }
}
