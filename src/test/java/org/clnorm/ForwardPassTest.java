package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.replicas.ChannelMoments;
import org.junit.jupiter.api.Test;

/**
 * Several forward passes of a layer under way at once: each as if the layer had no other, in whatever order they are gone
 * back through.
 */
class ForwardPassTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final int CHANNELS = 3;

    private static Tensor random(Device device, Shape shape, long seed) {
        return Batch.random(shape, FIRST, seed).on(device);
    }

    private static Tensor empty(Device device, Shape shape) {
        return device.tensor(shape, FIRST);
    }

    private static double dot(Tensor a, Tensor b) {
        float[] one = a.download();
        float[] other = b.download();
        double sum = 0;
        for (int i = 0; i < one.length; i++) {
            sum += (double) one[i] * other[i];
        }
        return sum;
    }

    /** The loss Σ w·y of a layer's output, w being a gradient by y. */
    private static double loss(BatchNorm norm, Tensor x, Tensor w) {
        try (Tensor y = empty(x.device(), x.shape());
                ForwardPass pass = norm.recompute(x, null, y)) {
            return dot(w, y);
        }
    }

    private static BatchNorm.Builder accumulating() {
        return BatchNorm.builder(CHANNELS).accumulateGradients(true);
    }

    /** Siamese branches: one layer, two inputs, and a gradient that is the sum of both. */
    @OnEveryDevice
    void record_twoBranchesOfOneLayer_haveTheGradientsByFiniteDifferences(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, CHANNELS, 5);
        try (BatchNorm norm = accumulating().build(device);
                Tensor x1 = random(device, shape, 1);
                Tensor x2 = random(device, shape, 2);
                Tensor w1 = random(device, shape, 3);
                Tensor w2 = random(device, shape, 4);
                Tensor y1 = empty(device, shape);
                Tensor y2 = empty(device, shape);
                Tensor dx1 = empty(device, shape);
                Tensor dx2 = empty(device, shape)) {
            norm.gamma().orElseThrow().value().upload(new float[] {1.5f, -0.5f, 0.75f});
            try (ForwardPass first = norm.record(x1, y1);
                    ForwardPass second = norm.record(x2, y2)) {
                first.backward(w1, dx1);
                second.backward(w2, dx2);
            }
            float[] dgamma = norm.gamma().orElseThrow().gradient().download();
            double[] step = new double[CHANNELS];
            for (int c = 0; c < CHANNELS; c++) {
                float[] gamma = norm.gamma().orElseThrow().value().download();
                double[] losses = new double[2];
                for (int sign = 0; sign < 2; sign++) {
                    float[] moved = gamma.clone();
                    moved[c] += (sign == 0 ? 1 : -1) * 0.125f;
                    norm.gamma().orElseThrow().value().upload(moved);
                    losses[sign] = loss(norm, x1, w1) + loss(norm, x2, w2);
                }
                norm.gamma().orElseThrow().value().upload(gamma);
                step[c] = (losses[0] - losses[1]) / 0.25; // the loss is linear in γ
                assertThat((double) dgamma[c]).isCloseTo(step[c], within(1e-4 * (1 + Math.abs(step[c]))));
            }
            assertDifferences(norm, x1, w1, dx1);
            assertDifferences(norm, x2, w2, dx2);
        }
    }

    /** Of the loss by each of some elements of x, against dx. */
    private static void assertDifferences(BatchNorm norm, Tensor x, Tensor w, Tensor dx) {
        float[] values = x.download();
        float[] gradient = dx.download();
        for (int i = 0; i < values.length; i += 7) {
            double[] losses = new double[2];
            for (int sign = 0; sign < 2; sign++) {
                float[] moved = values.clone();
                moved[i] += (sign == 0 ? 1 : -1) * 0x1p-6f;
                x.upload(moved);
                losses[sign] = loss(norm, x, w);
            }
            double difference = (losses[0] - losses[1]) / (2 * 0x1p-6);
            assertThat((double) gradient[i]).as("element %d", i).isCloseTo(difference, within(3e-3));
        }
        x.upload(values);
    }

    /** A recurrence h' = norm(h + x), whose backward pass goes through the steps in reverse. */
    @OnEveryDevice
    void record_layerNormOfEightSteps_goesBackThroughThemInReverse(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(3, 16);
        int steps = 8;
        try (LayerNorm norm = LayerNorm.builder(16).accumulateGradients(true).build(device);
                Tensor dh = random(device, shape, 99)) {
            List<Tensor> inputs = new ArrayList<>();
            List<Tensor> states = new ArrayList<>(List.of(random(device, shape, 0)));
            List<ForwardPass> passes = new ArrayList<>();
            for (int t = 0; t < steps; t++) {
                float[] sum = states.get(t).download();
                float[] x = Batch.random(shape, FIRST, 100 + t).values();
                for (int i = 0; i < sum.length; i++) {
                    sum[i] += x[i];
                }
                Tensor input = empty(device, shape);
                input.upload(sum);
                inputs.add(input);
                states.add(empty(device, shape));
                passes.add(norm.record(input, states.get(t + 1)));
            }
            float[] gradient = dh.download();
            for (int t = steps - 1; t >= 0; t--) {
                passes.get(t).backward(dh, dh);
                passes.get(t).close();
            }

            float[] expected = gradient;
            float[] dgamma = new float[16];
            for (int t = steps - 1; t >= 0; t--) { // a layer of its own for each step
                try (LayerNorm alone = LayerNorm.builder(16).build(device);
                        Tensor y = empty(device, shape);
                        Tensor dy = empty(device, shape)) {
                    dy.upload(expected);
                    alone.forward(inputs.get(t), y);
                    alone.backward(dy, dy);
                    expected = dy.download();
                    float[] its = alone.gamma().orElseThrow().gradient().download();
                    for (int i = 0; i < its.length; i++) {
                        dgamma[i] += its[i];
                    }
                }
            }
            assertThat(dh.download()).containsExactly(expected);
            assertThat(norm.gamma().orElseThrow().gradient().download())
                    .usingComparatorWithPrecision(1e-4f)
                    .containsExactly(dgamma);
            inputs.forEach(Tensor::close);
            states.forEach(Tensor::close);
        }
    }

    /** What the passes above come to on the CPU reference, which finite differences have checked. */
    @OnEveryDevice
    void record_severalUnderWay_areThoseOfTheReference(TestDevice on) {
        List<float[]> got = severalUnderWay(on.device());
        List<float[]> expected = severalUnderWay(TestDevice.REFERENCE.device());
        for (int i = 0; i < got.size(); i++) {
            float largest = 0;
            for (float value : expected.get(i)) {
                largest = Math.max(largest, Math.abs(value));
            }
            assertThat(got.get(i))
                    .as("array %d", i)
                    .usingComparatorWithPrecision(
                            1e-5f * largest) // 5e-7 of it for each pass, and eight that follow each other
                    .containsExactly(expected.get(i));
        }
    }

    /** Eight steps of a recurrence in reverse, four micro-batches in order, and one of them recomputed: all gradients. */
    private static List<float[]> severalUnderWay(Device device) {
        Shape row = Shape.of(3, 16);
        Shape batch = Shape.of(2, CHANNELS, 6);
        List<float[]> all = new ArrayList<>();
        try (LayerNorm rows = LayerNorm.builder(16).accumulateGradients(true).build(device);
                BatchNorm norm = accumulating().activation(Activation.RELU).build(device);
                Tensor dh = random(device, row, 99);
                Tensor y = empty(device, batch)) {
            List<ForwardPass> steps = new ArrayList<>();
            List<Tensor> tensors = new ArrayList<>(List.of(random(device, row, 0)));
            for (int t = 0; t < 8; t++) {
                tensors.add(empty(device, row));
                steps.add(rows.record(tensors.get(t), tensors.get(t + 1)));
            }
            for (int t = 7; t >= 0; t--) {
                steps.get(t).backward(dh, dh);
                steps.get(t).close();
            }
            all.add(dh.download());
            rows.parameters().forEach(parameter -> all.add(parameter.gradient().download()));
            for (int i = 0; i < 4; i++) {
                tensors.add(random(device, batch, i));
                steps.set(i, norm.record(tensors.get(9 + i), y));
            }
            steps.get(2).close();
            steps.set(2, norm.recompute(tensors.get(11), null, y));
            for (int i = 0; i < 4; i++) {
                try (ForwardPass pass = steps.get(i);
                        Tensor dy = random(device, batch, 40 + i)) {
                    pass.backward(dy, dy);
                    all.add(dy.download());
                }
            }
            norm.parameters().forEach(parameter -> all.add(parameter.gradient().download()));
            all.add(norm.runningMean().orElseThrow().download());
            all.add(norm.runningVariance().orElseThrow().download());
            tensors.forEach(Tensor::close);
        }
        return all;
    }

    /** A pipeline: the micro-batches go forward one after the other, and back in the same order. */
    @OnEveryDevice
    void record_fourMicroBatches_areFourBatchesOfTheirOwn(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(2, CHANNELS, 6);
        try (BatchNorm norm = accumulating().activation(Activation.RELU).build(device);
                BatchNorm one = accumulating().activation(Activation.RELU).build(device)) {
            List<ForwardPass> passes = new ArrayList<>();
            List<Tensor> tensors = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                Tensor x = random(device, shape, i);
                Tensor residual = random(device, shape, 20 + i);
                Tensor y = empty(device, shape);
                passes.add(norm.record(x, residual, y));
                tensors.addAll(List.of(x, residual, y));
            }
            for (int i = 0; i < 4; i++) {
                Tensor dy = random(device, shape, 40 + i);
                Tensor dx = empty(device, shape);
                Tensor dresidual = empty(device, shape);
                passes.get(i).backward(dy, dx, dresidual);
                Tensor y = empty(device, shape);
                one.forward(tensors.get(3 * i), tensors.get(3 * i + 1), y);
                Tensor alone = empty(device, shape);
                Tensor residualAlone = empty(device, shape);
                one.backward(dy, alone, residualAlone);

                assertThat(dx.download()).as("batch %d", i).containsExactly(alone.download());
                assertThat(dresidual.download()).containsExactly(residualAlone.download());
                tensors.addAll(List.of(dy, dx, dresidual, y, alone, residualAlone));
            }
            assertSameState(norm, one);
            passes.forEach(ForwardPass::close);
            tensors.forEach(Tensor::close);
        }
    }

    private static void assertSameState(BatchNorm norm, BatchNorm other) {
        assertThat(norm.batchesTracked()).isEqualTo(other.batchesTracked());
        assertThat(norm.runningMean().orElseThrow().download())
                .containsExactly(other.runningMean().orElseThrow().download());
        assertThat(norm.runningVariance().orElseThrow().download())
                .containsExactly(other.runningVariance().orElseThrow().download());
        for (int i = 0; i < 2; i++) {
            assertThat(norm.parameters().get(i).gradient().download())
                    .containsExactly(other.parameters().get(i).gradient().download());
        }
    }

    /** Checkpointing: outputs are dropped and made again for the backward pass. */
    @OnEveryDevice
    void recompute_aBatchThatWasCounted_givesTheSameBitsAndCountsItOnce(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, CHANNELS, 5);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                BatchNorm once = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, shape, 1);
                Tensor dy = random(device, shape, 2);
                Tensor y = empty(device, shape);
                Tensor again = empty(device, shape);
                Tensor dx = empty(device, shape);
                Tensor expected = empty(device, shape)) {
            norm.forward(x, y);
            norm.forward(dy, again); // another batch in between
            try (ForwardPass pass = norm.recompute(x, null, again)) {
                assertThat(again.download()).containsExactly(y.download());
                pass.backward(dy, dx);
            }
            once.forward(x, y);
            once.backward(dy, expected);
            once.forward(dy, again);

            assertThat(dx.download()).containsExactly(expected.download());
            assertSameState(norm, once);
        }
    }

    @Test
    void recompute_renormalization_isRefused() {
        Device device = TestDevice.REFERENCE.device();
        try (BatchNorm norm = BatchNorm.builder(CHANNELS)
                        .renormalization(RenormalizationSchedule.constant(2, 1))
                        .build(device);
                Tensor x = random(device, Shape.of(4, CHANNELS), 1);
                Tensor y = empty(device, Shape.of(4, CHANNELS))) {
            assertThatThrownBy(() -> norm.recompute(x, null, y))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("Batch renormalization depends on the running statistics");
            assertThat(norm.batchesTracked()).isZero();
        }
    }

    @OnEveryDevice
    void backward_twice_isRefusedUnlessRetained(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, CHANNELS, 5);
        try (BatchNorm norm = accumulating().build(device);
                Tensor x = random(device, shape, 1);
                Tensor dy = random(device, shape, 2);
                Tensor y = empty(device, shape);
                Tensor dx = empty(device, shape)) {
            try (ForwardPass pass = norm.record(x, y)) {
                pass.backward(dy, dx);
                float[] first = dx.download();
                float[] dgamma = norm.gamma().orElseThrow().gradient().download();
                assertThatThrownBy(() -> pass.backward(dy, dx))
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("This forward pass was gone back through already")
                        .hasMessageContaining("retain");
                assertThat(norm.gamma().orElseThrow().gradient().download()).containsExactly(dgamma);

                pass.retain().backward(dy, dx);
                pass.backward(dy, dx);

                assertThat(dx.download()).containsExactly(first);
                float[] thrice = norm.gamma().orElseThrow().gradient().download();
                for (int c = 0; c < CHANNELS; c++) {
                    assertThat(thrice[c]).isCloseTo(3 * dgamma[c], within(1e-4f * (1 + Math.abs(dgamma[c]))));
                }
            }
        }
    }

    @Test
    void pass_closed_isRefusedThoughItsStatisticsServeAnother() {
        Device device = TestDevice.REFERENCE.device();
        Shape shape = Shape.of(4, CHANNELS);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, shape, 1);
                Tensor other = random(device, shape, 2);
                Tensor y = empty(device, shape);
                Tensor dx = empty(device, shape)) {
            ForwardPass closed = norm.record(x, y);
            closed.close();
            try (ForwardPass pass = norm.record(other, y)) {
                closed.close(); // which must not close the other

                for (Runnable call : List.<Runnable>of(
                        () -> closed.backward(x, dx), () -> closed.backward(x), closed::retain, closed::savedMean)) {
                    assertThatThrownBy(call::run)
                            .isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("is closed");
                }
                pass.backward(x, dx);
            }
        }
    }

    @Test
    void layer_closed_takesItsPassesWithIt() {
        Recorder recorder = new Recorder();
        try (Device device = recorder.open();
                Tensor x = empty(device, Shape.of(4, CHANNELS));
                Tensor y = empty(device, Shape.of(4, CHANNELS))) {
            BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
            ForwardPass pass = norm.record(x, y);
            ForwardPass other = norm.record(x, y);
            assertThat(recorder.openRooms()).as("and one of the layer's own").isEqualTo(3);
            other.close();

            norm.close();
            pass.close();

            assertThat(recorder.openRooms()).isZero();
            assertThatThrownBy(() -> pass.backward(y, x))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("is closed");
        }
    }

    /** Each keeps what it was: mode, shape, layout, statistics, γ and β. */
    @OnEveryDevice
    void record_acrossModesShapesAndParameters_eachIsAsItWas(TestDevice on) {
        Device device = on.device();
        Shape small = Shape.of(2, CHANNELS, 4);
        Shape large = Shape.of(5, CHANNELS, 7);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                BatchNorm alone = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, small, 1);
                Tensor wide = random(device, large, 2);
                Tensor y = empty(device, small);
                Tensor yWide = empty(device, large);
                Tensor dy = random(device, small, 3);
                Tensor dyWide = random(device, large, 4);
                Tensor dx = empty(device, small);
                Tensor dxWide = empty(device, large);
                Tensor expected = empty(device, small);
                Tensor expectedWide = empty(device, large)) {
            try (ForwardPass trained = norm.record(x, y)) {
                norm.eval();
                try (ForwardPass evaluated = norm.record(wide, yWide)) {
                    norm.train();
                    norm.gamma().orElseThrow().value().fill(3);
                    evaluated.backward(dyWide, dxWide);
                    trained.backward(dy, dx);
                }
            }
            alone.forward(x, y);
            alone.backward(dy, expected);
            alone.eval();
            alone.forward(wide, yWide);
            alone.backward(dyWide, expectedWide);

            assertThat(dx.download()).containsExactly(expected.download());
            assertThat(dxWide.download()).containsExactly(expectedWide.download());
        }
    }

    @OnEveryDevice
    void record_perSampleAffineAndCombined_goBackLikeThePlainCalls(TestDevice on) {
        Device device = on.device();
        Shape shape = Shape.of(4, CHANNELS, 5);
        Shape perSample = Shape.of(4, CHANNELS);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, shape, 1);
                Tensor dy = random(device, shape, 2);
                Tensor scale = random(device, perSample, 3);
                Tensor dscale = empty(device, perSample);
                Tensor dscaleAlone = empty(device, perSample);
                Tensor y = empty(device, shape);
                Tensor dx = empty(device, shape);
                Tensor dxCombined = empty(device, shape);
                Tensor expected = empty(device, shape)) {
            SampleAffine affine = new SampleAffine(scale, null);
            ChannelMoments moments = norm.moments(x);
            try (ForwardPass conditional = norm.record(x, null, y, affine);
                    ForwardPass combined = norm.recordCombined(x, null, y, moments)) {
                conditional.backward(dy, dx, null, new SampleAffine(dscale, null));
                combined.backwardCombined(dy, dxCombined, null, combined.gradientSums(dy));
                assertThatThrownBy(() -> conditional.gradientSums(dy)).isInstanceOf(IllegalStateException.class);
                assertThat(combined.savedMean().download()).isNotEmpty();
            }

            norm.forward(x, null, y, affine);
            norm.backward(dy, expected, null, new SampleAffine(dscaleAlone, null));
            assertThat(dx.download()).containsExactly(expected.download());
            assertThat(dscale.download()).containsExactly(dscaleAlone.download());
            norm.forwardCombined(x, null, y, moments);
            norm.backwardCombined(dy, expected, null, norm.gradientSums(dy));
            assertThat(dxCombined.download()).containsExactly(expected.download());
        }
    }

    @Test
    void savedMean_ofAPassOverNoValues_isRefusedWhateverItsStateHeldBefore() {
        Device device = TestDevice.REFERENCE.device();
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, Shape.of(4, CHANNELS), 1);
                Tensor y = empty(device, Shape.of(4, CHANNELS));
                Tensor none = empty(device, Shape.of(0, CHANNELS));
                Tensor noOutput = empty(device, Shape.of(0, CHANNELS))) {
            norm.record(x, y).close(); // its state is the next one's
            try (ForwardPass pass = norm.record(none, noOutput)) {
                assertThatThrownBy(pass::savedMean)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("a forward pass over no values");
            }
        }
    }

    @Test
    void backward_xOfOnePassWritten_isRefusedForThatPassAlone() {
        Device device = TestDevice.REFERENCE.device();
        Shape shape = Shape.of(4, CHANNELS);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, shape, 1);
                Tensor other = random(device, shape, 2);
                Tensor y = empty(device, shape);
                Tensor dx = empty(device, shape);
                ForwardPass pass = norm.record(x, y);
                ForwardPass second = norm.record(other, y)) {
            x.fill(1);

            assertThatThrownBy(() -> pass.backward(y, dx))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("x (4, 3), but it was written since");
            second.backward(y, dx);
            assertThatThrownBy(() -> norm.backward(y, dx))
                    .as("the layer's own forward pass is none of these")
                    .hasMessageContaining("backward needs a forward pass before it");
            assertThatThrownBy(() -> norm.forward(x, second.savedMean()))
                    .as("statistics are the layer's to write")
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    /** One pass that is under way in {@link #passes_underWayInRandomOrder_areLayersOfTheirOwn}. */
    private record UnderWay(int sample, ForwardPass pass) {}

    /**
     * 1 to 8 passes under way, begun and ended in random order, against a layer for each pass. Running statistics are of
     * all forward passes in their order, whatever the backward passes'.
     */
    @Test
    void passes_underWayInRandomOrder_areLayersOfTheirOwn() {
        for (TestDevice on : List.of(TestDevice.REFERENCE, TestDevice.AUTO)) {
            runInRandomOrder(on.device(), 10_000);
        }
    }

    private static void runInRandomOrder(Device device, int steps) {
        Random random = new Random(7);
        List<Shape> shapes = List.of(Shape.of(2, CHANNELS, 4), Shape.of(5, CHANNELS, 3), Shape.of(4, CHANNELS));
        int samples = 12;
        List<Tensor> xs = new ArrayList<>();
        List<Tensor> dys = new ArrayList<>();
        List<float[]> expected = new ArrayList<>();
        List<Tensor> outputs = new ArrayList<>();
        for (int i = 0; i < samples; i++) {
            Shape shape = shapes.get(i % shapes.size());
            xs.add(random(device, shape, i));
            dys.add(random(device, shape, 50 + i));
            outputs.add(empty(device, shape));
            try (BatchNorm alone = BatchNorm.builder(CHANNELS).build(device);
                    Tensor dx = empty(device, shape)) {
                alone.forward(xs.get(i), outputs.get(i));
                alone.backward(dys.get(i), dx);
                expected.add(dx.download());
            }
        }
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                BatchNorm inOrder = BatchNorm.builder(CHANNELS).build(device)) {
            List<UnderWay> underWay = new ArrayList<>();
            long memory = 0;
            for (int step = 0; step < steps; step++) {
                if (underWay.isEmpty() || underWay.size() < 8 && random.nextBoolean()) {
                    int sample = random.nextInt(samples);
                    underWay.add(new UnderWay(sample, norm.record(xs.get(sample), outputs.get(sample))));
                    inOrder.forward(xs.get(sample), outputs.get(sample));
                } else {
                    UnderWay ended = underWay.remove(random.nextInt(underWay.size()));
                    try (ForwardPass pass = ended.pass) {
                        Tensor dx = outputs.get(ended.sample);
                        pass.backward(dys.get(ended.sample), dx);
                        if (step % 20 == 0) {
                            assertThat(dx.download()).as("step %d", step).containsExactly(expected.get(ended.sample));
                        }
                    }
                }
                if (step == steps / 2) {
                    memory = allocated(device);
                }
            }
            underWay.forEach(each -> each.pass.close());

            assertThat(norm.batchesTracked()).isEqualTo(inOrder.batchesTracked());
            assertThat(norm.runningMean().orElseThrow().download())
                    .containsExactly(inOrder.runningMean().orElseThrow().download());
            assertThat(allocated(device)).as("no growth").isEqualTo(memory);
        }
        xs.forEach(Tensor::close);
        dys.forEach(Tensor::close);
        outputs.forEach(Tensor::close);
    }

    private static long allocated(Device device) {
        return device.backend() instanceof OpenClBackend backend ? backend.allocatedBytes() : 0;
    }

    @Test
    void record_steadily_makesNothingOnTheDeviceAndOneSmallObject() {
        Device device = TestDevice.AUTO.device();
        Shape shape = Shape.of(4, CHANNELS, 5);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
                Tensor x = random(device, shape, 1);
                Tensor other = random(device, shape, 2);
                Tensor y = empty(device, shape);
                Tensor dx = empty(device, shape)) {
            BatchNormSteadyTest.assertAllocation("two passes under way", device, 64, () -> {
                try (ForwardPass first = norm.record(x, y);
                        ForwardPass second = norm.record(other, y)) {
                    first.backward(y, dx);
                    second.backward(y, dx);
                }
            });
        }
    }
}
