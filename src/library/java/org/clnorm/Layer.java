package org.clnorm;

import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.clnorm.state.StateDict;

/**
 * What a layer keeps from one call to the next: its parameters, its running statistics, and the state that is made of
 * them and goes to files. All of them are on the layer's device and belong to the layer, which alone closes them.
 *
 * <p>A layer is for one call at a time: a call that comes in the middle of another, such as from another thread, throws
 * {@link IllegalStateException} and does nothing. Any thread may {@link #close} a layer: the call that is under way is
 * waited for, and every call that comes later throws {@link IllegalStateException}.
 *
 * <p>Layers may share γ and β: one that was built by {@code buildSharing} has another's, the owner's, and running
 * statistics and passes of its own. Backward passes of both add to the same gradients, which must be set to 0 before a
 * step. What is done to a parameter is done for both: to freeze it, to load a state into one of the layers, to
 * {@link #reset} one. An {@link Optimizer} that both were added to updates it once. Such layers are for one call at a
 * time all together. The owner alone closes the parameters: after that, every call on a layer that shares them throws
 * {@link IllegalStateException}; to close the other one leaves them as they are.
 */
public abstract sealed class Layer implements AutoCloseable permits Normalizer {
    private final Options options;
    private final Device device;
    private final String what;
    private final Belongings own;
    /** The layer whose γ and β it has, which must not be dropped before; null where they are its own. */
    private final Layer owner;

    private final Parameter gamma;
    private final Parameter beta;
    private final Running running;

    /**
     * Makes a layer with γ = 1 and β = 0, or with those that it shares.
     *
     * @param device the device that the layer works on
     * @param options the settings that the builder gathered
     * @param affine the shape of γ and β, as far as the options have them, and of the running statistics, as far as
     *     these are tracked; null for a layer that has none of them
     * @param what what the layer is, for messages
     */
    Layer(Device device, Options options, Shape affine, String what) {
        this.what = what;
        this.device = device;
        this.options = options;
        this.owner = options.sharing;
        if (owner != null) {
            checkSharing(affine);
        }
        this.own = new Belongings(this, device, options.sharing(null), what, owner == null ? null : owner.own);
        try {
            this.gamma = options.gamma ? parameter("weight", affine, owner == null ? null : owner.gamma) : null;
            this.beta = options.beta ? parameter("bias", affine, owner == null ? null : owner.beta) : null;
            this.running = options.runningAverage.isTracked() ? own.running(affine) : null;
            if (owner == null) {
                initializeParameters();
            }
            if (running != null) {
                running.reset();
            }
        } catch (RuntimeException e) {
            own.lease().close();
            throw e;
        }
    }

    private Parameter parameter(String name, Shape affine, Parameter shared) {
        return shared == null ? own.parameter(name, affine) : own.share(shared);
    }

    /** Refuses an owner whose parameters cannot be this layer's. */
    private void checkSharing(Shape affine) {
        owner.checkOpen();
        if (!options.accumulateGradients || !owner.options.accumulateGradients) {
            throw new IllegalArgumentException("Layers that share parameters must accumulate gradients, or the last"
                    + " backward pass would overwrite what the others found, but "
                    + (owner.options.accumulateGradients ? "this " + what : "the owner, " + owner.what + ",")
                    + " does not");
        }
        if (!options.gamma && !options.beta) {
            throw new IllegalArgumentException(
                    "This " + what + " has neither gamma nor beta to share with the owner, " + owner.what);
        }
        checkShared(options.gamma, "gamma", owner.gamma, affine);
        checkShared(options.beta, "beta", owner.beta, affine);
    }

    private void checkShared(boolean wanted, String name, Parameter shared, Shape affine) {
        if (wanted && (shared == null || !shared.value().shape().equals(affine))) {
            throw new IllegalArgumentException("This " + what + " needs a " + name + " of shape " + affine
                    + ", but the owner, " + owner.what + ", has "
                    + (shared == null ? "none" : "one of " + shared.value().shape()));
        }
    }

    /** The device that the layer works on. */
    public final Device device() {
        return device;
    }

    /**
     * γ, if the layer has it; {@code weight} in a {@link StateDict}.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public final Optional<Parameter> gamma() {
        checkOpen();
        return Optional.ofNullable(gamma);
    }

    /**
     * β, if the layer has it; {@code bias} in a {@link StateDict}.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public final Optional<Parameter> beta() {
        checkOpen();
        return Optional.ofNullable(beta);
    }

    /**
     * The parameters that an optimizer updates: γ and β, those that the layer has, frozen or not.
     *
     * @throws IllegalStateException when the layer is closed
     */
    public final List<Parameter> parameters() {
        checkOpen();
        return parameterStream().toList();
    }

