package org.clnorm.example.conv;

import java.util.Random;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.example.device.Chain;
import org.clnorm.example.device.Dense;
import org.clnorm.example.device.MeanPool;
import org.clnorm.example.device.Normalization;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Queue;

/** A small residual network for images of one channel, from the stem to the logits. */
public final class ConvNetwork {
    private static final int CHANNELS = 16;

    private ConvNetwork() {}

    /**
     * The network, whose x are images (batch, 1, size, size).
     *
     * @param size the images' height and width, a multiple of 4
     * @param random what its weights are made of
     */
    public static Part build(Queue queue, int batch, int size, int classes, Random random) {
        Conv2d.Geometry stem = new Conv2d.Geometry(batch, size, 1, CHANNELS, 5, 2);
        Conv2d.Geometry first = new Conv2d.Geometry(batch, stem.outputSize(), CHANNELS, CHANNELS, 3, 1);
        Conv2d.Geometry second = new Conv2d.Geometry(batch, stem.outputSize(), CHANNELS, 2 * CHANNELS, 3, 2);
        int last = second.outputSize();
        return new Chain()
                .then("stem", new Conv2d(queue, stem, random))
                .then(
                        "norm",
                        Normalization.of(
                                queue,
                                BatchNorm.builder(CHANNELS)
                                        .activation(Activation.RELU)
                                        .build(queue.device()),
                                batch,
                                CHANNELS,
                                stem.outputSize(),
                                stem.outputSize()))
                .then("block1", new ResidualBlock(queue, first, random))
                .then("block2", new ResidualBlock(queue, second, random))
                .then("pool", new MeanPool(queue, batch, 2 * CHANNELS, batch, 2 * CHANNELS, last, last))
                .then("head", new Dense(queue, batch, 2 * CHANNELS, classes, 1, random));
    }
}
