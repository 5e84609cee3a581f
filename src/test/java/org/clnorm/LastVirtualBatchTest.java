package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Ghost batch normalization where one value per channel is left: as layers of the parts, as the reference, as differences. */
final class LastVirtualBatchTest {
    /** By the largest magnitude, of sums that are rounded in other places. */
    private static final double BOUND = 1e-6;

    /** How many batches of each kind are run, and of which shapes. */
    private record Case(
            long samples, Shape shape, Layout layout, DataType type, Activation activation, boolean residual) {
        /** Whether a gradient that came past the layer is added to dx. */
        boolean hasPast() {
            return !residual;
        }

        Case(long samples, Shape shape, DataType type) {
            this(samples, shape, Layout.CHANNELS_FIRST, type, Activation.NONE, false);
        }
    }

    /** Around a tile of rows, a work-group's registers, and with so many rows that they are cut into slices. */
    private static final List<Case> CASES = List.of(
            new Case(4, Shape.of(9, 3), DataType.FLOAT32),
            new Case(4, Shape.of(9, 17, 1, 1), Layout.CHANNELS_LAST, DataType.FLOAT32, Activation.RELU, true),
            new Case(7, Shape.of(15, 33), Layout.CHANNELS_FIRST, DataType.FLOAT16, Activation.RELU, true),
            new Case(8, Shape.of(25, 64), Layout.CHANNELS_LAST, DataType.FLOAT32, Activation.SILU, true),
            new Case(3, Shape.of(10, 1), DataType.FLOAT32),
            new Case(16, Shape.of(33, 4098), DataType.FLOAT32),
            new Case(64, Shape.of(129, 5), DataType.FLOAT16),
            new Case(128, Shape.of(257, 16), DataType.FLOAT32),
            new Case(256, Shape.of(513, 12), DataType.FLOAT32),
            new Case(1024, Shape.of(2049, 3), DataType.FLOAT32));

    /** What a step leaves. */
    private record Result(List<float[]> arrays) {
        private static final List<String> NAMES =
                List.of("y", "dx", "dresidual", "dgamma", "dbeta", "running mean", "running variance");

        void assertIs(Result expected, String what, Case c) {
            for (int i = 0; i < NAMES.size(); i++) {
                double[] values = Closeness.wide(expected.arrays.get(i));
                boolean isHalf = c.type == DataType.FLOAT16 && i < 3;
                // Sums of terms of either sign may all come out small.
                double least = i == 3 || i == 4 ? Math.sqrt(c.shape.batch()) : 0;
                double scale = Math.max(least, Closeness.largest(values));
                double tolerance = (isHalf ? 0x1p-10 : BOUND) * scale;
                Closeness.assertWithin(what + ", " + NAMES.get(i) + " of " + c, arrays.get(i), values, tolerance);
            }
        }
    }

    private static BatchNorm.Builder builder(Case c) {
        return BatchNorm.builder((int) c.shape.channels())
                .activation(c.activation)
                .runningAverage(RunningAverage.exponential(0.25))
                .accumulateGradients(true);
    }

    /** Starts where a trained layer might be, so that the running statistics tell on a sample. */
    private static BatchNorm begun(BatchNorm.Builder builder, Device device) {
        BatchNorm norm = builder.build(device);
        norm.runningMean().orElseThrow().fill(0.25f);
        norm.runningVariance().orElseThrow().fill(2.5f);
        norm.gamma().orElseThrow().value().fill(1.5f);
        norm.beta().orElseThrow().value().fill(-0.5f);
        norm.gamma().orElseThrow().gradient().fill(3);
        norm.beta().orElseThrow().gradient().fill(4);
        return norm;
    }

