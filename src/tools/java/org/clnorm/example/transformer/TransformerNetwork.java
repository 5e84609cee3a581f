package org.clnorm.example.transformer;

import java.util.Random;
import java.util.function.IntFunction;
import org.clnorm.RowNormalizer;
import org.clnorm.example.device.Chain;
import org.clnorm.example.device.Dense;
import org.clnorm.example.device.MeanPool;
import org.clnorm.example.device.Normalization;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Queue;

/** An image as the sequence of its rows, through one pre-norm block: the pattern of networks for sequences. */
public final class TransformerNetwork {
    private static final int WIDTH = 64;
    private static final int HEADS = 4;

    private TransformerNetwork() {}

    /**
     * The network, whose x are images (batch, 1, size, size), or (batch · size) rows of size pixels, which are the same
     * in memory.
     *
     * @param norm makes a layer of clnorm for rows of a width: layer or RMS normalization
     * @param random what its weights are made of
     */
    public static Part build(
            Queue queue, int batch, int size, int classes, IntFunction<RowNormalizer> norm, Random random) {
        int rows = batch * size;
        return new Chain()
                .then("embedding", new Dense(queue, rows, size, WIDTH, 1, random))
                .then("positions", new Positions(queue, batch, size, WIDTH, random))
                .then("block", new TransformerBlock(queue, batch, size, WIDTH, HEADS, norm, random))
                .then("norm", Normalization.of(queue, norm.apply(WIDTH), rows, WIDTH))
                .then("pool", new MeanPool(queue, batch, WIDTH, rows, WIDTH))
                .then("head", new Dense(queue, batch, WIDTH, classes, 1, random));
    }
}
