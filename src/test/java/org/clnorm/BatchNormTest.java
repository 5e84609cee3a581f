package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Both passes in both modes with every option, against the formulas and against the CPU reference. */
final class BatchNormTest {
    private static final Shape ODD = Shape.of(3, 5, 3, 7);
    private static final float[] MEANS = {0.3f, -1, 2, 0, 0.7f};
    private static final float[] VARIANCES = {1, 4, 0.25f, 9, 2};

    /** What of a layer is switched on. */
    private record Options(boolean training, boolean scale, boolean shift, Activation activation, boolean residual) {
        BatchNorm.Builder builder(int channels) {
            return BatchNorm.builder(channels).gamma(scale).beta(shift).activation(activation);
        }

        @Override
        public String toString() {
            return (training ? "train" : "eval") + (scale ? " γ" : "") + (shift ? " β" : "") + " " + activation
                    + (residual ? " residual" : "");
        }
    }

    private static Stream<Options> options() {
        List<Options> all = new ArrayList<>();
        for (int bits = 0; bits < 32; bits++) {
            all.add(new Options(
                    (bits & 1) == 0,
                    (bits & 2) != 0,
                    (bits & 4) != 0,
                    (bits & 8) == 0 ? Activation.NONE : Activation.RELU,
                    (bits & 16) != 0));
        }
        return all.stream();
    }

    static Stream<Arguments> devicesAndOptions() {
        return Stream.of(TestDevice.values()).flatMap(on -> Stream.of(Layout.values())
                .flatMap(layout -> options().map(options -> Arguments.of(on, layout, options))));
    }

    @ParameterizedTest
    @MethodSource("devicesAndOptions")
    void step_underAnyOptions_isWhatTheFormulasGive(TestDevice on, Layout layout, Options options) {
        assertStepIsRight(on, ODD, layout, options);
    }

    static Stream<Arguments> devicesAndShapes() {
        List<Shape> shapes = List.of(
                Shape.of(2, 1),
                Shape.of(7, 3),
                Shape.of(65, 37),
                Shape.of(1, 3, 2),
                Shape.of(4, 2, 33),
                Shape.of(2, 1, 129),
                Shape.of(1, 17, 5, 4),
                Shape.of(3, 4, 1, 16),
                Shape.of(2, 3, 2, 3, 5),
                Shape.of(5, 2, 3, 1, 2));
        return Stream.of(TestDevice.values()).flatMap(on -> Stream.of(Layout.values())
                .flatMap(layout -> shapes.stream().map(shape -> Arguments.of(on, layout, shape))));
    }

    @ParameterizedTest
    @MethodSource("devicesAndShapes")
    void step_ofAnyRank_isWhatTheFormulasGive(TestDevice on, Layout layout, Shape shape) {
        assertStepIsRight(on, shape, layout, new Options(true, true, true, Activation.RELU, false));
        assertStepIsRight(on, shape, layout, new Options(false, true, true, Activation.RELU, false));
    }

    private static void assertStepIsRight(TestDevice on, Shape shape, Layout layout, Options options) {
        Batch x = Batch.random(shape, layout, 1);
        Batch dy = Batch.gradient(shape, layout, 2);
        Batch residual = options.residual ? Batch.random(shape, layout, 3) : null;
        float[] gamma = perChannel(shape, c -> 0.5f + c % 4 * (c % 2 == 0 ? 1 : -1));
        float[] beta = perChannel(shape, c -> 0.25f - c % 3);
        float[] mean = perChannel(shape, c -> MEANS[c % MEANS.length]);
        float[] variance = perChannel(shape, c -> VARIANCES[c % VARIANCES.length]);
        Formulas expected = Formulas.of(new Formulas.Given(
                x,
                residual,
                dy,
                options.scale ? gamma : null,
                options.shift ? beta : null,
                options.activation,
                1e-3,
                options.training ? null : mean,
                options.training ? null : variance));
        try (BatchNorm norm = options.builder(x.channels()).epsilon(1e-3).build(on.device())) {
            norm.gamma().ifPresent(p -> p.value().upload(gamma));
            norm.beta().ifPresent(p -> p.value().upload(beta));
            norm.runningMean().orElseThrow().upload(mean);
            norm.runningVariance().orElseThrow().upload(variance);
            if (!options.training) {
                norm.eval();
            }
            Step.of(norm, x, residual, dy).assertIs(expected, x);
            assertThat(norm.gamma().isPresent()).isEqualTo(options.scale);
            assertThat(norm.beta().isPresent()).isEqualTo(options.shift);
        }
    }

