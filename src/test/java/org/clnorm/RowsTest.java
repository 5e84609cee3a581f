package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Random;
import java.util.function.Function;

/** Tensors of rows, whose last dimension is that of the features: {@link Device#rows(long...)}. */
final class RowsTest {
    private static final int BATCH = 3;
    private static final int TIME = 5;
    private static final int FEATURES = 8;

    /** A layer over features, and what of (batch, time) has statistics of its own, feature by feature or over them. */
    private enum Kind {
        BATCH_NORM(device -> BatchNorm.builder(FEATURES).build(device), (b, t, d) -> d),
        INSTANCE_NORM(device -> InstanceNorm.builder(FEATURES).build(device), (b, t, d) -> b * FEATURES + d),
        GROUP_NORM(device -> GroupNorm.builder(2, FEATURES).build(device), (b, t, d) -> b * 2 + d / (FEATURES / 2)),
        LAYER_NORM(device -> LayerNorm.builder(FEATURES).build(device), (b, t, d) -> b * TIME + t),
        RMS_NORM(device -> RmsNorm.builder(FEATURES).build(device), (b, t, d) -> b * TIME + t);

        /** The number of an element's group. */
        private interface Group {
            int of(int b, int t, int d);
        }

        private final Function<Device, Normalizer> layer;
        private final Group group;

        Kind(Function<Device, Normalizer> layer, Group group) {
            this.layer = layer;
            this.group = group;
        }

        boolean isOfRows() {
            return this == LAYER_NORM || this == RMS_NORM;
        }

        Normalizer build(Device device) {
            Normalizer built = layer.apply(device);
            for (Parameter parameter : built.parameters()) {
                float[] values = new float[FEATURES];
                for (int d = 0; d < FEATURES; d++) {
                    values[d] = (parameter.name().equals("weight") ? 1.5f : 0.25f) - 0.375f * d;
                }
                parameter.value().upload(values);
            }
            return built;
        }
    }

