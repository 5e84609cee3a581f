package org.clnorm;

import java.util.Objects;
import java.util.function.Consumer;
import org.clnorm.backend.Normalization;

/**
 * What all normalization layers have in common. A layer computes
 *
 * <pre>y = act(γ·x̂ + β + residual)</pre>
 *
 * where x̂ is x with each group of its elements normalized; the layers differ in what a group is and by what it is divided.
 *
 * <p>{@link #backward} is of the last {@link #forward} and needs that x (and y, where there were both a residual and an
 * activation; and γ and β, where they go by the element of a row) to be unchanged; it says so when they are not. {@link
 * #record(Tensor, Tensor)} is for several forward passes under way at once. The caller owns every tensor that it gives or
 * gets. Calls do not wait for the device, except under {@link NonFinitePolicy#THROW}.
 *
 * <p>In place: y may be x where running statistics are used (there is no backward pass then) and may be the residual
 * always; dx or dresidual may be dy. Any other overlap is refused.
 *
 * <p>Freezing is three switches, each on its own: {@link Parameter#freeze} of γ or β ends the computation of its
 * gradient; {@link RunningNormalizer#trackRunning} says whether batches enter the running statistics; {@link #train} and
 * {@link #eval} say which statistics normalize. A layer that is to be as it is for good has all three.
 */