    private interface OfChannel {
        float at(int channel);
    }

    private static float[] perChannel(Shape shape, OfChannel value) {
        float[] values = new float[(int) shape.channels()];
        for (int c = 0; c < values.length; c++) {
            values[c] = value.at(c);
        }
        return values;
    }

    static Stream<Arguments> strategiesAndLargerShapes() {
        List<Shape> shapes =
                List.of(Shape.of(207, 13), Shape.of(3, 19, 23, 29), Shape.of(2, 3, 4098), Shape.of(1031, 2));
        return Stream.of(TestDevice.values())
                .filter(on -> on != TestDevice.REFERENCE)
                .flatMap(on -> Stream.of(Layout.values())
                        .flatMap(layout -> shapes.stream().map(shape -> Arguments.of(on, layout, shape))));
    }

    @ParameterizedTest
    @MethodSource("strategiesAndLargerShapes")
    void step_ofManyVectorsAndSlices_isWhatTheReferenceGives(TestDevice on, Layout layout, Shape shape) {
        Batch x = Batch.random(shape, layout, 4);
        Batch dy = Batch.gradient(shape, layout, 5);
        Batch residual = Batch.random(shape, layout, 6);
        BatchNorm.Builder builder = BatchNorm.builder(x.channels()).activation(Activation.RELU);
        try (BatchNorm norm = builder.build(on.device());
                BatchNorm reference = builder.build(TestDevice.REFERENCE.device())) {
            Step actual = Step.of(norm, x, residual, dy);
            Step expected = Step.of(reference, x, residual, dy);
            assertSame("y", actual.y(), expected.y(), 0);
            assertSame("dx", actual.dx(), expected.dx(), Closeness.largest(Closeness.wide(dy.values())));
            assertSame("dresidual", actual.dresidual(), expected.dresidual(), 0);
            assertSame("dgamma", actual.dgamma(), expected.dgamma(), 0);
            assertSame("dbeta", actual.dbeta(), expected.dbeta(), 0);
            assertSame("saved mean", actual.savedMean(), expected.savedMean(), 0);
            assertSame("saved invstd", actual.savedInvstd(), expected.savedInvstd(), 0);
            assertSame("running mean", actual.runningMean(), expected.runningMean(), 0);
            assertSame("running variance", actual.runningVariance(), expected.runningVariance(), 0);
        }
    }

    /** Both are float32, so that each may be a rounding away from the right value. */
    private static void assertSame(String what, float[] actual, float[] expected, double scale) {
        double[] wide = Closeness.wide(expected);
        Closeness.assertWithin(what, actual, wide, Closeness.BOUND * Math.max(scale, Closeness.largest(wide)));
    }

    @OnEveryDevice
    void backward_accumulating_addsToTheGradientsOfParametersOnly(TestDevice on) {
        Batch x = Batch.random(ODD, Layout.CHANNELS_FIRST, 7);
        Batch dy = Batch.gradient(ODD, Layout.CHANNELS_FIRST, 8);
        try (BatchNorm overwriting = BatchNorm.builder(5).build(on.device());
                BatchNorm accumulating =
                        BatchNorm.builder(5).accumulateGradients(true).build(on.device())) {
            Step once = Step.of(accumulating, x, null, dy);
            Step twice = Step.of(accumulating, x, null, dy);
            Step.of(overwriting, x, null, dy);
            Step over = Step.of(overwriting, x, null, dy);

            assertThat(over.dgamma()).as("overwriting is the default").isEqualTo(once.dgamma());
            assertThat(over.dbeta()).isEqualTo(once.dbeta());
            for (int c = 0; c < 5; c++) {
                assertThat(twice.dgamma()[c])
                        .as("the sum of two equal gradients")
                        .isEqualTo(2 * once.dgamma()[c]);
                assertThat(twice.dbeta()[c]).isEqualTo(2 * once.dbeta()[c]);
            }
            assertThat(twice.dx()).as("dx is no parameter's gradient").isEqualTo(once.dx());

            accumulating.parameters().forEach(Parameter::zeroGradient);
            assertThat(Step.of(accumulating, x, null, dy).dgamma())
                    .as("after zeroGradient")
                    .isEqualTo(once.dgamma());
        }
    }