    /** A step that goes over the parts of a batch one after the other, each in training or, where it is the last, evaluation. */
    private static Result step(BatchNorm norm, Case c, boolean evaluatesLast, long... parts) {
        Device device = norm.device();
        float[] values = Batch.random(c.shape, c.layout, 5).values();
        float[] gradient = Batch.gradient(c.shape, c.layout, 6).values();
        float[] more = Batch.random(c.shape, c.layout, 7).values();
        try (Tensor x = device.upload(values, c.shape, c.layout, c.type);
                Tensor residual = device.upload(more, c.shape, c.layout, c.type);
                Tensor y = device.tensor(c.shape, c.layout, c.type);
                Tensor dy = device.upload(gradient, c.shape, c.layout, c.type);
                Tensor past = device.upload(more, c.shape, c.layout, c.type);
                Tensor dx = device.tensor(c.shape, c.layout, c.type);
                Tensor dresidual = device.tensor(c.shape, c.layout, c.type)) {
            List<ForwardPass> passes = new ArrayList<>();
            dresidual.fill(0);
            long start = 0;
            for (long part : parts) {
                if (evaluatesLast && start + part == c.shape.batch()) {
                    norm.eval();
                }
                passes.add(norm.record(
                        part(x, start, part), c.residual ? part(residual, start, part) : null, part(y, start, part)));
                start += part;
            }
            start = 0;
            for (int i = 0; i < parts.length; i++) {
                try (ForwardPass pass = passes.get(i)) {
                    Tensor ofDy = part(dy, start, parts[i]);
                    Tensor ofDx = part(dx, start, parts[i]);
                    if (c.hasPast()) {
                        pass.backwardAdding(ofDy, part(past, start, parts[i]), ofDx, null);
                    } else {
                        pass.backward(ofDy, ofDx, part(dresidual, start, parts[i]));
                    }
                }
                start += parts[i];
            }
            norm.train();
            return new Result(List.of(
                    y.download(),
                    dx.download(),
                    dresidual.download(),
                    norm.gamma().orElseThrow().gradient().download(),
                    norm.beta().orElseThrow().gradient().download(),
                    norm.runningMean().orElseThrow().download(),
                    norm.runningVariance().orElseThrow().download()));
        }
    }

    private static Tensor part(Tensor whole, long start, long samples) {
        long[] dimensions = whole.shape().toArray();
        dimensions[0] = samples;
        return whole.slice(start * whole.shape().channels(), Shape.of(dimensions), whole.layout());
    }

    @OnEveryDevice
    void merge_ofOneSample_isTheSameAsLayersOfTheParts(TestDevice on) {
        for (Case c : CASES) {
            long[] parts = new long[(int) (c.shape.batch() / c.samples)];
            Arrays.fill(parts, c.samples);
            parts[parts.length - 1]++;
            try (BatchNorm merging = begun(builder(c).virtualBatch(c.samples, LastVirtualBatch.MERGE), on.device());
                    BatchNorm plain = begun(builder(c), on.device())) {
                Result merged = step(merging, c, false, c.shape.batch());

                merged.assertIs(step(plain, c, false, parts), "merged", c);
            }
        }
    }

    @OnEveryDevice
    void running_ofOneSample_isTheSameAsTrainingOfTheOthersAndThenItsEvaluation(TestDevice on) {
        for (Case c : CASES) {
            try (BatchNorm both = begun(builder(c).virtualBatch(c.samples, LastVirtualBatch.RUNNING), on.device());
                    BatchNorm ghost = begun(builder(c).virtualBatch(c.samples), on.device())) {
                Result result = step(both, c, false, c.shape.batch());

                result.assertIs(step(ghost, c, true, c.shape.batch() - 1, 1), "by the running statistics", c);
                assertThat(both.batchesTracked())
                        .isEqualTo(ghost.batchesTracked())
                        .isEqualTo(1);
            }
        }
    }

    @OnEveryDevice
    void step_leavingOneSample_isTheReferences(TestDevice on) {
        for (LastVirtualBatch last : List.of(LastVirtualBatch.MERGE, LastVirtualBatch.RUNNING)) {
            for (Case c : CASES) {
                BatchNorm.Builder builder = builder(c).virtualBatch(c.samples, last);
                try (BatchNorm norm = begun(builder, on.device());
                        BatchNorm reference = begun(builder, TestDevice.REFERENCE.device())) {
                    Result expected = step(reference, c, false, c.shape.batch());

                    step(norm, c, false, c.shape.batch()).assertIs(expected, last + " against the reference", c);
                }
            }
        }
    }

