package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;

/**
 * What all normalization layers have in common. A layer computes
 *
 * <pre>y = act(γ·x̂ + β + residual)</pre>
 *
 * where x̂ is x with each group of its elements normalized; the layers differ in what a group is and by what it is
 * divided.
 *
 * <p>A backward pass with {@link #backward} goes back through the last {@link #forward}. It needs that pass's x to be
 * unchanged, and says so when it is not; y too, where there were both a residual and an activation; and γ and β, where
 * each element of a row has its own. {@link #record(Tensor, Tensor)} is for several forward passes under way at once.
 *
 * <p>All tensors of a call are on the layer's device. x, y, the residual and their gradients may each be of any
 * {@link DataType}; γ, β and their gradients are float32. The caller owns every tensor that it gives or gets. Calls do
 * not wait for the device, except under {@link NonFinitePolicy#THROW} and where it is said.
 *
 * <p>In place: y may be x in evaluation with running statistics (there is no backward pass then), and in training
 * where a {@link BatchNorm.Builder#inPlace} allows it; it may be the residual always; dx or dresidual may be dy. Any other
 * overlap is refused.
 *
 * <p>Freezing is three switches, each on its own: {@link Parameter#freeze} of γ or β ends the computation of its
 * gradient; {@link RunningNormalizer#trackRunning} says whether batches enter the running statistics; {@link #train}
 * and {@link #eval} say which statistics normalize. A layer that is to be as it is for good has all three.
 */
public abstract sealed class Normalizer extends Layer permits ChannelNormalizer, RowNormalizer, WeightNorm, L2Norm {
    private final LayerCalls calls;

    /**
     * Makes a layer in training mode.
     *
     * @param device the device that the layer works on
     * @param options the settings that the builder gathered
     * @param affine the shape of γ and β, as far as the options have them, and of the running statistics, as far as
     *     these are tracked; null for a layer that has none of them
     * @param what what the layer is, for messages
     */
    Normalizer(Device device, Options options, Shape affine, String what) {
        super(device, options, affine, what);
        this.calls = new LayerCalls(this);
    }

    /** The normalization of a pass over x's own statistics; the same object for the same pass. */
    abstract Normalization normalization(Shape shape, Layout layout, boolean perSample);

    /** A new layer of the same kind and settings on the same device. */
    abstract Normalizer twin();

    /** Refuses an x that the layer is not for. */
    abstract void checkShape(Tensor x);

    /**
     * Refuses an x that has too few values for statistics of its own.
     *
     * @param mask which steps of it take part; null for all
     */
    void checkCount(Shape shape, Mask mask) {}

    /** Refuses an x of which the layer makes no sum and knows no mask. */
    void checkExtras(Tensor x) {}

    /** How many rows x has, where rows are normalized; else -1. */
    final long rowsOf(Tensor x) {
        Normalization normalization = normalization(x.shape(), x.layout(), false);
        return normalization.grouping() instanceof Grouping.Rows
                ? normalization.grouping().groups(x.shape(), x.layout())
                : -1;
    }

    /** Whether training normalizes such an x by the running statistics, which stay as they are. */
    boolean trainsByRunning(Shape shape) {
        return false;
    }

    /** ε, as the builder has it. */
    public final double epsilon() {
        return options().epsilon;
    }

    /** The activation that is applied in the same pass. */
    public final Activation activation() {
        return options().activation;
    }

