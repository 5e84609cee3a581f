package org.clnorm.example.transformer;

import java.util.Random;
import java.util.function.IntFunction;
import org.clnorm.Normalizer;
import org.clnorm.Tensor;
import org.clnorm.example.device.AddUp;
import org.clnorm.example.device.Chain;
import org.clnorm.example.device.Composite;
import org.clnorm.example.device.Dense;
import org.clnorm.example.device.Normalization;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Queue;
import org.clnorm.example.device.Relu;

/**
 * A pre-norm transformer block (Xiong et al., 2020): the normalizations stand in the two branches, and the sum past them is
 * never normalized.
 *
 * <pre>
 * x = x + attention(norm1(x))
 * x = x + mlp(norm2(x))
 * </pre>
 */
public final class TransformerBlock extends Composite {
    private final Branch attention;
    private final Branch mlp;

    /**
     * @param batch how many sequences
     * @param rows of a sequence
     * @param width of a row
     * @param norm makes a layer of clnorm for rows of a width
     */
    public TransformerBlock(
            Queue queue, int batch, int rows, int width, int heads, IntFunction<Normalizer> norm, Random random) {
        int all = batch * rows;
        attention = add(
                "attention",
                new Branch(queue, all, width, norm, new Attention(queue, batch, rows, width, heads, random)));
        mlp = add(
                "mlp",
                new Branch(
                        queue,
                        all,
                        width,
                        norm,
                        new Chain()
                                .then("in", new Dense(queue, all, width, 2 * width, Math.sqrt(2), random))
                                .then("relu", new Relu(queue, all, 2L * width))
                                .then("out", new Dense(queue, all, 2 * width, width, 1, random))));
    }

    @Override
    public Tensor forward(Tensor x) {
        return mlp.forward(attention.forward(x));
    }

    @Override
    public Tensor backward(Tensor dy) {
        return attention.backward(mlp.backward(dy));
    }

    /** x + part(norm(x)). */
    private static final class Branch extends Composite {
        private final Part norm;
        private final Part part;
        private final AddUp sum;
        private final AddUp gradient;

        Branch(Queue queue, int rows, int width, IntFunction<Normalizer> norm, Part part) {
            this.norm = add("norm", Normalization.of(queue, norm.apply(width), rows, width));
            this.part = add("part", part);
            this.sum = new AddUp(queue, rows, width);
            this.gradient = new AddUp(queue, rows, width);
        }

        @Override
        public Tensor forward(Tensor x) {
            return sum.of(x, part.forward(norm.forward(x)));
        }

        @Override
        public Tensor backward(Tensor dy) {
            return gradient.of(dy, norm.backward(part.backward(dy)));
        }
    }
}