public abstract sealed class Normalizer extends Layer
        permits ChannelNormalizer, LayerNorm, RmsNorm, WeightNorm, L2Norm {
    private final PassRunner passes;

    /**
     * A layer in training mode.
     *
     * @param affine of γ and β, as far as the options have them, and of running statistics, likewise
     * @param what it is, for messages
     */
    Normalizer(Device device, Options options, Shape affine, String what) {
        super(device, options, affine, what);
        this.passes = new PassRunner(this);
    }

    /** What a pass over x's own statistics is. The same object for the same pass. */
    abstract Normalization normalization(Shape shape, boolean perSample);

    /** Another layer of the same kind and settings on the same device, as it is when it is new. */
    abstract Normalizer twin();

    /** Refuses an x that the layer is not for. */
    abstract void checkShape(Tensor x);

    /** Refuses an x that has too few values for statistics of its own(). */
    void checkCount(Shape shape) {}

    /** ε, as the builder has it. */
    public final double epsilon() {
        return options().epsilon;
    }

    /** What is applied in the same pass. */
    public final Activation activation() {
        return options().activation;
    }

    /**
     * Does once what a first pass over such x does and later ones need not, so that none waits for a compiler: in training
     * what a forward pass and its backward pass need, in evaluation what a forward pass does. The layer stays as it is; for
     * as long as this takes, there are a layer and tensors like those of such a pass beside it.
     *
     * @param shape of x
     * @param layout of x
     * @param type of x, y and their gradients
     * @param residual whether there is a residual too
     * @throws IllegalArgumentException for a shape that a forward pass would refuse
     */
    public final void prepare(Shape shape, Layout layout, DataType type, boolean residual) {
        Objects.requireNonNull(shape, "shape");
        Objects.requireNonNull(layout, "layout");
        Objects.requireNonNull(type, "type");
        alone(() -> {
            try (Normalizer twin = twin();
                    Tensor x = device().tensor(shape, layout, type);
                    Tensor added = residual ? device().tensor(shape, layout, type) : null;
                    Tensor y = device().tensor(shape, layout, type);
                    Tensor dy = device().tensor(shape, layout, type)) {
                if (!passes.training) {
                    twin.adapt(passes.batchWeight);
                }
                twin.forward(x, added, y);
                if (passes.training) {
                    twin.backward(dy, dy, added);
                }
            }
        });
    }

    /** The same for float32 and no residual. */
    public final void prepare(Shape shape, Layout layout) {
        prepare(shape, layout, DataType.FLOAT32, false);
    }

    /** Normalizes with the statistics of what it is given from now on. */
    public final void train() {
        alone(() -> {
            passes.training = true;
            passes.batchWeight = 0;
        });
    }

    /**
     * Normalizes with the running statistics from now on; where none are kept, with the statistics of what it is given, as
     * in training.
     */
    public final void eval() {
        adapt(0);
    }

    /** Evaluation with the batch's own statistics at that weight. */
    final void adapt(double weight) {
        alone(() -> {
            passes.training = false;
            passes.batchWeight = weight;
        });
    }

    /**
     * From now on in training, with the moments of every batch going to an observer, and none into the running statistics.
     *
     * @return what ends this, and sets the mode back; it works whatever has become of the layer
     */
    final Runnable observe(Consumer<ChannelMoments> to) {
        return answer(() -> {
            if (passes.observer != null) {
                throw new IllegalStateException(own().lease().described() + ", is being observed already");
            }
            boolean wasTraining = passes.training;
            double weight = passes.batchWeight;
            passes.training = true;
            passes.observer = to;
            return () -> {
                passes.observer = null;
                passes.training = wasTraining;
                passes.batchWeight = weight;
                own().last().isForwarded = false;
            };
        });
    }

    /** Whether it is in training mode. */
    public final boolean isTraining() {
        return passes.training;
    }

    /**
     * Normalizes.
     *
     * @param x of a shape that the layer is for
     * @return y, of x's shape and layout; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or another device, and for one that has too few values
     *     for statistics of its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}
     */
    public final Tensor forward(Tensor x) {
        own().enter();
        try {
            passes.checkInput(x);
            Tensor y = device().allocate(x.shape(), x.layout(), x.type());
            try {
                passes.forward(own().last(), x, null, y, null, null, true);
            } catch (RuntimeException e) {
                y.close();
                throw e;
            }
            return y;
        } finally {
            own().leave();
        }
    }

    /** Normalizes x into y; see {@link #forward(Tensor)} and the class comment on in-place use. */
    public final void forward(Tensor x, Tensor y) {
        forward(x, null, y);
    }

    /**
     * Normalizes x, adds the residual, applies the activation, all in one pass, into y.
     *
     * @param residual of x's shape and layout, or null for none
     */
    public final void forward(Tensor x, Tensor residual, Tensor y) {
        normalize(x, residual, y, null, null);
    }

    /**
     * A forward pass whose backward pass may come after other forward passes: any number may be under way, in any order,
     * over any shapes. The layer's own {@link #forward} and {@link #backward} are apart from all of them.
     *
     * @return what it left, to go back through it; to be closed
     */
    public final ForwardPass record(Tensor x, Tensor y) {
        return record(x, null, y);
    }

    /**
     * The same with a residual.
     *
     * @param residual of x's shape and layout, or null for none
     */
    public final ForwardPass record(Tensor x, Tensor residual, Tensor y) {
        return keep(x, residual, y, null, null, true);
    }

    /**
     * A forward pass over a batch that was gone over before, whose output was not kept: the same as {@link #record(Tensor,
     * Tensor, Tensor)}, but the batch does not enter the running statistics a second time.
     *
     * @param residual of x's shape and layout, or null for none
     * @throws IllegalStateException for a layer with batch renormalization, whose output depends on the running statistics
     *     as they were the first time
     */
    public final ForwardPass recompute(Tensor x, Tensor residual, Tensor y) {
        checkRecomputable();
        return keep(x, residual, y, null, null, false);
    }

    /** Refuses where a second pass over a batch gives other results than the first. */
    void checkRecomputable() {}

    /** A forward pass that is kept; see {@link PassRunner#forward}. */
    final ForwardPass keep(
            Tensor x, Tensor residual, Tensor y, SampleAffine affine, ChannelMoments given, boolean counts) {
        own().enter();
        try {
            return new ForwardPass(this, passes.forward(null, x, residual, y, affine, given, counts));
        } finally {
            own().leave();
        }
    }

    /** A forward pass, the last one; see {@link PassRunner#forward}. */
    final void normalize(Tensor x, Tensor residual, Tensor y, SampleAffine affine, ChannelMoments given) {
        own().enter();
        try {
            passes.forward(own().last(), x, residual, y, affine, given, true);
        } finally {
            own().leave();
        }
    }

    /** The moments of each channel of x, which has been checked; waits. */
    final ChannelMoments momentsOf(Tensor x) {
        return passes.moments(x);
    }

    /**
     * The gradients of the last forward pass: sets (or adds to) those of γ and β, except of one that is frozen, and returns
     * that of x.
     *
     * <p>A forward pass is gone back through once, unless {@link #retainForward} says otherwise. Gradients are numbers and no
     * functions: there are no gradients of gradients.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return dx, of the same shape and layout; the caller closes it
     * @throws IllegalStateException without a forward pass, when that was gone back through already, or when x was written
     *     since
     */
    public final Tensor backward(Tensor dy) {
        return goBack(null, dy);
    }

    /**
     * Lets the last forward pass be gone back through as often as is wanted, until the next one. The same dy gives the same
     * dx, and the gradients of γ and β once more: a layer that accumulates adds them each time.
     *
     * @throws IllegalStateException without a forward pass
     */
    public final void retainForward() {
        alone(() -> {
            if (!own().last().isForwarded) {
                throw new IllegalStateException("retainForward needs a forward pass before it");
            }
            own().last().isRetained = true;
        });
    }

    /** Writes the gradient of x into dx; see {@link #backward(Tensor)}. */
    public final void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Writes the gradients of x and of the residual; see {@link #backward(Tensor)}.
     *
     * @param dresidual of dy's shape and layout, or null when it is not wanted
     */
    public final void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        goBack(null, dy, dx, dresidual, null, null);
    }

    /** Of a forward pass, or of the last one when it is null; see {@link PassRunner#backward}. */
    final Tensor goBack(ForwardPass through, Tensor dy) {
        own().enter();
        try {
            return passes.backward(stateOf(through), dy);
        } finally {
            own().leave();
        }
    }

    /** The same. */
    final void goBack(
            ForwardPass through, Tensor dy, Tensor dx, Tensor dresidual, SampleAffine gradients, GradientSums all) {
        own().enter();
        try {
            passes.backward(stateOf(through), dy, dx, dresidual, gradients, all);
        } finally {
            own().leave();
        }
    }

    /** The same; see {@link PassRunner#sums}. */
    final GradientSums sumGradients(ForwardPass through, Tensor dy) {
        own().enter();
        try {
            return passes.sums(stateOf(through), dy);
        } finally {
            own().leave();
        }
    }

    private ForwardState stateOf(ForwardPass through) {
        return through == null ? own().last() : through.state();
    }

    /** Ends a forward pass that was kept, unless it is ended. */
    final void giveBack(ForwardPass pass) {
        own().enter();
        try {
            ForwardState left = pass.end();
            if (left != null) {
                own().giveBack(left);
            }
        } finally {
            own().leave();
        }
    }

    /** The mean of each group of the last forward pass over elements. */
    final Tensor shownMean() {
        return shown().mean();
    }

    /** What the last forward pass over elements multiplied each group by. */
    final Tensor shownInvstd() {
        return shown().invstd();
    }

    private Room shown() {
        checkOpen();
        return Room.shown(own().last());
    }

    /** Has room for a pass from the start, so that its statistics can be asked for. */
    final void prepare(Normalization normalization, Shape shape) {
        try {
            own().last().settle(own().roomFor(own().last(), normalization, shape, Layout.CHANNELS_FIRST));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** On the device, and of a shape that the layer is for. */
    final void checkInput(Tensor x) {
        passes.checkInput(x);
    }

    @Override
    final String mode() {
        return passes.training ? "training" : "evaluating";
    }
}
