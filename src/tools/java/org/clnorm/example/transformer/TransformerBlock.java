package org.clnorm.example.transformer;

import java.util.Random;
import java.util.function.IntFunction;
import org.clnorm.RowNormalizer;
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
 * sum = x + attention(norm1(x))
 * y = sum + mlp(norm2(sum))
 * </pre>
 *
 * The second normalization makes the sum that it normalizes, and going back both add the gradient that came past them: so of
 * the four additions here three take no pass over memory of their own.
 */
public final class TransformerBlock extends Composite {
    private final Normalization ofX;
    private final Part attention;
    private final Normalization ofSum;
    private final Part mlp;
    private final AddUp y;

    /**
     * @param batch how many sequences
     * @param rows of a sequence
     * @param width of a row
     * @param norm makes a layer of clnorm for rows of a width
     */
    public TransformerBlock(
            Queue queue, int batch, int rows, int width, int heads, IntFunction<RowNormalizer> norm, Random random) {
        int all = batch * rows;
        ofX = add("attention.norm", Normalization.of(queue, norm.apply(width), all, width));
        attention = add("attention.part", new Attention(queue, batch, rows, width, heads, random));
        ofSum = add("mlp.norm", Normalization.ofSum(queue, norm.apply(width), all, width));
        mlp = add(
                "mlp.part",
                new Chain()
                        .then("in", new Dense(queue, all, width, 2 * width, Math.sqrt(2), random))
                        .then("relu", new Relu(queue, all, 2L * width))
                        .then("out", new Dense(queue, all, 2 * width, width, 1, random)));
        y = new AddUp(queue, all, width);
    }

    @Override
    public Tensor forward(Tensor x) {
        Tensor normalized = ofSum.forwardAdding(attention.forward(ofX.forward(x)), x);
        return y.of(ofSum.sum(), mlp.forward(normalized));
    }

    @Override
    public Tensor backward(Tensor dy) {
        Tensor ofBoth = ofSum.backwardAdding(mlp.backward(dy), dy);
        return ofX.backwardAdding(attention.backward(ofBoth), ofBoth);
    }
}
