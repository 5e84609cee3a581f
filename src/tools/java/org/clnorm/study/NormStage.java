package org.clnorm.study;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Normalizer;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/** One of the library's normalizations, on the device. */
final class NormStage implements Stage {
    private final Device device;
    private final Normalizer norm;
    private final int units;
    private final IntFunction<Shape> shape;
    private final List<Parameter> parameters;
    /** γ and β as they are on the device too: nobody else changes them. */
    private final float[][] values;

    private final Map<Integer, Pair> pairs = new HashMap<>();
    private Pair last;
    private float[] input = {};

    /** Where a batch of so many rows goes and comes from; forward and backward take turns with the same two. */
    private record Pair(Tensor in, Tensor out) {}

    /**
     * A stage around a layer, which it owns.
     *
     * @param units values in a row
     * @param shape how the layer sees so many rows
     */
    NormStage(Device device, Normalizer norm, int units, IntFunction<Shape> shape) {
        this.device = device;
        this.norm = norm;
        this.units = units;
        this.shape = shape;
        parameters = norm.parameters();
        values = parameters.stream()
                .map(parameter -> parameter.value().download())
                .toArray(float[][]::new);
    }

    Normalizer norm() {
        return norm;
    }

    @Override
    public float[] forward(float[] x, Mode mode) {
        if (mode == Mode.TRAIN) {
            norm.train();
        } else if (mode == Mode.ADAPTED && norm instanceof BatchNorm batchNorm) {
            batchNorm.evalAdapted(1);
        } else {
            norm.eval();
        }
        last = pairs.computeIfAbsent(x.length / units, this::pair);
        input = x;
        last.in().upload(x);
        norm.forward(last.in(), last.out());
        return last.out().download();
    }

    /** The variance of each unit of the last input; for layers of rows. */
    double[] inputVariances() {
        double[] variances = new double[units];
        int rows = input.length / units;
        for (int unit = 0; unit < units; unit++) {
            float[] column = new float[rows];
            for (int row = 0; row < rows; row++) {
                column[row] = input[row * units + unit];
            }
            double deviation = Vectors.moments(column)[1];
            variances[unit] = deviation * deviation;
        }
        return variances;
    }

    private Pair pair(int rows) {
        return new Pair(
                device.tensor(shape.apply(rows), Layout.CHANNELS_FIRST),
                device.tensor(shape.apply(rows), Layout.CHANNELS_FIRST));
    }

    @Override
    public float[] backward(float[] dy) {
        last.out().upload(dy);
        norm.backward(last.out(), last.out());
        return last.out().download();
    }

    @Override
    public int size() {
        int size = 0;
        for (float[] value : values) {
            size += value.length;
        }
        return size;
    }

    @Override
    public void read(float[] to, int at) {
        int next = at;
        for (float[] value : values) {
            System.arraycopy(value, 0, to, next, value.length);
            next += value.length;
        }
    }

    @Override
    public void write(float[] from, int at) {
        int next = at;
        for (int i = 0; i < values.length; i++) {
            System.arraycopy(from, next, values[i], 0, values[i].length);
            parameters.get(i).value().upload(values[i]);
            next += values[i].length;
        }
    }

    @Override
    public void gradient(float[] to, int at) {
        int next = at;
        for (Parameter parameter : parameters) {
            float[] gradient = parameter.gradient().download();
            System.arraycopy(gradient, 0, to, next, gradient.length);
            next += gradient.length;
        }
    }

    @Override
    public void close() {
        pairs.values().forEach(pair -> {
            pair.in().close();
            pair.out().close();
        });
        norm.close();
    }
}