    /** The distance from nothing to such a mean has no square in float32, and the last batch alone fills all slices. */
    @OnEveryDevice
    void merge_ofHugeValuesWithAnEmptySlice_isTheReferences(TestDevice on) {
        Shape shape = Shape.of(257, 6);
        float[] values = Batch.random(shape, Layout.CHANNELS_FIRST, 8).values();
        for (int i = 0; i < values.length; i++) {
            values[i] = 3e19f + 1e15f * values[i];
        }
        Batch huge = new Batch(shape, Layout.CHANNELS_FIRST, values);
        BatchNorm.Builder builder = BatchNorm.builder(6).virtualBatch(128, LastVirtualBatch.MERGE);
        List<float[]> outputs = new ArrayList<>();
        for (Device device : List.of(TestDevice.REFERENCE.device(), on.device())) {
            try (BatchNorm norm = builder.build(device);
                    Tensor x = huge.on(device);
                    Tensor y = norm.forward(x)) {
                outputs.add(y.download());
            }
        }
        double[] expected = Closeness.wide(outputs.get(0));
        Closeness.assertWithin("y", outputs.get(1), expected, BOUND * Closeness.largest(expected));
    }

    /** The loss Σ w·y of a layer's output. */
    private static double loss(BatchNorm norm, Tensor x, float[] w) {
        try (Tensor y = norm.device().tensor(x.shape(), x.layout());
                ForwardPass pass = norm.recompute(x, null, y)) {
            float[] values = y.download();
            double sum = 0;
            for (int i = 0; i < w.length; i++) {
                sum += (double) w[i] * values[i];
            }
            return sum;
        }
    }

    private static double difference(BatchNorm norm, Tensor x, float[] w, Tensor of, int i) {
        float[] values = of.download();
        float there = values[i];
        float step = 1f / 64;
        values[i] = there + step;
        of.upload(values);
        double above = loss(norm, x, w);
        values[i] = there - step;
        of.upload(values);
        double below = loss(norm, x, w);
        values[i] = there;
        of.upload(values);
        return (above - below) / (2 * step);
    }

    @OnEveryDevice
    void backward_leavingOneSample_agreesWithDifferencesOfTheForwardPass(TestDevice on) {
        Shape shape = Shape.of(5, 2);
        for (LastVirtualBatch last : List.of(LastVirtualBatch.MERGE, LastVirtualBatch.RUNNING)) {
            BatchNorm.Builder builder =
                    BatchNorm.builder(2).virtualBatch(2, last).epsilon(0.5).activation(Activation.TANH);
            Batch w = Batch.gradient(shape, Layout.CHANNELS_FIRST, 12);
            try (BatchNorm norm = builder.build(on.device());
                    Tensor x = Batch.random(shape, Layout.CHANNELS_FIRST, 11).on(on.device());
                    Tensor y = on.device().tensor(shape, x.layout());
                    Tensor dy = w.on(on.device());
                    Tensor dx = on.device().tensor(shape, x.layout());
                    ForwardPass pass = norm.record(x, y)) {
                norm.parameters().forEach(parameter -> parameter.gradient().fill(7)); // to be overwritten
                pass.backward(dy, dx);
                float[] byX = dx.download();
                for (int i = 0; i < byX.length; i++) {
                    assertThat((double) byX[i])
                            .as("%s, dx %d", last, i)
                            .isCloseTo(difference(norm, x, w.values(), x, i), within(2e-3));
                }
                for (Parameter parameter : norm.parameters()) {
                    float[] gradient = parameter.gradient().download();
                    for (int c = 0; c < gradient.length; c++) {
                        assertThat((double) gradient[c])
                                .as("%s, gradient of %s, %d", last, parameter.name(), c)
                                .isCloseTo(difference(norm, x, w.values(), parameter.value(), c), within(2e-3));
                    }
                }
            }
        }
    }

