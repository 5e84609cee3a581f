package org.clnorm.lifecycle;

import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * A program of its own, for what only a new process shows. Its argument, if any, is the selector. It opens a device twice,
 * runs a layer, and prints a line with the device's kind, name and strategy; or the exception that it met.
 */
final class Child {
    private Child() {}

    public static void main(String[] args) {
        String selector = args.length == 0 ? null : args[0];
        try (Device device = open(selector);
                Device again = open(selector);
                BatchNorm norm = BatchNorm.builder(1).epsilon(0).build(again);
                Tensor x = again.upload(new float[] {1, 5}, Shape.of(2, 1), Layout.CHANNELS_FIRST);
                Tensor y = norm.forward(x)) {
            DeviceInfo info = device.info();
            long defaults = Device.candidates().stream()
                    .filter(candidate ->
                            candidate.isDefault() && candidate.info().name().equals(info.name()))
                    .count();
            System.out.println("opened|" + info.kind() + "|" + info.name() + "|" + info.strategy() + "|"
                    + y.download()[1] + "|" + defaults);
        } catch (IllegalArgumentException e) {
            System.out.println("refused|" + e.getMessage());
        }
    }

    private static Device open(String selector) {
        return selector == null ? Device.open() : Device.open(selector);
    }
}
