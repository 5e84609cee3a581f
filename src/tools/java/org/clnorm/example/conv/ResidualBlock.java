package org.clnorm.example.conv;

import java.util.Random;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Tensor;
import org.clnorm.example.device.AddUp;
import org.clnorm.example.device.Composite;
import org.clnorm.example.device.Normalization;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Queue;

/**
 * A residual block (He et al., 2016): two convolutions with batch normalization, and x past them.
 *
 * <pre>
 * x ─ conv 3×3 ─ norm, ReLU ─ conv 3×3 ─ norm, + shortcut, ReLU ─ y
 * └───────────── shortcut: x, or conv 1×1 and norm ────────┘
 * </pre>
 *
 * <p>Each of the two lines of normalization is one call of clnorm: addition and ReLU are in the same pass over memory.
 */
public final class ResidualBlock extends Composite {
    private final Part conv1;
    private final Part norm1;
    private final Part conv2;
    private final Normalization norm2;
    /** Null where x itself has the shape of y. */
    private final Part shortcut;

    private final AddUp addUp;

    /**
     * @param in what the first convolution is over; its stride is the block's
     */
    public ResidualBlock(Queue queue, Conv2d.Geometry in, Random random) {
        Conv2d.Geometry inner = new Conv2d.Geometry(in.batch(), in.outputSize(), in.outputs(), in.outputs(), 3, 1);
        conv1 = add("conv1", new Conv2d(queue, in, random));
        norm1 = add("norm1", norm(queue, inner, Activation.RELU));
        conv2 = add("conv2", new Conv2d(queue, inner, random));
        norm2 = add(
                "norm2",
                Normalization.withResidual(
                        queue,
                        layer(queue, inner, Activation.RELU),
                        inner.batch(),
                        inner.outputs(),
                        inner.size(),
                        inner.size()));
        shortcut = in.stride() == 1 && in.inputs() == in.outputs()
                ? null
                : add("shortcut", new Projection(queue, in, inner, random));
        addUp = new AddUp(queue, in.batch(), in.inputs(), in.size(), in.size());
    }

    private static Normalization norm(Queue queue, Conv2d.Geometry of, Activation activation) {
        return Normalization.of(queue, layer(queue, of, activation), of.batch(), of.outputs(), of.size(), of.size());
    }

    private static BatchNorm layer(Queue queue, Conv2d.Geometry of, Activation activation) {
        return BatchNorm.builder(of.outputs()).activation(activation).build(queue.device());
    }

    @Override
    public Tensor forward(Tensor x) {
        Tensor residual = shortcut == null ? x : shortcut.forward(x);
        return norm2.forward(conv2.forward(norm1.forward(conv1.forward(x))), residual);
    }

    @Override
    public Tensor backward(Tensor dy) {
        Tensor main = conv1.backward(norm1.backward(conv2.backward(norm2.backward(dy))));
        Tensor residual = norm2.residualGradient();
        return addUp.of(main, shortcut == null ? residual : shortcut.backward(residual));
    }

    /** x past the block where its shape changes: a convolution that looks at single positions, and its norm. */
    private static final class Projection extends Composite {
        private final Part conv;
        private final Part norm;

        Projection(Queue queue, Conv2d.Geometry in, Conv2d.Geometry out, Random random) {
            Conv2d.Geometry single =
                    new Conv2d.Geometry(in.batch(), in.size(), in.inputs(), in.outputs(), 1, in.stride());
            conv = add("conv", new Conv2d(queue, single, random));
            norm = add("norm", norm(queue, out, Activation.NONE));
        }

        @Override
        public Tensor forward(Tensor x) {
            return norm.forward(conv.forward(x));
        }

        @Override
        public Tensor backward(Tensor dy) {
            return conv.backward(norm.backward(dy));
        }
    }
}
