package org.clnorm;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import org.clnorm.backend.Gate;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateRule;
import org.clnorm.optim.UpdateStep;
import org.clnorm.state.StateDict;

/**
 * Updates parameters on their device, by an {@link UpdateRule}: those of layers, and any other tensors with gradients,
 * such as a program's own convolution weights. A step is one launch for every 16 tensors, and nothing goes to the host
 * or waits for the device.
 *
 * <pre>{@code
 * try (Optimizer optimizer = Optimizer.builder(AdamW.rate(1e-3).weightDecay(0.05))
 *         .add(norm)
 *         .add("conv.weight", weight, weightGradient)
 *         .clipNorm(1)
 *         .build(device)) {
 *     // ... forward, backward ...
 *     optimizer.step();
 * }
 * }</pre>
 *
 * <p>Weight decay spares γ and β, as is common practice (see {@link Parameter#decays}). A parameter that is
 * {@linkplain Parameter#freeze frozen} is left as it is. The numbers of a step are computed in double; parameters,
 * gradients and moments are float32, and what would be no float32, such as the square of 1e30 in Adam's second moment,
 * is infinite, as in PyTorch.
 *
 * <p>An optimizer is for one call at a time, as a layer is. It does not own the parameters, only its moments; a step
 * after one of the parameters was closed changes nothing and throws {@link IllegalStateException}.
 */
public final class Optimizer implements AutoCloseable {
    /** A tensor that is updated; {@code of} is null for a program's own. */
    private record Entry(String name, Tensor value, Tensor gradient, boolean decays, Parameter of) {}

    private final Device device;
    private final UpdateRule rule;
    private final GradientChange change;
    private final List<Entry> entries;
    private final Moments moments;
    private final PreparedUpdate update;
    private final Lease lease;
    private final Gate gate;
    /** The thread that is in. */
    private final AtomicReference<Thread> user = new AtomicReference<>();

    private double rate;
    private long steps;
    private boolean hasNorm;

    private Optimizer(Builder builder, Device device, List<Entry> entries) {
        this.device = device;
        this.rule = builder.rule;
        this.change = builder.change;
        this.rate = rule.rate();
        this.entries = entries;
        List<Memory> memories = new ArrayList<>();
        try {
            long elements = entries.stream()
                    .mapToLong(entry -> entry.value.shape().elements())
                    .sum();
            UpdateRoom room = new UpdateRoom(
                    rule.firstMoment() == null ? null : zeros(elements, memories),
                    rule.secondMoment() == null ? null : zeros(elements, memories),
                    builder.takesNorm ? zeros(2, memories) : null);
            this.update = device.backend()
                    .prepareUpdate(
                            entries.stream()
                                    .map(entry -> new Updated(
                                            entry.value.operand(),
                                            entry.gradient.operand(),
                                            entry.value.shape().elements(),
                                            entry.decays))
                                    .toList(),
                            room);
            this.moments = new Moments(
                    device,
                    rule,
                    entries.stream().map(entry -> entry.value.shape()).toList(),
                    room);
        } catch (RuntimeException e) {
            memories.forEach(Memory::close);
            throw e;
        }
        PreparedUpdate prepared = update;
        this.gate = new Gate(() -> {
            prepared.close();
            memories.forEach(Memory::close);
        });
        Gate shutting = gate; // the lease must not refer to this
        AtomicReference<Thread> inside = user;
        this.lease = device.lease().of(this, "optimizer of " + entries.size() + " parameters", true, () -> {
            shutting.shut();
            if (inside.get() != Thread.currentThread()) { // as of a program's own logging, in the middle of a step
                shutting.awaitRelease();
            }
        });
    }

    private Operand zeros(long elements, List<Memory> memories) {
        Memory memory = device.backend().allocate(elements);
        memories.add(memory);
        Operand operand = new Operand(memory, 0);
        device.backend().fill(operand, elements, 0);
        return operand;
    }

    /** What an optimizer is made of. */
    public static final class Builder {
        private final UpdateRule rule;
        private final List<Entry> entries = new ArrayList<>();
        private GradientChange change = GradientChange.NONE;
        private boolean takesNorm;

        private Builder(UpdateRule rule) {
            this.rule = rule;
        }

        /** Adds a layer's parameters; one that was added before is not added again. */
        public Builder add(Layer layer) {
            return add("", layer);
        }

        /**
         * Adds a layer's parameters, with a name before theirs in messages.
         *
         * @param prefix such as {@code block1.norm}; empty for none
         */
        public Builder add(String prefix, Layer layer) {
            Objects.requireNonNull(prefix, "prefix");
            Objects.requireNonNull(layer, "layer")
                    .parameters()
                    .forEach(each -> add(prefix.isEmpty() ? each.name() : prefix + "." + each.name(), each));
            return this;
        }