    private static float[] random(long seed) {
        Random random = new Random(seed);
        float[] values = new float[BATCH * TIME * FEATURES];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() * (1 + i % FEATURES % 3) + i % FEATURES * 0.25);
        }
        return values;
    }

    private static int index(int b, int t, int d) {
        return (b * TIME + t) * FEATURES + d;
    }

    /** From (batch, time, features) in memory to (batch, features, time). */
    private static float[] turned(float[] rows) {
        float[] turned = new float[rows.length];
        for (int b = 0; b < BATCH; b++) {
            for (int t = 0; t < TIME; t++) {
                for (int d = 0; d < FEATURES; d++) {
                    turned[(b * FEATURES + d) * TIME + t] = rows[index(b, t, d)];
                }
            }
        }
        return turned;
    }

    /** γ·x̂ + β by the definition, in double. */
    private static double[] expected(Kind kind, float[] x, Normalizer layer) {
        int groups = BATCH * Math.max(TIME, FEATURES);
        double[] count = new double[groups];
        double[] sum = new double[groups];
        double[] squares = new double[groups];
        float[] gamma = layer.gamma().orElseThrow().value().download();
        float[] beta = layer.beta().map(each -> each.value().download()).orElse(new float[FEATURES]);
        double[] y = new double[x.length];
        for (int step = 0; step < 3; step++) { // means, then squared deviations, then y
            for (int b = 0; b < BATCH; b++) {
                for (int t = 0; t < TIME; t++) {
                    for (int d = 0; d < FEATURES; d++) {
                        int g = kind.group.of(b, t, d);
                        double v = x[index(b, t, d)];
                        double mean = kind == Kind.RMS_NORM ? 0 : sum[g] / count[g];
                        if (step == 0) {
                            count[g]++;
                            sum[g] += v;
                        } else if (step == 1) {
                            squares[g] += (v - mean) * (v - mean);
                        } else {
                            double invstd = 1 / Math.sqrt(squares[g] / count[g] + layer.epsilon());
                            y[index(b, t, d)] = gamma[d] * (v - mean) * invstd + beta[d];
                        }
                    }
                }
            }
        }
        return y;
    }

    /** What a step gives. */
    private record Result(float[] y, float[] dx, float[] dgamma) {
        static Result of(Normalizer layer, Tensor xs, Tensor dys) {
            try (Tensor x = xs;
                    Tensor dy = dys;
                    Tensor y = layer.forward(x);
                    Tensor dx = layer.backward(dy)) {
                assertThat(y.shape()).isEqualTo(x.shape());
                assertThat(y.layout()).isEqualTo(x.layout());
                return new Result(
                        y.download(),
                        dx.download(),
                        layer.gamma().orElseThrow().gradient().download());
            }
        }
    }

    @OnEveryDevice
    void step_overRows_isTheDefinitionsAndThatOfTheSameDataTurnedRound(TestDevice on) {
        float[] x = random(1);
        float[] dy = random(2);
        for (Kind kind : Kind.values()) {
            try (Normalizer layer = kind.build(on.device());
                    Normalizer other = kind.build(TestDevice.REFERENCE.device())) {
                Device device = on.device();
                Result rows =
                        Result.of(layer, device.rows(x, BATCH, TIME, FEATURES), device.rows(dy, BATCH, TIME, FEATURES));
                Closeness.assertWithin(kind + " y", rows.y(), expected(kind, x, layer), 1e-5);

                Device reference = other.device();
                Shape shape = kind.isOfRows() ? Shape.of(BATCH * TIME, FEATURES) : Shape.of(BATCH, FEATURES, TIME);
                Function<float[], float[]> turn = kind.isOfRows() ? Function.identity() : RowsTest::turned;
                Result same = Result.of(
                        other,
                        reference.upload(turn.apply(x), shape, Layout.CHANNELS_FIRST),
                        reference.upload(turn.apply(dy), shape, Layout.CHANNELS_FIRST));
                Closeness.assertWithin(kind + " y", turn.apply(rows.y()), Closeness.wide(same.y()), 1e-5);
                Closeness.assertWithin(kind + " dx", turn.apply(rows.dx()), Closeness.wide(same.dx()), 1e-5);
                Closeness.assertWithin(kind + " dgamma", rows.dgamma(), Closeness.wide(same.dgamma()), 1e-4);
            }
        }
    }

    /** A row of several dimensions, and heads beside the time. */
    @OnBothBackends
    void step_overRowsOfOtherDimensions_isThatOfTheSameRowsAsAMatrix(TestDevice on) {
        float[] x = random(3);
        float[] dy = random(4);
        Device device = on.device();
        for (Kind kind : new Kind[] {Kind.BATCH_NORM, Kind.LAYER_NORM, Kind.RMS_NORM}) {
            try (Normalizer layer = kind.build(device)) {
                Result matrix = Result.of(
                        layer, device.rows(x, BATCH * TIME, FEATURES), device.rows(dy, BATCH * TIME, FEATURES));
                for (long[] dimensions :
                        new long[][] {{BATCH, TIME, FEATURES}, {BATCH, 1, TIME, FEATURES}, {1, BATCH, 1, TIME, FEATURES}
                        }) {
                    Result rows = Result.of(layer, device.rows(x, dimensions), device.rows(dy, dimensions));
                    String what = kind + " of " + Arrays.toString(dimensions);
                    Closeness.assertWithin(what, rows.y(), Closeness.wide(matrix.y()), 2e-6);
                    Closeness.assertWithin(what, rows.dx(), Closeness.wide(matrix.dx()), 2e-6);
                }
            }
        }
        try (LayerNorm several = LayerNorm.builder(TIME, FEATURES).build(device);
                LayerNorm one = LayerNorm.builder(TIME * FEATURES).build(device);
                Tensor rows = device.rows(x, BATCH, TIME, FEATURES);
                Tensor matrix = device.rows(x, BATCH, TIME * FEATURES);
                Tensor y = several.forward(rows);
                Tensor same = one.forward(matrix)) {
            assertThat(y.download()).isEqualTo(same.download());
        }
    }

    @OnBothBackends
    void rows_ofEachKind_haveTheShapeLayoutTypeAndElements(TestDevice on) {
        Device device = on.device();
        float[] values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
        try (Tensor zeros = device.rows(2, 3, 2);
                Tensor half = device.rows(DataType.FLOAT16, 2, 3, 2);
                Tensor given = device.rows(values, 2, 3, 2);
                Tensor rounded = device.rows(values, DataType.BFLOAT16, 2, 3, 2);
                Tensor matrix = device.rows(values, 6, 2);
                Tensor none = device.rows(0, 3, 2)) {
            for (Tensor each : new Tensor[] {zeros, half, given, rounded}) {
                assertThat(each.shape()).isEqualTo(Shape.of(2, 2, 3));
                assertThat(each.layout()).isEqualTo(Layout.CHANNELS_LAST);
            }
            assertThat(zeros.download()).hasSize(12).containsOnly(0);
            assertThat(half.type()).isEqualTo(DataType.FLOAT16);
            assertThat(half.download()).hasSize(12).containsOnly(0);
            assertThat(given.download()).isEqualTo(values);
            assertThat(rounded.type()).isEqualTo(DataType.BFLOAT16);
            assertThat(rounded.download()).isEqualTo(values);
            assertThat(matrix.shape()).isEqualTo(Shape.of(6, 2));
            assertThat(none.shape().elements()).isZero();
            String where = " on " + device.label();
            assertThat(given).hasToString("Tensor(2, 2, 3) channels-last, which lies as (2, 3, 2)," + where);
            assertThat(half).hasToString("Tensor(2, 2, 3) channels-last float16, which lies as (2, 3, 2)," + where);
            assertThat(matrix).hasToString("Tensor(6, 2) channels-last" + where);
        }
    }

    @OnBothBackends
    void rows_ofAWrongSize_sayWhatWasGiven(TestDevice on) {
        Device device = on.device();

        assertThatThrownBy(() -> device.rows(8))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("A tensor of rows has 2 or more dimensions, the last of them a row's, but given was (8)");
        assertThatThrownBy(() -> device.rows(2, -1, 3)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> device.rows(new float[5], 2, 3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("from must have the 6 elements");
    }

    @OnBothBackends
    void forward_overFeaturesInTheWrongPlace_saysHowToMakeRows(TestDevice on) {
        Device device = on.device();
        try (BatchNorm norm = BatchNorm.builder(8).build(device);
                Tensor features = device.tensor(Shape.of(2, 5, 8), Layout.CHANNELS_FIRST);
                Tensor others = device.tensor(Shape.of(2, 8, 8, 7), Layout.CHANNELS_LAST);
                Tensor none = device.tensor(Shape.of(2, 5, 7), Layout.CHANNELS_FIRST)) {
            assertThatThrownBy(() -> norm.forward(features))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageEndingWith(
                            "but given was (2, 5, 8): Device.rows makes a tensor whose last dimension is that of C");
            assertThatThrownBy(() -> norm.forward(none))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageEndingWith("but given was (2, 5, 7)");
            norm.forward(others).close();
        }
    }
}
