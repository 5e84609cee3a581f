package org.clnorm.example;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * The layer on the device against the same layer on the double-precision reference, at the network's own shape.
 *
 * @param shape of the activations compared
 */
record CrossCheck(Shape shape, List<Row> rows) {
    /** The largest error allowed, as a share of the array's largest magnitude. */
    static final double BOUND = 5e-7;

    private static final float CORNER = 1e-4f;

    /**
     * One array compared.
     *
     * @param error the largest absolute difference
     * @param largest the largest magnitude in the reference's array
     */
    record Row(String pass, String array, double error, double largest) {
        double relative() {
            return error == 0 ? 0 : error / largest;
        }

        /** False for NaN too. */
        boolean agrees() {
            return relative() <= BOUND;
        }
    }

    boolean agrees() {
        return rows.stream().allMatch(Row::agrees);
    }

    static CrossCheck of(Device device, int batch, int channels) {
        Shape shape = Shape.of(batch, channels);
        try (Device reference = Device.cpuReference()) {
            Inputs inputs = Inputs.random(shape).clearOfTheCorner(reference);
            List<Array> expected = arrays(reference, inputs);
            List<Array> actual = arrays(device, inputs);
            return new CrossCheck(
                    shape,
                    IntStream.range(0, expected.size())
                            .mapToObj(i -> row(expected.get(i), actual.get(i)))
                            .toList());
        }
    }

    /** What both devices are given. */
    record Inputs(Shape shape, float[] x, float[] dy, float[] gamma, float[] beta) {
        /** Channels of different means and deviations, as a dense layer's outputs have. */
        static Inputs random(Shape shape) {
            Random random = new Random(20);
            int channels = (int) shape.channels();
            float[] gamma = gaussian(random, channels, 1, 0.3);
            float[] beta = gaussian(random, channels, 0, 0.5);
            float[] mean = gaussian(random, channels, 0, 2);
            float[] x = gaussian(random, (int) shape.elements(), 0, 1);
            for (int i = 0; i < x.length; i++) {
                int channel = i % channels;
                x[i] = mean[channel] + (0.2f + channel % 7) * x[i];
            }
            return new Inputs(shape, x, gaussian(random, x.length, 0, 0.01), gamma, beta);
        }

        /**
         * The same with dy = 0 wherever the value before the ReLU is so near 0 that rounding alone decides whether its
         * gradient passes.
         */
        Inputs clearOfTheCorner(Device reference) {
            float[] clear = dy.clone();
            try (BatchNorm norm = layer(reference, Activation.NONE);
                    Tensor in = on(reference, x)) {
                for (int pass = 0; pass < 2; pass++) {
                    float[] y = download(norm.forward(in));
                    for (int i = 0; i < y.length; i++) {
                        clear[i] = Math.abs(y[i]) < CORNER ? 0 : clear[i];
                    }
                    norm.eval();
                }
            }
            return new Inputs(shape, x, clear, gamma, beta);
        }

        /** The layer, in training mode. */
        BatchNorm layer(Device device, Activation activation) {
            BatchNorm norm = BatchNorm.builder((int) shape.channels())
                    .activation(activation)
                    .build(device);
            norm.gamma().orElseThrow().value().upload(gamma);
            norm.beta().orElseThrow().value().upload(beta);
            return norm;
        }

        Tensor on(Device device, float[] values) {
            return device.upload(values, shape, Layout.CHANNELS_FIRST);
        }

        private static float[] gaussian(Random random, int size, double mean, double deviation) {
            float[] values = new float[size];
            for (int i = 0; i < size; i++) {
                values[i] = (float) (mean + deviation * random.nextGaussian());
            }
            return values;
        }
    }

    private record Array(String pass, String name, float[] values) {}

    private static List<Array> arrays(Device device, Inputs inputs) {
        try (BatchNorm norm = inputs.layer(device, Activation.RELU);
                Tensor x = inputs.on(device, inputs.x());
                Tensor dy = inputs.on(device, inputs.dy())) {
            Parameter gamma = norm.gamma().orElseThrow();
            Parameter beta = norm.beta().orElseThrow();
            List<Array> training = List.of(
                    new Array("training", "y", download(norm.forward(x))),
                    new Array("training", "saved mean", norm.savedMean().download()),
                    new Array(
                            "training",
                            "saved 1/σ",
                            norm.savedInverseStandardDeviation().download()),
                    new Array("training", "dx", download(norm.backward(dy))),
                    new Array("training", "dγ", gamma.gradient().download()),
                    new Array("training", "dβ", beta.gradient().download()),
                    new Array(
                            "training",
                            "running mean",
                            norm.runningMean().orElseThrow().download()),
                    new Array(
                            "training",
                            "running variance",
                            norm.runningVariance().orElseThrow().download()));
            norm.eval();
            List<Array> evaluation = List.of(
                    new Array("evaluation", "y", download(norm.forward(x))),
                    new Array("evaluation", "dx", download(norm.backward(dy))));
            return Stream.of(training, evaluation).flatMap(List::stream).toList();
        }
    }

    private static float[] download(Tensor result) {
        try (result) {
            return result.download();
        }
    }

    private static Row row(Array expected, Array actual) {
        double error = 0;
        double largest = 0;
        for (int i = 0; i < expected.values().length; i++) {
            // Math.max keeps a NaN once it has seen one.
            error = Math.max(error, Math.abs((double) actual.values()[i] - expected.values()[i]));
            largest = Math.max(largest, Math.abs(expected.values()[i]));
        }
        return new Row(expected.pass(), expected.name(), error, largest);
    }
}
