package org.clnorm.example.network;

import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.function.IntFunction;
import org.clnorm.LayerNorm;
import org.clnorm.RmsNorm;
import org.clnorm.RowNormalizer;
import org.clnorm.example.Norm;
import org.clnorm.example.conv.ConvNetwork;
import org.clnorm.example.device.Part;
import org.clnorm.example.device.Queue;
import org.clnorm.example.transformer.TransformerNetwork;

/** Which network. */
public enum NetworkKind {
    /** A residual network with batch normalization. */
    CONV(
            "conv 5×5 to 16 channels, stride 2; residual blocks of 16 and of 32 channels, stride 2; mean, dense",
            0.01,
            2.5,
            List.of(Norm.BATCH)),
    /** A pre-norm transformer block. */
    TRANSFORMER(
            "rows of the image to 64, positions; a pre-norm block of 4 heads and 128 hidden units; norm, mean, dense",
            0.005,
            5,
            List.of(Norm.LAYER, Norm.RMS));

    private final String words;
    private final double rate;
    private final double halving;
    private final List<Norm> norms;

    NetworkKind(String words, double rate, double halving, List<Norm> norms) {
        this.words = words;
        this.rate = rate;
        this.halving = halving;
        this.norms = norms;
    }

    /** What it is made of. */
    String words() {
        return words;
    }

    /** The learning rate unless another is said. */
    public double rate() {
        return rate;
    }

    /** The epochs in which the rate halves. */
    public double halving() {
        return halving;
    }

    /** The normalizations that it can have, the default first. */
    public List<Norm> norms() {
        return norms;
    }

    /** The network. */
    Part build(Queue queue, Norm norm, int batch, int size, int classes, Random random) {
        return switch (this) {
            case CONV -> ConvNetwork.build(queue, batch, size, classes, random);
            case TRANSFORMER -> {
                IntFunction<RowNormalizer> layer = norm == Norm.RMS
                        ? width -> RmsNorm.builder(width).build(queue.device())
                        : width -> LayerNorm.builder(width).build(queue.device());
                yield TransformerNetwork.build(queue, batch, size, classes, layer, random);
            }
        };
    }

    /** As options have it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
