package org.clnorm.example;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Normalizer;
import org.clnorm.Parameter;
import org.clnorm.RunningNormalizer;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * The layer on the device against the same layer on the double-precision reference, at the network's own shape.
 *
 * @param norm which normalization
 * @param shape of the activations compared
 * @param rows none for no normalization
 */
record CrossCheck(Norm norm, Shape shape, List<Row> rows) {
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

    static CrossCheck of(Norm norm, Device device, int batch, int units) {
        Shape shape = norm.shape(batch, units);
        if (norm == Norm.NONE) {
            return new CrossCheck(norm, shape, List.of());
        }
        try (Device reference = Device.cpuReference()) {
            Inputs inputs = Inputs.random(norm, batch, units).clearOfTheCorner(reference);
            List<Array> expected = arrays(reference, inputs);
            List<Array> actual = arrays(device, inputs);
            return new CrossCheck(
                    norm,
                    shape,
                    IntStream.range(0, expected.size())
                            .mapToObj(i -> row(expected.get(i), actual.get(i)))
                            .toList());
        }
    }

    /** What both devices are given. */
    record Inputs(Norm norm, int batch, int units, float[] x, float[] dy, float[] gamma, float[] beta) {
        /** Units of different means and deviations, as a dense layer's outputs have. */
        static Inputs random(Norm norm, int batch, int units) {
            Random random = new Random(20);
            float[] gamma = gaussian(random, units, 1, 0.3);
            float[] beta = gaussian(random, units, 0, 0.5);
            float[] mean = gaussian(random, units, 0, 2);
            float[] x = gaussian(random, batch * units, 0, 1);
            for (int i = 0; i < x.length; i++) {
                int unit = i % units;
                x[i] = mean[unit] + (0.2f + unit % 7) * x[i];
            }
            return new Inputs(norm, batch, units, x, gaussian(random, x.length, 0, 0.01), gamma, beta);
        }

        /**
         * The same with dy = 0 wherever the value before the ReLU is so near 0 that rounding alone decides whether its
         * gradient passes.
         */
        Inputs clearOfTheCorner(Device reference) {
            float[] clear = dy.clone();
            try (Normalizer layer = layer(reference, Activation.NONE);
                    Tensor in = on(reference, x)) {
                for (int pass = 0; pass < 2; pass++) {
                    float[] y = download(layer.forward(in));
                    for (int i = 0; i < y.length; i++) {
                        clear[i] = Math.abs(y[i]) < CORNER ? 0 : clear[i];
                    }
                    layer.eval();
                }
            }
            return new Inputs(norm, batch, units, x, clear, gamma, beta);
        }

        /** The layer, in training mode. */
        Normalizer layer(Device device, Activation activation) {
            Normalizer layer = norm.build(device, activation, batch, units);
            layer.gamma().ifPresent(parameter -> upload(parameter, gamma));
            layer.beta().ifPresent(parameter -> upload(parameter, beta));
            return layer;
        }

        /** As many values as it has. */
        private static void upload(Parameter parameter, float[] values) {
            Tensor value = parameter.value();
            value.upload(Arrays.copyOf(values, (int) value.shape().elements()));
        }

        Tensor on(Device device, float[] values) {
            return device.upload(values, norm.shape(batch, units), Layout.CHANNELS_FIRST);
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
        List<Array> arrays = new ArrayList<>();
        try (Normalizer norm = inputs.layer(device, Activation.RELU);
                Tensor x = inputs.on(device, inputs.x());
                Tensor dy = inputs.on(device, inputs.dy())) {
            arrays.add(new Array("training", "y", download(norm.forward(x))));
            // The layer's own, which are not to be closed.
            if (norm instanceof BatchNorm batchNorm && inputs.norm().isDiagnosed()) {
                arrays.add(new Array(
                        "training", "saved mean", batchNorm.savedMean().download()));
                arrays.add(new Array(
                        "training",
                        "saved 1/σ",
                        batchNorm.savedInverseStandardDeviation().download()));
            }
            arrays.add(new Array("training", "dx", download(norm.backward(dy))));
            norm.gamma()
                    .ifPresent(gamma -> arrays.add(
                            new Array("training", "dγ", gamma.gradient().download())));
            norm.beta()
                    .ifPresent(beta -> arrays.add(
                            new Array("training", "dβ", beta.gradient().download())));
            if (norm instanceof RunningNormalizer running) {
                running.runningMean()
                        .ifPresent(mean -> arrays.add(new Array("training", "running mean", mean.download())));
                running.runningVariance()
                        .ifPresent(
                                variance -> arrays.add(new Array("training", "running variance", variance.download())));
            }
            if (inputs.norm().isOfBatches()) {
                norm.eval();
                arrays.add(new Array("evaluation", "y", download(norm.forward(x))));
                arrays.add(new Array("evaluation", "dx", download(norm.backward(dy))));
            }
        }
        return arrays;
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