    private Stream<Parameter> parameterStream() {
        return Stream.of(Optional.ofNullable(gamma), Optional.ofNullable(beta)).flatMap(Optional::stream);
    }

    /**
     * The layer's state as it is now, under PyTorch's names: γ as {@code weight}, β as {@code bias}, the running
     * statistics as {@code running_mean} and {@code running_var}, and the number of batches in them as
     * {@code num_batches_tracked}, those that the layer has. {@link StateDict#toNames} gives them other names, and
     * {@link NetworkState} has the state of several layers. Waits for the device.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final StateDict stateDict() {
        return answer(() -> state().save());
    }

    /**
     * Sets the layer's arrays from a state such as {@link #stateDict} gives, by name. A layer with the options of the
     * one whose state it was then gives the same outputs, bit for bit. With {@code num_batches_tracked}, the running
     * statistics of every channel count as those of that many batches (also of a channel that sat some out, under
     * {@link NonFinitePolicy#SKIP_RUNNING_UPDATE}); without it, the counts stay as they are. Gradients stay too. No
     * forward pass from before can be gone back through afterwards, recorded ones included.
     *
     * @param state one array for each name that {@link #stateDict} has, {@code num_batches_tracked} being optional, and
     *     no other. Arrays may be of any floating-point type, float64 being rounded to float32, and may have more or
     *     fewer dimensions of size 1 than the layer's, such as (1, C, 1, 1) for (C), which the log then says; the count
     *     may be of any type that holds a whole number.
     * @throws IllegalArgumentException when a name is missing or unexpected, or an array has another shape or type; the
     *     message lists all that is wrong, and nothing was changed
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void loadState(StateDict state) {
        answer(() -> load(state, true));
    }

    /**
     * Sets the layer's arrays as {@link #loadState} does, but only those whose names the layer and the state have in
     * common.
     *
     * @param state arrays by name, as {@link #loadState} takes them; any may be missing, and others are ignored
     * @return the names that only the layer or only the state has
     * @throws IllegalArgumentException when an array that both have is of another shape or type; nothing was changed
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
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

    /** All that keeps a state from being loaded; none where {@link #loadState} will take it. */
    final List<String> problemsOf(StateDict state) {
        return answer(() -> state().problems(state, true));
    }

    private LayerState state() {
        return new LayerState(parameterStream().toList(), running, running == null ? 0 : running.batches());
    }

    /**
     * Sets γ = 1, β = 0, their gradients to 0, the running mean to 0, the running variance to 1 and the number of
     * batches to 0; parameters that layers share, for all of them. The mode stays. No forward pass from before can be
     * gone back through afterwards, recorded ones included.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void reset() {
        alone(() -> {
            initializeParameters();
            if (running != null) {
                running.reset();
            }
            own.forgetPasses();
        });
    }

    private void initializeParameters() {
        if (gamma != null) {
            gamma.value().fill(1);
            gamma.zeroGradient();
        }
        if (beta != null) {
            beta.value().fill(0);
            beta.zeroGradient();
        }
    }

    /** The settings that the layer was built with. */
    final Options options() {
        return options;
    }

    /** What the layer does about statistics that are not finite. */
    final NonFinitePolicy nonFinite() {
        return options.nonFinite;
    }

    /** The running statistics; null where none are kept. */
    final Running running() {
        return running;
    }

    /** All that the layer owns on its device, and the way in to it. */
    final Belongings own() {
        return own;
    }

    /** The mode that the layer is in, in a word. */
    abstract String mode();

    /**
     * Closes the layer with its parameters and statistics, once the call that is using them is over. Closing twice is
     * harmless. From inside of a call, such as by the schedule of a renormalization, it waits for nothing, and the call
     * goes on to its end.
     */
    @Override
    public final void close() {
        own.lease().close();
    }

    /** Whether neither the layer, nor the owner of its parameters, nor its device is closed. */
    final boolean isOpen() {
        return own.isOpen() && !device.isClosed();
    }

    /**
     * Refuses to go on with a layer that is closed, or whose parameters are.
     *
     * @throws IllegalStateException when the layer, or the owner of its parameters, is closed
     */
    final void checkOpen() {
        own.checkOpen();
    }

    /**
     * Makes a call that uses what the layer has, while no other call does.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    final void alone(Runnable call) {
        own.alone(call);
    }

    /**
     * Makes a call as {@link #alone} does, and returns what it returns.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    final <T> T answer(Supplier<T> call) {
        return own.answer(call);
    }

    /** What the layer is, its mode, and its device. */
    @Override
    public final String toString() {
        return what + ", " + (isOpen() ? mode() : "closed") + ", on " + device.label();
    }
}
