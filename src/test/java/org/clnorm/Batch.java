package org.clnorm;

import java.util.Arrays;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;

/** A batch of float32 values as a test holds it: in memory order, to be had and made channel by channel. */
public record Batch(Shape shape, Layout layout, float[] values) {

    /** Normally distributed, each channel with a mean and a spread of its own; the same values in both layouts. */
    public static Batch random(Shape shape, Layout layout, long seed) {
        return random(shape, layout, seed, channel -> channel / 2 - 1.0 / 3);
    }

    /** As the gradient of a loss is: normally distributed around nearly 0, each channel with a spread of its own. */
    public static Batch gradient(Shape shape, Layout layout, long seed) {
        return random(shape, layout, seed, channel -> 0.1);
    }

    /** Normally distributed with means that are so many standard deviations. */
    public static Batch random(Shape shape, Layout layout, long seed, DoubleUnaryOperator meanOfChannel) {
        Random random = new Random(seed);
        double[][] channels = new double[(int) shape.channels()][valuesPerChannel(shape)];
        for (int c = 0; c < channels.length; c++) {
            double deviation = 1 + c % 3;
            double mean = meanOfChannel.applyAsDouble(c);
            Arrays.setAll(channels[c], i -> deviation * (mean + random.nextGaussian()));
        }
        return of(shape, layout, channels);
    }

    /** The given values of each channel, in the order of n and then of the position, rounded to float32. */
    public static Batch of(Shape shape, Layout layout, double[][] channels) {
        Batch batch = new Batch(shape, layout, new float[(int) shape.elements()]);
        for (int c = 0; c < channels.length; c++) {
            for (int i = 0; i < channels[c].length; i++) {
                batch.values[batch.index(c, i)] = (float) channels[c][i];
            }
        }
        return batch;
    }

    /** The values of one channel, in the order of n and then of the position. */
    public double[] channel(int channel) {
        double[] picked = new double[valuesPerChannel(shape)];
        Arrays.setAll(picked, i -> values[index(channel, i)]);
        return picked;
    }

    /** The same with one element changed. */
    public Batch with(int channel, int i, float value) {
        Batch changed = new Batch(shape, layout, values.clone());
        changed.values[index(channel, i)] = value;
        return changed;
    }

    /** Other values in the same places. */
    public Batch holding(float[] others) {
        return new Batch(shape, layout, others);
    }

    /** A tensor of these values. */
    public Tensor on(Device device) {
        return device.upload(values, shape, layout);
    }

    public int channels() {
        return (int) shape.channels();
    }

    private int index(int channel, int i) {
        int spatial = (int) shape.spatial();
        int n = i / spatial;
        int position = i % spatial;
        return layout == Layout.CHANNELS_FIRST
                ? (n * channels() + channel) * spatial + position
                : (n * spatial + position) * channels() + channel;
    }

    private static int valuesPerChannel(Shape shape) {
        return Math.toIntExact(shape.batch() * shape.spatial());
    }

    @Override
    public String toString() {
        return shape + " " + layout;
    }
}