    /**
     * Does once what a first pass over such an x does and later ones need not, so that none waits for a compiler: in
     * training what a forward pass and its backward pass need, in evaluation what a forward pass does. The layer stays
     * as it is; for as long as this takes, there are a second layer and tensors like those of such a pass beside it.
     *
     * @param shape the shape of x
     * @param layout the layout of x
     * @param type the type of x, y, their gradients and the residual
     * @param residual whether there is a residual
     * @throws IllegalArgumentException for a shape that a forward pass would refuse, or that the device has no room for
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void prepare(Shape shape, Layout layout, DataType type, boolean residual) {
        Objects.requireNonNull(shape, "shape");
        Objects.requireNonNull(layout, "layout");
        Objects.requireNonNull(type, "type");
        boolean inPlace = options().inPlace && isTraining() && !residual && !calls.hasMask();
        alone(() -> {
            try (Normalizer twin = twin();
                    Tensor x = device().tensor(shape, layout, type);
                    Tensor added = residual ? device().tensor(shape, layout, type) : null;
                    Tensor y = inPlace ? null : device().tensor(shape, layout, type);
                    Tensor dy = device().tensor(shape, layout, type)) {
                twin.calls().likeThoseOf(this);
                twin.forward(x, added, inPlace ? x : y);
                if (isTraining()) {
                    twin.backward(dy, dy, added);
                }
            }
        });
    }

    /**
     * Prepares for passes over float32 tensors without a residual; see
     * {@link #prepare(Shape, Layout, DataType, boolean)}.
     *
     * @param shape the shape of x
     * @param layout the layout of x
     * @throws IllegalArgumentException for a shape that a forward pass would refuse, or that the device has no room for
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void prepare(Shape shape, Layout layout) {
        prepare(shape, layout, DataType.FLOAT32, false);
    }

    /**
     * Switches to training mode: from now on a forward pass normalizes by the statistics of what it is given.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void train() {
        calls.mode(true, 0);
    }

    /**
     * Switches to evaluation mode: from now on a forward pass normalizes by the running statistics; where none are
     * kept, by the statistics of what it is given, as in training.
     *
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void eval() {
        calls.mode(false, 0);
    }

    /** Whether the layer is in training mode. */
    public final boolean isTraining() {
        return calls.isTraining();
    }

    /**
     * Normalizes x into a new tensor, without a residual.
     *
     * @param x the tensor to normalize, of a shape that the layer is for
     * @return y, of x's shape, layout and type; the caller closes it
     * @throws IllegalArgumentException for an x of a wrong shape or on another device, and for one with too few values
     *     for statistics of its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final Tensor forward(Tensor x) {
        return calls.forward(x);
    }

    /**
     * Normalizes x into y, without a residual.
     *
     * @param x the tensor to normalize, of a shape that the layer is for
     * @param y where the output goes, of x's shape and layout; the class comment says when it may be x
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where the class comment does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void forward(Tensor x, Tensor y) {
        forward(x, null, y);
    }

    /**
     * Normalizes x, adds the residual and applies the activation, all in one pass, into y.
     *
     * @param x the tensor to normalize, of a shape that the layer is for
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual, and the class comment says when
     *     it may be x
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where the class comment does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final void forward(Tensor x, Tensor residual, Tensor y) {
        calls.forward(x, residual, y, Besides.Forward.NOTHING);
    }

    /**
     * Makes a forward pass, without a residual, whose backward pass may come after other forward passes: any number may
     * be under way, in any order, over any shapes. The layer's own {@link #forward} and {@link #backward} are apart
     * from all of them.
     *
     * @param x the tensor to normalize, of a shape that the layer is for
     * @param y where the output goes, of x's shape and layout
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where the class comment does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final ForwardPass record(Tensor x, Tensor y) {
        return record(x, null, y);
    }

    /**
     * Makes a forward pass with a residual whose backward pass may come after other forward passes; see
     * {@link #record(Tensor, Tensor)}.
     *
     * @param x the tensor to normalize, of a shape that the layer is for
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where the class comment does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     */
    public final ForwardPass record(Tensor x, Tensor residual, Tensor y) {
        return calls.record(x, residual, y, Besides.Forward.NOTHING, true);
    }

    /**
     * Makes a forward pass over a batch that was gone over before, whose output was not kept. It is as
     * {@link #record(Tensor, Tensor, Tensor)}, but the batch does not enter the running statistics a second time.
     *
     * @param x the tensor to normalize, of a shape that the layer is for; that of the first pass, with the same
     *     elements
     * @param residual the tensor that is added before the activation, of x's shape and layout; null for none
     * @param y where the output goes, of x's shape and layout; it may be the residual
     * @return the pass, to go back through it; the caller closes it
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where the class comment does not allow it, and for an x with too few values for statistics of
     *     its own
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of x are not finite
     * @throws IllegalStateException for a layer with batch renormalization, whose output depends on the running
     *     statistics as they were the first time, and when the layer is closed or in the middle of another call
     */
    public final ForwardPass recompute(Tensor x, Tensor residual, Tensor y) {
        checkRecomputable();
        return calls.record(x, residual, y, Besides.Forward.NOTHING, false);
    }

    /** Refuses where a second pass over a batch gives other results than the first. */
    void checkRecomputable() {}

