package org.clnorm;

import java.util.List;
import java.util.function.Function;

/** One layer of each kind, all for tensors of shape {@link #SHAPE}, channels-first. */
public enum TestLayer {
    BATCH("batch normalization of 4 channels", device -> BatchNorm.builder(4).build(device), Shape.of(2, 3, 4)),
    GROUP(
            "group normalization of 4 channels in 2 groups",
            device -> GroupNorm.builder(2, 4).build(device),
            Shape.of(2, 3, 4),
            Shape.of(2, 8, 3)),
    INSTANCE(
            "instance normalization of 4 channels",
            device -> InstanceNorm.builder(4).build(device),
            Shape.of(2, 3, 4)),
    LAYER("layer normalization over (3)", device -> LayerNorm.builder(3).build(device), Shape.of(2, 3, 4)),
    LAYER_OVER_CHANNELS(
            "layer normalization over 4 channels",
            device -> LayerNorm.overChannels(4).build(device),
            Shape.of(2, 3, 4)),
    LAYER_OF_SEVERAL(
            "layer normalization over (2, 4, 3)",
            device -> LayerNorm.builder(2, 4, 3).build(device),
            Shape.of(4, 3),
            Shape.of(3, 4, 3),
            Shape.of(2, 2, 4, 4)),
    RMS(
            "root mean square normalization over (4, 3)",
            device -> RmsNorm.builder(4, 3).build(device),
            Shape.of(2, 3, 4),
            Shape.of(12, 3)),
    WEIGHT("weight normalization of 2 rows", device -> WeightNorm.builder(2).build(device), Shape.of(3, 2, 4)),
    L2(
            "normalization of the lengths of rows of 3 dimensions",
            device -> L2Norm.builder().dimensions(3).build(device),
            Shape.of(2, 12));

    /** Of x. */
    public static final Shape SHAPE = Shape.of(2, 4, 3);

    private final String what;
    private final Function<Device, Normalizer> builder;
    private final List<Shape> wrong;

    TestLayer(String what, Function<Device, Normalizer> builder, Shape... wrong) {
        this.what = what;
        this.builder = builder;
        this.wrong = List.of(wrong);
    }

    /** A new layer. */
    public Normalizer build(Device device) {
        return builder.apply(device);
    }

    /** What it calls itself. */
    public String what() {
        return what;
    }

    /** Shapes that it refuses, beside those of rank 1 and 6. */
    List<Shape> wrong() {
        return wrong;
    }
}
