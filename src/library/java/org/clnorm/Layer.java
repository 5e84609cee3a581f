package org.clnorm;

import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * What a program keeps of a layer: its parameters, its running statistics, and the state that is made of them and goes to
 * files. All are on the layer's device and are the layer's: it alone closes them.
 *
 * <p>A layer is for one call at a time: one that comes in the middle of another, from another thread, throws {@link
 * IllegalStateException} and does nothing. Any thread may {@link #close} it: the call that is in is waited for, and those
 * that come later throw the same.
 */
public abstract sealed class Layer implements AutoCloseable permits Normalizer {
    private final Options options;
    private final Device device;
    private final String what;
    private final Belongings own;
    private final Parameter gamma;
    private final Parameter beta;
    private final Running running;

    /**
     * A layer with γ = 1 and β = 0.
     *
     * @param affine of γ and β, as far as the options have them, and of running statistics, likewise
     * @param what it is, for messages
     */
    Layer(Device device, Options options, Shape affine, String what) {
        this.what = what;
        this.device = device;
        this.options = options;
        this.own = new Belongings(this, device, options, what);
        try {
            this.gamma = options.scale ? own.parameter("weight", affine) : null;
            this.beta = options.shift ? own.parameter("bias", affine) : null;
            this.running = options.runningAverage.isTracked() ? own.running(affine) : null;
            initialize();
        } catch (RuntimeException e) {
            own.lease().close();
            throw e;
        }
    }

    /** The device it works on. */
    public final Device device() {
        return device;
    }

    /** γ, if the layer has it: PyTorch's {@code weight}. */
    public final Optional<Parameter> gamma() {
        checkOpen();
        return Optional.ofNullable(gamma);
    }

    /** β, if the layer has it: PyTorch's {@code bias}. */
    public final Optional<Parameter> beta() {
        checkOpen();
        return Optional.ofNullable(beta);
    }

    /** What an optimizer updates: γ and β, those that there are, frozen or not. */
    public final List<Parameter> parameters() {
        checkOpen();
        return parameterStream().toList();
    }

    private Stream<Parameter> parameterStream() {
        return Stream.of(Optional.ofNullable(gamma), Optional.ofNullable(beta)).flatMap(Optional::stream);
    }

    /**
     * γ, β, the running statistics and the number of batches in them, those that there are: {@code weight}, {@code
     * bias}, {@code running_mean}, {@code running_var} and {@code num_batches_tracked}. Waits for the device.
     */
    public final StateDict stateDict() {
        return answer(() -> state().save());
    }

    /**
     * Sets what {@link #stateDict} gives, by name. The state of a layer with the same options gives its outputs, bit for
     * bit. With {@code num_batches_tracked}, every channel's running statistics count as of that many batches (also a
     * channel that sat some out, under {@link NonFinitePolicy#SKIP_RUNNING_UPDATE}); without, counts stay as they are.
     * Arrays may be of any floating-point type, float64 being rounded to float32, and have more or fewer dimensions of 1,
     * such as (1, C, 1, 1), which the log then says; the count may be of any type that holds a whole number. Gradients
     * stay, and {@link Normalizer#backward(Tensor)} needs another forward pass.
     *
     * @throws IllegalArgumentException when a name is missing or unexpected, or an array has another shape or type; the
     *     message lists all that is wrong, and nothing was changed
     */
    public final void loadState(StateDict state) {
        answer(() -> load(state, true));
    }

    /**
     * The same for the names that the layer and the state have in common.
     *
     * @return the names that they do not
     * @throws IllegalArgumentException when an array has another shape or type; nothing was changed
     */
    public final StateDict.Difference loadStateLeniently(StateDict state) {
        return answer(() -> load(state, false));
    }

    private StateDict.Difference load(StateDict state, boolean strict) {
        LayerState.Loading loading = state().check(state, strict);
        own.forgetPasses();
        long batches = loading.upload();
        if (running != null) {
            running.loaded(batches);
        }
        return loading.difference();
    }

    private LayerState state() {
        return new LayerState(parameterStream().toList(), running, running == null ? 0 : running.batches());
    }

    /** Sets γ = 1, β = 0, their gradients 0, running mean 0, running variance 1, and no batch tracked. */
    public final void reset() {
        alone(() -> {
            initialize();
            own.forgetPasses();
        });
    }

    private void initialize() {
        if (gamma != null) {
            gamma.value().fill(1);
            gamma.zeroGradient();
        }
        if (beta != null) {
            beta.value().fill(0);
            beta.zeroGradient();
        }
        if (running != null) {
            running.reset();
        }
    }

    /** How it was built. */
    final Options options() {
        return options;
    }

    /** What is done with what is not finite. */
    final NonFinitePolicy nonFinite() {
        return options.nonFinite;
    }

    /** The running statistics; null where none are kept. */
    final Running running() {
        return running;
    }

    /** What it owns, and the way in to it. */
    final Belongings own() {
        return own;
    }

    /** In which mode it is, in a word. */
    abstract String mode();

    /**
     * Closes the parameters and statistics too, once the call is over that is using them. Closing twice is harmless. From
     * inside of a call, such as by a renormalization's schedule, it waits for nothing, and the call goes on to its end.
     */
    @Override
    public final void close() {
        own.lease().close();
    }

    /** Whether it and its device are. */
    final boolean isOpen() {
        return own.lease().isOpen() && !device.isClosed();
    }

    /** @throws IllegalStateException when closed */
    final void checkOpen() {
        own.lease().check();
    }

    /** Makes a call that uses what the layer has, alone. */
    final void alone(Runnable call) {
        own.alone(call);
    }

    /** The same, of a call that returns something. */
    final <T> T answer(Supplier<T> call) {
        return own.answer(call);
    }

    /** What it is, in which mode and where. */
    @Override
    public final String toString() {
        return what + ", " + (isOpen() ? mode() : "closed") + ", on " + device.label();
    }
}