    @OnEveryDevice
    void passes_inPlaceAndUnderWayAtOnce_areAsOneByOne(TestDevice on) {
        Shape shape = Shape.of(9, 5);
        Batch dy = Batch.gradient(shape, Layout.CHANNELS_FIRST, 3);
        for (LastVirtualBatch last : List.of(LastVirtualBatch.MERGE, LastVirtualBatch.RUNNING)) {
            BatchNorm.Builder builder =
                    BatchNorm.builder(5).virtualBatch(4, last).activation(Activation.RELU);
            try (BatchNorm norm = builder.build(on.device());
                    Tensor one = Batch.random(shape, Layout.CHANNELS_FIRST, 1).on(on.device());
                    Tensor other = Batch.random(shape, Layout.CHANNELS_FIRST, 2).on(on.device());
                    Tensor y = on.device().tensor(shape, one.layout());
                    Tensor otherY = on.device().tensor(shape, one.layout());
                    Tensor oneDy = dy.on(on.device());
                    Tensor otherDy = dy.on(on.device());
                    Tensor plainDy = dy.on(on.device());
                    Tensor dx = on.device().tensor(shape, one.layout());
                    Tensor dresidual = on.device().tensor(shape, one.layout())) {
                norm.trackRunning(false);
                otherY.upload(dy.values());
                norm.forward(other, otherY, otherY);
                float[] expectedY = otherY.download();
                norm.backward(plainDy, dx, dresidual);
                otherY.upload(dy.values());
                try (ForwardPass first = norm.record(one, y);
                        ForwardPass second = norm.record(other, otherY, otherY)) {
                    first.backward(oneDy, oneDy);
                    second.backward(otherDy, plainDy, otherDy);

                    assertThat(otherY.download()).isEqualTo(expectedY);
                    assertThat(plainDy.download()).as("%s, dx", last).isEqualTo(dx.download());
                    assertThat(otherDy.download()).as("%s, dresidual", last).isEqualTo(dresidual.download());
                }
                norm.forward(one, y);
                plainDy.upload(dy.values());
                norm.backward(plainDy, dx);
                assertThat(oneDy.download()).as("%s, dx in place", last).isEqualTo(dx.download());
                assertThat(norm.runningMean().orElseThrow().download()).containsOnly(0);
                assertThat(norm.batchesTracked()).isZero();
            }
        }
    }

    @OnEveryDevice
    void recompute_byRunningStatistics_isTheFirstPassAgain(TestDevice on) {
        Shape shape = Shape.of(5, 3);
        try (BatchNorm norm = BatchNorm.builder(3)
                        .virtualBatch(2, LastVirtualBatch.RUNNING)
                        .build(on.device());
                Tensor x = Batch.random(shape, Layout.CHANNELS_FIRST, 1).on(on.device());
                Tensor y = on.device().tensor(shape, x.layout());
                Tensor again = on.device().tensor(shape, x.layout())) {
            norm.forward(x, y);
            float[] mean = norm.runningMean().orElseThrow().download();
            norm.recompute(x, null, again).close();

            assertThat(again.download()).isEqualTo(y.download());
            assertThat(norm.runningMean().orElseThrow().download()).isEqualTo(mean);
            assertThat(norm.batchesTracked()).isEqualTo(1);
        }
    }