    @OnEveryDevice
    void backward_accumulatingWithOneParameter_addsToThatOne(TestDevice on) {
        Batch x = Batch.random(ODD, Layout.CHANNELS_LAST, 7);
        Batch dy = Batch.gradient(ODD, Layout.CHANNELS_LAST, 8);
        BatchNorm.Builder accumulating = BatchNorm.builder(5).accumulateGradients(true);
        try (BatchNorm both = accumulating.build(on.device());
                BatchNorm scaleOnly = accumulating.beta(false).build(on.device());
                BatchNorm shiftOnly = accumulating.gamma(false).build(on.device())) {
            Step.of(both, x, null, dy);
            Step.of(scaleOnly, x, null, dy);
            Step.of(shiftOnly, x, null, dy);
            Step expected = Step.of(both, x, null, dy);
            assertThat(Step.of(scaleOnly, x, null, dy).dgamma()).isEqualTo(expected.dgamma());
            assertThat(Step.of(shiftOnly, x, null, dy).dbeta()).isEqualTo(expected.dbeta());
        }
    }

    private static Tensor retained(BatchNorm norm, Tensor x) {
        Tensor y = norm.forward(x);
        norm.retainForward();
        return y;
    }

    @OnEveryDevice
    void backward_twiceAfterOneForward_givesTheSame(TestDevice on) {
        Batch x = Batch.random(ODD, Layout.CHANNELS_FIRST, 9);
        try (BatchNorm norm = BatchNorm.builder(5).build(on.device());
                Tensor input = x.on(on.device());
                Tensor dy = Batch.gradient(ODD, Layout.CHANNELS_FIRST, 10).on(on.device());
                Tensor y = retained(norm, input);
                Tensor first = norm.backward(dy);
                Tensor second = norm.backward(dy)) {
            assertThat(second.download())
                    .as("a backward pass must leave what the next one needs")
                    .isEqualTo(first.download());
            assertThat(y.shape()).isEqualTo(ODD);
        }
    }

    @OnEveryDevice
    void backward_afterAModeSwitch_isOfTheForwardPassThatWas(TestDevice on) {
        Batch x = Batch.random(ODD, Layout.CHANNELS_FIRST, 11);
        Batch dy = Batch.gradient(ODD, Layout.CHANNELS_FIRST, 12);
        try (BatchNorm norm = BatchNorm.builder(5).build(on.device());
                BatchNorm plain = BatchNorm.builder(5).build(on.device());
                Tensor input = x.on(on.device());
                Tensor gradient = dy.on(on.device());
                Tensor y = norm.forward(input)) {
            norm.eval();
            try (Tensor dx = norm.backward(gradient)) {
                assertThat(dx.download())
                        .as("the forward pass was one of training")
                        .isEqualTo(Step.of(plain, x, null, dy).dx());
            }
            assertThat(y.layout()).isEqualTo(Layout.CHANNELS_FIRST);
        }
    }