        /** Adds a parameter; one that was added before, as of two layers that share it, is not added again. */
        public Builder add(Parameter parameter) {
            return add(Objects.requireNonNull(parameter, "parameter").name(), parameter);
        }

        private Builder add(String name, Parameter parameter) {
            if (entries.stream().noneMatch(entry -> entry.of == parameter)) {
                entries.add(new Entry(name, parameter.value(), parameter.gradient(), parameter.decays(), parameter));
            }
            return this;
        }

        /**
         * Adds a tensor of the program's own, to which weight decay applies.
         *
         * @param name what it is called in messages
         * @param value float32, changed by each step
         * @param gradient float32, of as many elements, in the same order
         */
        public Builder add(String name, Tensor value, Tensor gradient) {
            return add(name, value, gradient, true);
        }

        /**
         * Adds a tensor of the program's own.
         *
         * @param name what it is called in messages
         * @param value float32, changed by each step
         * @param gradient float32, of as many elements, in the same order
         * @param decays whether weight decay applies to it; usually not to biases
         */
        public Builder add(String name, Tensor value, Tensor gradient, boolean decays) {
            entries.add(new Entry(
                    Objects.requireNonNull(name, "name"),
                    Objects.requireNonNull(value, "value"),
                    Objects.requireNonNull(gradient, "gradient"),
                    decays,
                    null));
            return this;
        }

        /**
         * What gradients are multiplied by before all else: one by the scale of the loss, or by the number of passes whose
         * gradients were added up. 1 unless said.
         *
         * @throws IllegalArgumentException for 0 and what is not finite, as float32 too
         */
        public Builder gradientScale(double scale) {
            change = new GradientChange(scale, change.most(), change.maxNorm());
            return this;
        }

        /**
         * Clips every element of a gradient to ±{@code most}, as PyTorch's {@code clip_grad_value_} does.
         *
         * @throws IllegalArgumentException unless it is more than 0
         */
        public Builder clipValue(double most) {
            change = new GradientChange(change.scale(), most, change.maxNorm());
            return this;
        }

        /**
         * Makes all gradients smaller by one factor where their norm is larger, as PyTorch's {@code clip_grad_norm_} does:
         * maxNorm / (norm + 1e-6). It takes two launches more for every 16 tensors at most. Infinity clips nothing and
         * measures the norm.
         *
         * @throws IllegalArgumentException unless it is more than 0
         */
        public Builder clipNorm(double maxNorm) {
            change = new GradientChange(change.scale(), change.most(), maxNorm);
            takesNorm = true;
            return this;
        }

        /**
         * Makes the optimizer, with moments of 0.
         *
         * @param device the one that all tensors are on
         * @throws IllegalArgumentException when there is no tensor, one is on another device or is not float32, a gradient
         *     has not as many elements as its value, or two tensors share memory
         * @throws IllegalStateException when the device, or a tensor, is closed
         */
        public Optimizer build(Device device) {
            Objects.requireNonNull(device, "device");
            if (entries.isEmpty()) {
                throw new IllegalArgumentException("An optimizer needs a parameter, but none was added");
            }
            for (Entry entry : entries) {
                check(entry, "value", entry.value, device);
                check(entry, "gradient", entry.gradient, device);
                if (entry.value.shape().elements() != entry.gradient.shape().elements()) {
                    throw new IllegalArgumentException("The gradient of " + entry.name + " must have the value's "
                            + entry.value.shape().elements() + " elements, but given was " + entry.gradient);
                }
            }
            checkApart();
            return new Optimizer(this, device, List.copyOf(entries));
        }

        private static void check(Entry entry, String what, Tensor tensor, Device device) {
            String name = "The " + what + " of " + entry.name;
            tensor.operand();
            if (tensor.device() != device) {
                throw new IllegalArgumentException(
                        name + " must be on " + device.label() + ", but given was " + tensor);
            }
            if (tensor.type() != DataType.FLOAT32) {
                throw new IllegalArgumentException(name + " must be of float32, but given was " + tensor);
            }
            tensor.check(name, Memory.Access.INPUT);
            if (what.equals("value")) {
                tensor.check(name, Memory.Access.OUTPUT);
            }
        }

        /** A tensor that is written must not be read as another. */
        private void checkApart() {
            for (int i = 0; i < entries.size(); i++) {
                Entry one = entries.get(i);
                if (one.value.overlaps(one.gradient)) {
                    throw new IllegalArgumentException("The value and the gradient of " + one.name
                            + " must not share memory, but given were " + one.value + " and " + one.gradient);
                }
                for (int j = 0; j < i; j++) {
                    Entry other = entries.get(j);
                    if (one.value.overlaps(other.value)
                            || one.value.overlaps(other.gradient)
                            || one.gradient.overlaps(other.value)
                            || one.gradient.overlaps(other.gradient)) {
                        throw new IllegalArgumentException(
                                "Parameters must not share memory, but " + other.name + " and " + one.name + " do");
                    }
                }
            }
        }
    }