    @OnEveryDevice
    void throwing_onANonFiniteSample_isBeforeAnyStatisticsChanged(TestDevice on) {
        Batch good = Batch.random(Shape.of(9, 3), Layout.CHANNELS_FIRST, 1);
        Batch badLast = good.with(1, 8, Float.NaN);
        for (LastVirtualBatch last : List.of(LastVirtualBatch.MERGE, LastVirtualBatch.RUNNING)) {
            try (BatchNorm norm = BatchNorm.builder(3)
                            .virtualBatch(4, last)
                            .nonFinite(NonFinitePolicy.THROW)
                            .build(on.device());
                    Tensor bad = good.with(2, 5, Float.POSITIVE_INFINITY).on(on.device());
                    Tensor single = badLast.on(on.device());
                    Tensor y = on.device().tensor(bad.shape(), bad.layout())) {
                assertThatThrownBy(() -> norm.forward(bad, y))
                        .isInstanceOfSatisfying(NonFiniteException.class, e -> assertThat(e.channel())
                                .isEqualTo(2));
                if (last == LastVirtualBatch.MERGE) {
                    assertThatThrownBy(() -> norm.forward(single, y))
                            .isInstanceOfSatisfying(NonFiniteException.class, e -> assertThat(e.channel())
                                    .isEqualTo(1));
                    assertThat(norm.runningMean().orElseThrow().download()).containsOnly(0);
                    assertThat(norm.runningVariance().orElseThrow().download()).containsOnly(1);
                    assertThat(norm.batchesTracked()).isZero();
                } else {
                    norm.forward(single, y);
                    float[] values = y.download();
                    assertThat(values[8 * 3 + 1])
                            .as("it has no statistics to look at")
                            .isNaN();
                    values[8 * 3 + 1] = 0;
                    for (float value : values) {
                        assertThat(value).isFinite();
                    }
                    for (float variance : norm.runningVariance().orElseThrow().download()) {
                        assertThat(variance).isFinite();
                    }
                }
            }
        }
    }

    @OnEveryDevice
    void running_ofABatchOfOneSample_isEvaluationInTraining(TestDevice on) {
        Shape shape = Shape.of(1, 3);
        try (BatchNorm norm = BatchNorm.builder(3)
                        .virtualBatch(4, LastVirtualBatch.RUNNING)
                        .build(on.device());
                Tensor x = Batch.random(shape, Layout.CHANNELS_FIRST, 1).on(on.device());
                Tensor y = on.device().tensor(shape, x.layout());
                Tensor dx = on.device().tensor(shape, x.layout())) {
            norm.runningMean().orElseThrow().fill(2);
            norm.runningVariance().orElseThrow().fill(4);
            norm.forward(x, y);
            float[] trained = y.download();
            norm.backward(x, dx);
            float[] gradient = dx.download();
            assertThatThrownBy(() -> norm.forward(x, x)).isInstanceOf(IllegalArgumentException.class);
            assertThat(norm.batchesTracked()).isZero();
            assertThat(norm.runningMean().orElseThrow().download()).containsOnly(2);
            norm.eval();
            norm.forward(x, y);
            assertThat(y.download()).isEqualTo(trained);
            norm.backward(x, dx);
            assertThat(dx.download()).isEqualTo(gradient);
        }
    }

    @Test
    void merge_intoTheOnlyVirtualBatch_isPlainBatchNormalization() {
        Device device = TestDevice.REFERENCE.device();
        Batch batch = Batch.random(Shape.of(5, 3), Layout.CHANNELS_FIRST, 1);
        Batch dy = Batch.gradient(batch.shape(), batch.layout(), 2);
        try (BatchNorm norm = BatchNorm.builder(3)
                        .virtualBatch(4, LastVirtualBatch.MERGE)
                        .build(device);
                BatchNorm plain = BatchNorm.builder(3).build(device)) {
            Step.of(norm, batch, null, dy).assertSameBits(Step.of(plain, batch, null, dy), "saved statistics too");
        }
    }

    @Test
    void lastVirtualBatch_withSeveralValuesPerChannel_hasItsOwnStatisticsWhateverIsSaid() {
        Device device = TestDevice.REFERENCE.device();
        for (Shape shape : List.of(Shape.of(9, 3, 2), Shape.of(11, 3), Shape.of(8, 3))) {
            Case c = new Case(4, shape, DataType.FLOAT32);
            try (BatchNorm refusing = begun(builder(c).virtualBatch(4), device)) {
                Result expected = step(refusing, c, false, shape.batch());
                for (LastVirtualBatch last : LastVirtualBatch.values()) {
                    try (BatchNorm norm = begun(builder(c).virtualBatch(4, last), device)) {
                        Result result = step(norm, c, false, shape.batch());
                        for (int i = 0; i < Result.NAMES.size(); i++) {
                            assertThat(result.arrays.get(i)).isEqualTo(expected.arrays.get(i));
                        }
                    }
                }
            }
        }
    }
}