    @OnEveryDevice
    void forward_returningY_isTheSameAsIntoAGivenOne(TestDevice on) {
        Batch x = Batch.random(ODD, Layout.CHANNELS_LAST, 13);
        Batch dy = Batch.gradient(ODD, Layout.CHANNELS_LAST, 14);
        try (BatchNorm norm = BatchNorm.builder(5).build(on.device());
                BatchNorm other = BatchNorm.builder(5).build(on.device());
                Tensor input = x.on(on.device());
                Tensor gradient = dy.on(on.device());
                Tensor y = norm.forward(input);
                Tensor dx = norm.backward(gradient)) {
            Step into = Step.of(other, x, null, dy);
            assertThat(y.download()).isEqualTo(into.y());
            assertThat(dx.download()).isEqualTo(into.dx());
            assertThat(dx.layout()).isEqualTo(Layout.CHANNELS_LAST);
            assertThat(input.download()).as("an input is read only").isEqualTo(x.values());
            assertThat(gradient.download()).as("an input is read only").isEqualTo(dy.values());
        }
    }

    @OnEveryDevice
    void step_onSlicesAtOddOffsets_isAsOnWholeTensorsAndTouchesNothingElse(TestDevice on) {
        Batch x = Batch.random(ODD, Layout.CHANNELS_FIRST, 15);
        Batch dy = Batch.gradient(ODD, Layout.CHANNELS_FIRST, 16);
        int n = x.values().length;
        int guard = 3;
        try (BatchNorm norm = BatchNorm.builder(5).activation(Activation.RELU).build(on.device());
                BatchNorm whole =
                        BatchNorm.builder(5).activation(Activation.RELU).build(on.device());
                Tensor memory = on.device().tensor(Shape.of(4L * (n + guard) + guard), Layout.CHANNELS_FIRST)) {
            memory.fill(42);
            Tensor[] slices = new Tensor[4];
            for (int i = 0; i < 4; i++) {
                slices[i] = memory.slice((long) i * (n + guard) + guard, ODD, Layout.CHANNELS_FIRST);
            }
            slices[0].upload(x.values());
            slices[1].upload(dy.values());
            norm.forward(slices[0], slices[2]);
            norm.backward(slices[1], slices[3]);
            Step expected = Step.of(whole, x, null, dy);
            assertThat(slices[2].download()).isEqualTo(expected.y());
            assertThat(slices[3].download()).isEqualTo(expected.dx());
            assertThat(slices[0].download()).isEqualTo(x.values());
            float[] all = memory.download();
            for (int i = 0; i <= 4; i++) {
                for (int g = 0; g < guard; g++) {
                    assertThat(all[i * (n + guard) + g])
                            .as("what lies between the slices is somebody else's")
                            .isEqualTo(42);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(TestDevice.class)
    void step_afterAnotherShape_isAsOnANewLayer(TestDevice on) {
        Batch small = Batch.random(Shape.of(6, 5), Layout.CHANNELS_FIRST, 17);
        Batch x = Batch.random(ODD, Layout.CHANNELS_LAST, 18);
        Batch dy = Batch.gradient(ODD, Layout.CHANNELS_LAST, 19);
        try (BatchNorm used = BatchNorm.builder(5)
                        .runningAverage(RunningAverage.none())
                        .build(on.device());
                BatchNorm fresh = BatchNorm.builder(5)
                        .runningAverage(RunningAverage.none())
                        .build(on.device())) {
            Step.of(used, small, null, small);
            Step.of(used, x, null, dy)
                    .assertSameBits(Step.of(fresh, x, null, dy), "nothing of an earlier batch may linger");
        }
    }

    @OnEveryDevice
    void parameters_ofAnyLayer_areNamedAsInPyTorch(TestDevice on) {
        try (BatchNorm both = BatchNorm.builder(2).build(on.device());
                BatchNorm neither =
                        BatchNorm.builder(2).gamma(false).beta(false).build(on.device())) {
            assertThat(both.parameters()).extracting(Parameter::name).containsExactly("weight", "bias");
            assertThat(both.gamma().orElseThrow().value().download()).containsExactly(1, 1);
            assertThat(both.beta().orElseThrow().value().download()).containsExactly(0, 0);
            assertThat(both.gamma().orElseThrow().gradient().download()).containsExactly(0, 0);
            assertThat(neither.parameters()).isEmpty();
        }
    }
}
