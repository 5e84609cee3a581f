package org.clnorm.study;

import static org.clnorm.study.Plot.logarithmic;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/** Whitening against batch normalization. */
final class WhiteningExperiment implements Experiment {
    private static final double[] CHANNELS = {8, 16, 32, 64, 128};
    private static final int WIDE = 4;
    private static final int ROWS = 512;
    private static final double[] RATES = {0.1, 0.3, 1, 3, 10, 30, 100, 300};
    private static final int STEPS = 60;
    private static final double EPSILON = 1e-3;
    private static final double HIGHEST = 100;

    @Override
    public String name() {
        return "whitening";
    }

    @Override
    public String title() {
        return "Whitening, the costly ideal";
    }

    @Override
    public String claim() {
        return "Full whitening, which takes out correlations too, would speed up learning more than batch normalization,"
                + " but costs too much; normalizing each channel is the cheap part of it.";
    }

    @Override
    public String source() {
        return "LeCun et al., “Efficient BackProp”, 1998; Ioffe and Szegedy, 2015, §2; ZCA: Bell and Sejnowski, 1997;"
                + " by Newton and Schulz: Huang et al., “Iterative Normalization”, 2019";
    }

    @Override
    public String method(Lab lab) {
        return "Time: " + ROWS + " rows of correlated normal numbers, the median of several calls, each with its"
                + " statistics: batch normalization on the device, where the data is already; the same by the reference"
                + " in plain Java and double precision; and ZCA in plain Java and double precision. Effect: softmax"
                + " regression on digits of 7 by 7 pixels, as they are, batch-normalized without γ and β, or whitened"
                + " (ε = 0.001 on each variance), " + lab.steps(STEPS) + " steps of full gradient descent at each rate."
                + " A loss over 100, or none, is drawn as 100. Only inputs are whitened here: within a network ZCA would"
                + " need its gradient too, at a multiple of the time.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes times = lab.alone(CHANNELS.length, (seed, i) -> times(lab.device(), (int) CHANNELS[i], seed));
        Outcomes learned = lab.trials(3, (seed, i) -> learn(lab, i, seed));
        int n = RATES.length;
        return new Finding(
                List.of(
                        Plot.of(
                                "Time of one forward pass",
                                logarithmic("channels"),
                                logarithmic("milliseconds (log scale)"),
                                times.series("batch normalization, device", CHANNELS, 0, 0),
                                times.series("in plain Java", CHANNELS, 0, 2),
                                times.series("ZCA in plain Java", CHANNELS, 0, 1)),
                        Plot.of(
                                "Loss of softmax regression after the training",
                                logarithmic("learning rate"),
                                logarithmic("loss (log scale)"),
                                learned.along("as they are", RATES, 0, 0),
                                learned.along("batch normalization", RATES, 1, 0),
                                learned.along("ZCA", RATES, 2, 0))),
                List.of(
                        Check.ratioAbove(
                                "whitening 128 channels costs over 10 times as much",
                                "time over time, both in plain Java",
                                times.bySeed(seed -> seed[WIDE][1] / seed[WIDE][2]),
                                10),
                        Check.below("whitening takes out correlations", "their mean magnitude", learned.at(2, n), 0.1),
                        Check.ratioAbove(
                                "batch normalization leaves correlations",
                                "their mean magnitude, over that of whitened data",
                                learned.bySeed(seed -> seed[1][n] / seed[2][n]),
                                5),
                        Check.ratioAbove(
                                "at the best rate whitened data is learned further",
                                "loss with batch normalization over loss with whitening",
                                learned.bySeed(seed -> lowest(seed[1]) / lowest(seed[2])),
                                1),
                        Check.ratioAbove(
                                "batch-normalized data is learned further than raw data",
                                "loss without over loss with",
                                learned.bySeed(seed -> lowest(seed[0]) / lowest(seed[1])),
                                1)));
    }

    private static double lowest(double[] losses) {
        return Arrays.stream(losses).limit(RATES.length).min().orElseThrow();
    }

    /** Milliseconds of batch normalization, of whitening, and of batch normalization in plain Java. */
    private static double[] times(Device device, int channels, long seed) {
        Random random = new Random(seed);
        float[] x = Noise.gaussian(ROWS * channels, 0, 1, random);
        for (int i = 1; i < x.length; i++) {
            x[i] = i % channels == 0 ? x[i] : 0.5f * x[i - 1] + x[i];
        }
        Shape shape = Shape.of(ROWS, channels);
        try (BatchNorm norm = BatchNorm.builder(channels).build(device);
                Tensor in = device.upload(x, shape, Layout.CHANNELS_FIRST);
                Tensor out = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            double fast = median(15, () -> {
                norm.forward(in, out);
                device.finish();
            });
            double slow = median(3, () -> Whitening.of(x, channels, EPSILON).apply(x));
            return new double[] {fast, slow, reference(x, shape)};
        }
    }

    /** Milliseconds of batch normalization in plain Java and double precision, as whitening is. */
    private static double reference(float[] x, Shape shape) {
        try (Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder((int) shape.channels()).build(device);
                Tensor in = device.upload(x, shape, Layout.CHANNELS_FIRST);
                Tensor out = device.tensor(shape, Layout.CHANNELS_FIRST)) {
            return median(15, () -> norm.forward(in, out));
        }
    }

    private static double median(int calls, Runnable call) {
        call.run();
        double[] times = new double[calls];
        for (int i = 0; i < calls; i++) {
            long start = System.nanoTime();
            call.run();
            times[i] = (System.nanoTime() - start) / 1e6;
        }
        Arrays.sort(times);
        return times[calls / 2];
    }

    /** The losses by rate, then the mean correlation of the inputs. */
    private static double[] learn(Lab lab, int kind, long seed) {
        Samples all = lab.coarse();
        int[] order = Drill.shuffled(all.size(), new Random(seed));
        Samples half = all.rows(order, 0, all.size() / 2);
        float[] inputs = prepared(lab.device(), half, kind);
        double[] seen = new double[RATES.length + 1];
        for (int i = 0; i < RATES.length; i++) {
            seen[i] = loss(half.with(inputs), RATES[i], lab.steps(STEPS), seed);
        }
        seen[RATES.length] = Whitening.correlation(inputs, half.pixels());
        return seen;
    }

    private static float[] prepared(Device device, Samples samples, int kind) {
        if (kind == 0) {
            return samples.images();
        }
        if (kind == 2) {
            return Whitening.of(samples.images(), samples.pixels(), EPSILON).apply(samples.images());
        }
        // With the ε of whitening, or dark pixels would be blown up in the one and not in the other.
        BatchNorm.Builder builder =
                BatchNorm.builder(samples.pixels()).gamma(false).beta(false).epsilon(EPSILON);
        try (NormStage norm = Norming.of(device, builder, samples.pixels())) {
            return norm.forward(samples.images(), Mode.TRAIN);
        }
    }

    private static double loss(Samples samples, double rate, int steps, long seed) {
        try (Net net = new Net(List.of(new DenseStage(samples.pixels(), Net.CLASSES, 0.1, true, new Random(seed))))) {
            for (int step = 0; step < steps; step++) {
                net.loss(samples);
                net.step(rate);
            }
            DoubleUnaryOperator shown = loss -> loss < HIGHEST ? loss : HIGHEST; // of NaN too
            return shown.applyAsDouble(net.loss(samples));
        }
    }
}
