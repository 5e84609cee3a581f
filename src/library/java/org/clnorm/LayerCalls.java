package org.clnorm;

import java.util.function.Consumer;
import java.util.function.Supplier;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/** The calls on a layer that make passes, or say how they are made. Each enters the layer and is alone there. */
final class LayerCalls {
    private final Belongings own;
    private final Normalizer layer;
    private final PassRunner passes;

    LayerCalls(Normalizer layer) {
        this.layer = layer;
        this.own = layer.own();
        this.passes = new PassRunner(layer);
    }

    boolean isTraining() {
        return passes.training;
    }

    boolean hasMask() {
        return passes.mask != null;
    }

    /**
     * Says which statistics normalize from now on.
     *
     * @param batchWeight in evaluation, the weight of the batch's own statistics, from 0 to 1
     */
    void mode(boolean training, double batchWeight) {
        own.enter();
        try {
            passes.training = training;
            passes.batchWeight = batchWeight;
        } finally {
            own.leave();
        }
    }

    /** Takes over another layer's mode and mask. */
    void likeThoseOf(Normalizer other) {
        PassRunner its = other.calls().passes;
        mode(its.training, its.batchWeight);
        mask(its.mask);
    }

    /** Says which steps take part from now on. */
    void mask(Mask mask) {
        own.enter();
        try {
            if (mask != null) {
                mask.checkOn(layer.device());
            }
            passes.mask = mask;
        } finally {
            own.leave();
        }
    }

    /**
     * Switches to training mode, with the moments of every batch going to an observer, and none into the running
     * statistics.
     *
     * @return what ends this and sets the mode back; it works whatever has become of the layer
     * @throws IllegalStateException when the layer is observed already
     */
    Runnable observe(Consumer<ChannelMoments> to) {
        return layer.answer(() -> {
            if (passes.observer != null) {
                throw new IllegalStateException(own.lease().described() + ", is being observed already");
            }
            boolean wasTraining = passes.training;
            double weight = passes.batchWeight;
            passes.training = true;
            passes.observer = to;
            return () -> {
                passes.observer = null;
                passes.training = wasTraining;
                passes.batchWeight = weight;
                own.last().isForwarded = false;
            };
        });
    }

    /** Refuses an x that is not on the device, or of a shape that the layer is not for. */
    void checkInput(Tensor x) {
        passes.checkInput(x);
    }

    /** Makes a forward pass that is the layer's last one, into a tensor that the caller closes. */
    Tensor forward(Tensor x) {
        own.enter();
        try {
            passes.checkInput(x);
            Tensor y = layer.device().allocate(x.shape(), x.layout(), x.type());
            try {
                passes.forward(own.last(), x, null, y, Besides.Forward.NOTHING, true);
            } catch (RuntimeException e) {
                y.close();
                throw e;
            }
            return y;
        } finally {
            own.leave();
        }
    }

    /** Makes a forward pass that is the layer's last one; see {@link PassRunner#forward}. */
    void forward(Tensor x, Tensor residual, Tensor y, Besides.Forward besides) {
        own.enter();
        try {
            passes.forward(own.last(), x, residual, y, besides, true);
        } finally {
            own.leave();
        }
    }

    /** Makes a forward pass that is kept; see {@link PassRunner#forward}. */
    ForwardPass record(Tensor x, Tensor residual, Tensor y, Besides.Forward besides, boolean counts) {
        own.enter();
        try {
            return new ForwardPass(layer, passes.forward(null, x, residual, y, besides, counts));
        } finally {
            own.leave();
        }
    }

    /** How many values each channel of x has that take part. */
    long count(Tensor x) {
        return PassRunner.perChannel(x, passes.mask);
    }

    /** The moments of each channel of x; what is returned waits for them. */
    Supplier<ChannelMoments> moments(Tensor x) {
        own.enter();
        try {
            passes.checkInput(x);
            return passes.moments(x);
        } finally {
            own.leave();
        }
    }

    // Of a forward pass that was recorded, or, where it is null, of the last one that was not.

    /** Goes back through a forward pass, into a tensor that the caller closes. */
    Tensor backward(ForwardPass through, Tensor dy) {
        own.enter();
        try {
            return passes.backward(stateOf(through), dy);
        } finally {
            own.leave();
        }
    }

    /** Goes back through a forward pass; see {@link PassRunner#backward}. */
    void backward(ForwardPass through, Tensor dy, Tensor dx, Tensor dresidual, Besides.Backward besides) {
        own.enter();
        try {
            passes.backward(stateOf(through), dy, dx, dresidual, besides);
        } finally {
            own.leave();
        }
    }

    /** The sums of a backward pass over a part of a batch; see {@link PassRunner#sums}. */
    Supplier<GradientSums> sums(ForwardPass through, Tensor dy) {
        own.enter();
        try {
            return passes.sums(stateOf(through), dy);
        } finally {
            own.leave();
        }
    }

    /** Lets a forward pass be gone back through more than once. */
    void retain(ForwardPass through) {
        own.enter();
        try {
            ForwardState state = stateOf(through);
            if (!state.isForwarded) {
                throw new IllegalStateException("retainForward needs a forward pass before it");
            }
            state.isRetained = true;
        } finally {
            own.leave();
        }
    }

    private ForwardState stateOf(ForwardPass through) {
        return through == null ? own.last() : through.state();
    }

    /** Ends a forward pass that was recorded, unless it was ended before. */
    void end(ForwardPass pass) {
        own.enter();
        try {
            ForwardState left = pass.end();
            if (left != null) {
                own.giveBack(left);
            }
        } finally {
            own.leave();
        }
    }
}