    /**
     * Begins to make an optimizer.
     *
     * @param rule how each parameter is changed; its learning rate is the first one
     */
    public static Builder builder(UpdateRule rule) {
        return new Builder(Objects.requireNonNull(rule, "rule"));
    }

    /**
     * Updates all parameters that are not frozen by their gradients. Returns before the device has done it.
     *
     * @throws IllegalStateException when this, a parameter or the device is closed, or another call is in the middle;
     *     nothing is changed then
     */
    public void step() {
        enter();
        try {
            update.run(rule.step(rate, steps + 1), change, left());
            steps++;
            hasNorm = true;
            entries.forEach(entry -> entry.value.touch());
        } finally {
            leave();
        }
    }

    /**
     * Writes to the gradients what a step would use, scaled and clipped, and leaves the parameters. A step after it scales
     * and clips again.
     *
     * @throws IllegalArgumentException when a gradient is over a buffer that kernels may only read
     * @throws IllegalStateException as {@link #step}
     */
    public void clipGradients() {
        enter();
        try {
            entries.forEach(entry -> entry.gradient.check("The gradient of " + entry.name, Memory.Access.OUTPUT));
            update.run(UpdateStep.CLIP, change, left());
            hasNorm = true;
            entries.forEach(entry -> entry.gradient.touch());
        } finally {
            leave();
        }
    }

    /** Those that are left as they are. */
    private BitSet left() {
        BitSet left = new BitSet();
        for (int i = 0; i < entries.size(); i++) {
            entries.get(i).value.operand(); // or it is closed
            entries.get(i).gradient.operand();
            left.set(i, entries.get(i).of != null && entries.get(i).of.isFrozen());
        }
        return left;
    }

    /**
     * Sets all gradients to 0, as before passes whose gradients are added up.
     *
     * @throws IllegalStateException as {@link #step}
     */
    public void zeroGradients() {
        enter();
        try {
            left();
            entries.forEach(entry -> entry.gradient.fill(0));
        } finally {
            leave();
        }
    }

    /**
     * The norm of all gradients in the last step, scaled and clipped by value, before it was clipped. Waits for the device.
     *
     * @throws IllegalStateException when no {@link Builder#clipNorm} was asked for, or there was no step yet
     */
    public double gradientNorm() {
        enter();
        try {
            if (!moments.haveNorm() || !hasNorm) {
                throw new IllegalStateException(
                        !moments.haveNorm()
                                ? "The norm of gradients is taken by an optimizer with clipNorm only"
                                : "The norm of gradients is that of the last step, but there was none");
            }
            return moments.norm();
        } finally {
            leave();
        }
    }

    /** The rule, with the learning rate that it began with. */
    public UpdateRule rule() {
        return rule;
    }

    /** The learning rate of the next step. */
    public double rate() {
        return rate;
    }

    /**
     * Sets the learning rate of the steps to come, as a schedule does.
     *
     * @throws IllegalArgumentException unless it is a finite number from 0 on
     */
    public void rate(double rate) {
        if (!(rate >= 0) || Double.isInfinite(rate)) {
            throw new IllegalArgumentException("The rate must be a finite number from 0 on, but given was " + rate);
        }
        this.rate = rate;
    }

    /** How many steps were made. */
    public long steps() {
        return steps;
    }

    /**
     * The number of steps, {@code step}, and the moments of each parameter by its place and PyTorch's name, such as {@code
     * 0.exp_avg}. The learning rate and the rule are the program's. Waits for the device.
     *
     * @throws IllegalStateException as {@link #step}
     */
    public StateDict stateDict() {
        enter();
        try {
            return moments.save(steps);
        } finally {
            leave();
        }
    }

    /**
     * Takes over what {@link #stateDict} gave, of an optimizer of the same rule over parameters of the same shapes in the
     * same order.
     *
     * @throws IllegalArgumentException when an array is missing, too many, or of other dimensions; nothing is loaded then
     * @throws IllegalStateException as {@link #step}
     */
    public void loadState(StateDict state) {
        Objects.requireNonNull(state, "state");
        enter();
        try {
            steps = moments.load(state);
        } finally {
            leave();
        }
    }

    private void enter() {
        lease.check();
        device.backend();
        if (!gate.enterAlone()) {
            lease.check();
            throw new IllegalStateException(
                    lease.described() + ", is in the middle of another call: an optimizer is for one call at a time");
        }
        user.set(Thread.currentThread());
    }

    private void leave() {
        user.set(null);
        gate.leave();
    }

    /** Whether it was closed, or its device. */
    public boolean isClosed() {
        return !lease.isOpen() || device.isClosed();
    }

    /** Gives the moments back, once the call that uses them is over. The parameters stay. Closing twice is harmless. */
    @Override
    public void close() {
        lease.close();
    }

    @Override
    public String toString() {
        return "Optimizer by " + rule + " of " + entries.size() + " parameters on " + device.label();
    }
}