    /**
     * Goes back through the last forward pass: sets the gradients of γ and β (or adds to them, where the layer
     * accumulates), except of one that is frozen, and returns the gradient by x. Statistics that were given, as in
     * evaluation, count as constants.
     *
     * <p>A forward pass is gone back through once, unless {@link #retainForward} says otherwise. Gradients are numbers
     * and no functions: there are no gradients of gradients.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @return dx, of dy's shape and layout and of x's type; the caller closes it
     * @throws IllegalArgumentException for a dy of another shape or layout than x's or on another device
     * @throws IllegalStateException without a forward pass, when it was gone back through already, when a tensor that
     *     must be unchanged was written or closed since, when it was a {@link BatchNorm#forwardCombined}, and when the
     *     layer is closed or in the middle of another call
     */
    public final Tensor backward(Tensor dy) {
        return calls.backward(null, dy);
    }

    /**
     * Lets the last forward pass be gone back through as often as is wanted, until the next one. The same dy gives the
     * same dx, and the gradients of γ and β once more: a layer that accumulates adds them each time.
     *
     * @throws IllegalStateException without a forward pass, and when the layer is closed or in the middle of another
     *     call
     */
    public final void retainForward() {
        calls.retain(null);
    }

    /**
     * Goes back through the last forward pass, writing the gradient by x; see {@link #backward(Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, and for tensors
     *     that share memory where the class comment does not allow it
     * @throws IllegalStateException without a forward pass, when it was gone back through already, when a tensor that
     *     must be unchanged was written or closed since, when it was a {@link BatchNorm#forwardCombined}, and when the
     *     layer is closed or in the middle of another call
     */
    public final void backward(Tensor dy, Tensor dx) {
        backward(dy, dx, null);
    }

    /**
     * Goes back through the last forward pass, writing the gradients by x and by the residual; see
     * {@link #backward(Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param dx where the gradient by x goes, of dy's shape and layout; it may be dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where the class comment does not allow it, and for a dresidual when the forward pass had no
     *     residual
     * @throws IllegalStateException without a forward pass, when it was gone back through already, when a tensor that
     *     must be unchanged was written or closed since, when it was a {@link BatchNorm#forwardCombined}, and when the
     *     layer is closed or in the middle of another call
     */
    public final void backward(Tensor dy, Tensor dx, Tensor dresidual) {
        calls.backward(null, dy, dx, dresidual, Besides.Backward.NOTHING);
    }

    /**
     * Goes back through the last forward pass and adds what came past the layer, in the same pass: where x is also used
     * otherwise, as the stream past a pre-norm block or the shortcut of a pre-activation block is, the gradient of the
     * loss by x is the sum of both. Else it is as {@link #backward(Tensor, Tensor)}.
     *
     * @param dy the gradient of the loss by y, of y's shape and layout
     * @param past the gradient of the loss by what was normalized, by all else that is computed from it; of dy's shape
     *     and layout
     * @param dx where the sum of that and the gradient through this layer goes, of dy's shape and layout; it may be
     *     past, or dy, unless dresidual is
     * @param dresidual where the gradient by the residual goes, of dy's shape and layout; it may be dy, unless dx is;
     *     null when it is not wanted, or there was no residual after the normalization
     * @throws IllegalArgumentException for a tensor of a wrong shape or layout or on another device, for tensors that
     *     share memory where it is not allowed, and for a dresidual when the forward pass had no residual
     * @throws IllegalStateException without a forward pass, when it was gone back through already, when a tensor that
     *     must be unchanged was written or closed since, when it was a {@link BatchNorm#forwardCombined}, and when the
     *     layer is closed or in the middle of another call
     */
    public final void backwardAdding(Tensor dy, Tensor past, Tensor dx, Tensor dresidual) {
        Objects.requireNonNull(past, "past");
        calls.backward(null, dy, dx, dresidual, new Besides.Backward(null, null, past));
    }

    /** The calls on it that make passes. */
    final LayerCalls calls() {
        return calls;
    }

    /** The mean of each group of the last forward pass over a non-empty x. */
    final Tensor shownMean() {
        return shown().mean();
    }

    /** What the last forward pass over a non-empty x multiplied each group by. */
    final Tensor shownInvstd() {
        return shown().invstd();
    }

    private Room shown() {
        checkOpen();
        return Room.shown(own().last());
    }

    /** Makes room for a pass from the start, so that its statistics can be asked for. */
    final void prepare(Normalization normalization, Shape shape) {
        try {
            own().last().settle(own().roomFor(own().last(), normalization, shape, Layout.CHANNELS_FIRST));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    @Override
    final String mode() {
        return isTraining() ? "training" : "evaluating";
    }
}
