package org.clnorm.benchmark;

import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/** A user's program that normalizes one tensor and reads it back: for the time from the start of a JVM to its end. */
final class FirstResult {
    private FirstResult() {}

    /** Takes a device's selector; says one word when y was read. */
    public static void main(String[] arguments) {
        Shape shape = Shape.of(32, 64, 56, 56);
        float[] x = new float[(int) shape.elements()];
        for (int i = 0; i < x.length; i++) {
            x[i] = i % 7;
        }
        try (Device device = Device.open(arguments[0]);
                BatchNorm layer = BatchNorm.builder(64).build(device);
                Tensor in = device.upload(x, shape, Layout.CHANNELS_FIRST);
                Tensor y = layer.forward(in)) {
            y.download(x);
            System.out.println(Float.isFinite(x[0]) && x[0] < 0 ? "read" : "y starts with " + x[0]);
        }
    }
}
