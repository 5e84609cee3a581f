package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateStep;
import org.clnorm.plan.Launch;
import org.clnorm.plan.StrategyChoice;
import org.clnorm.plan.Updates;

/**
 * The tensors of an optimizer, with kernels of their own: memory is given to them once, and in each step only the numbers
 * that changed. Kernels are made at the first step. Used under the lock of its queue.
 */
final class OpenClUpdate implements PreparedUpdate, HasKernels {
    /** A kernel, and where its parameters stand. */
    private record Member(Kernel kernel, Map<String, Integer> places) {
        static Member of(Launch launch, Kernels kernels) {
            return new Member(kernels.prepare(launch), Kernel.places(launch));
        }

        void give(String name, Operand operand) {
            kernel.give(places.get(name), operand == null ? null : (OpenClMemory) operand.memory());
        }

        void giveTensor(String name, Operand operand) {
            give(name, operand);
            kernel.set(places.get(name) + 1, operand == null ? 0L : operand.offset());
        }

        void set(String name, double value) {
            kernel.set(places.get(name), (float) value);
        }

        void set(String name, int value) {
            kernel.set(places.get(name), value);
        }
    }

    private record Batch(Updates.Batch of, Member update, Member norm) {}

    private final PassQueue queue;
    private final List<Updated> tensors;
    private final UpdateRoom room;
    private final Updates plan;
    private final OpenClMemory[] memories;
    private final List<Batch> batches = new ArrayList<>();
    /** All that has a kernel. */
    private final List<Member> made = new ArrayList<>();

    private Member fold;
    private boolean isClosed;
    /** What the kernels are set to; null before the first step. */
    private UpdateStep step;

    private GradientChange change;

    OpenClUpdate(PassQueue queue, List<Updated> tensors, UpdateRoom room, StrategyChoice choice) {
        this.queue = queue;
        this.tensors = List.copyOf(tensors);
        this.room = room;
        this.plan = Updates.of(tensors.stream().map(Updated::elements).toList(), choice.forCopies(), choice.facts());
        Set<OpenClMemory> all = new LinkedHashSet<>();
        Stream.concat(
                        tensors.stream().flatMap(each -> Stream.of(each.value(), each.gradient())),
                        Stream.of(room.first(), room.second(), room.norm()).filter(Objects::nonNull))
                .forEach(operand -> all.add((OpenClMemory) operand.memory()));
        this.memories = all.toArray(OpenClMemory[]::new);
    }

    @Override
    public void run(UpdateStep step, GradientChange change, BitSet skipped) {
        queue.doOn(memories, () -> {
            if (isClosed) {
                throw new IllegalStateException("The prepared update is closed");
            }
            if (batches.isEmpty()) {
                prepare();
            }
            set(step, change, skipped);
            launch();
        });
    }

    private void prepare() {
        try {
            for (Updates.Batch batch : plan.batches()) {
                Member update = Member.of(batch.update(), queue.kernels());
                made.add(update);
                giveTensors(batch, update);
                update.give("norm", room.norm());
                update.giveTensor("first", room.first());
                update.giveTensor("second", room.second());
                int decayed = 0;
                for (int i = 0; i < batch.count(); i++) {
                    decayed |= tensors.get(batch.first() + i).decays() ? 1 << i : 0;
                }
                update.set("decayed", decayed);
                Member norm = null;
                if (room.norm() != null) {
                    norm = Member.of(batch.norm(), queue.kernels());
                    made.add(norm);
                    giveTensors(batch, norm);
                }
                batches.add(new Batch(batch, update, norm));
            }
            if (room.norm() != null) {
                fold = Member.of(plan.fold(), queue.kernels());
                made.add(fold);
                fold.give("norm", room.norm());
            }
        } catch (RuntimeException e) {
            releaseKernels();
            throw e;
        }
    }

    private void giveTensors(Updates.Batch batch, Member to) {
        for (int i = 0; i < Updates.MOST; i++) {
            Updated tensor = i < batch.count() ? tensors.get(batch.first() + i) : null;
            to.giveTensor("value_" + i, tensor == null ? null : tensor.value());
            to.giveTensor("gradient_" + i, tensor == null ? null : tensor.gradient());
        }
    }

    private void set(UpdateStep wanted, GradientChange wantedChange, BitSet skipped) {
        boolean same = wanted.equals(step);
        boolean sameChange = wantedChange.equals(change);
        step = null; // until all are set
        change = null;
        for (Batch batch : batches) {
            int left = 0;
            for (int i = 0; i < batch.of.count(); i++) {
                left |= skipped.get(batch.of.first() + i) ? 1 << i : 0;
            }
            for (Member member : batch.norm == null ? List.of(batch.update) : List.of(batch.update, batch.norm)) {
                member.set("skipped", left);
                if (!sameChange) {
                    member.set("scale", wantedChange.scale());
                    member.set("most", wantedChange.most());
                }
            }
            if (!same) {
                set(batch.update, wanted);
            }
        }
        if (fold != null && !sameChange) {
            fold.set("max_norm", wantedChange.maxNorm());
        }
        step = wanted;
        change = wantedChange;
    }

    private static void set(Member update, UpdateStep step) {
        update.set("kind", step.kind().ordinal());
        update.set("rate", step.rate());
        update.set("decay", step.decay());
        update.set("shrink", step.shrink());
        update.set("momentum", step.momentum());
        update.set("first_gain", step.firstGain());
        update.set("second_gain", step.secondGain());
        update.set("epsilon", step.epsilon());
        update.set("root", step.root());
        update.set("nesterov", step.nesterov() ? 1 : 0);
    }

    private void launch() {
        if (fold != null) {
            Operand partials = queue.partials(Math.max(1, plan.partials()));
            for (Batch batch : batches) {
                batch.norm.give("partials", partials);
                queue.launch(batch.norm.kernel, null);
            }
            fold.give("partials", partials);
            queue.launch(fold.kernel, null);
        }
        batches.forEach(batch -> queue.launch(batch.update.kernel, null));
    }

    @Override
    public void close() {
        queue.close(this);
    }

    @Override
    public void release() {
        isClosed = true;
        releaseKernels();
    }

    private void releaseKernels() {
        made.forEach(member -> member.kernel.release());
        made.clear();
        batches.clear();
        fold = null;
    }
}
