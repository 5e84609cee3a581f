package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.clnorm.state.StateNames;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** A layer's state, saved and loaded. */
final class BatchNormStateTest {
    private static final int CHANNELS = 3;
    private static final Shape SHAPE = Shape.of(4, CHANNELS, 5);
    private static final BatchNorm.Builder LAYER = BatchNorm.builder(CHANNELS);
    private static final Batch DY = Batch.gradient(SHAPE, Layout.CHANNELS_FIRST, 7);

    private static BatchNorm layer() {
        return LAYER.build(TestDevice.REFERENCE.device());
    }

    private static Batch batch(int number) {
        return Batch.random(SHAPE, Layout.CHANNELS_FIRST, 200 + number, channel -> channel + number);
    }

    private static BatchNorm trained(BatchNorm.Builder builder, TestDevice on, int batches) {
        BatchNorm norm = builder.build(on.device());
        for (Parameter parameter : norm.parameters()) {
            parameter.value().upload(new float[] {0.5f, -1.25f, 3});
        }
        for (int i = 0; i < batches; i++) {
            Step.of(norm, batch(i), null, DY);
        }
        return norm;
    }

    private static StateArray vector(float... values) {
        return StateArray.of(values, values.length);
    }

    /** One that fits, with a count of 5. */
    private static StateDict state() {
        return StateDict.empty()
                .with("num_batches_tracked", StateArray.scalar(5))
                .with("running_var", vector(4, 5, 6))
                .with("running_mean", vector(1, 2, 3))
                .with("bias", vector(-1, 0, 1))
                .with("weight", vector(7, 8, 9));
    }

    private static StateDict without(StateDict state, String... names) {
        Map<String, StateArray> rest = new LinkedHashMap<>(state.toMap());
        rest.keySet().removeAll(List.of(names));
        return StateDict.of(rest);
    }

    @OnBothBackends
    void loadState_ofAnotherLayer_givesItsBits(TestDevice on) {
        for (RunningAverage average : List.of(
                RunningAverage.exponential(0.1),
                RunningAverage.cumulative(),
                RunningAverage.biasCorrectedExponential(0.2))) {
            BatchNorm.Builder builder = LAYER.runningAverage(average);
            try (BatchNorm first = trained(builder, on, 3);
                    BatchNorm second = trained(builder, on, 1)) {
                second.loadState(first.stateDict());

                assertThat(second.stateDict()).isEqualTo(first.stateDict());
                assertThat(second.batchesTracked()).isEqualTo(3);
                Step.of(second, batch(4), null, DY)
                        .assertSameBits(
                                Step.of(first, batch(4), null, DY), "the next batch has the same weight, " + average);
                first.eval();
                second.eval();
                Step.of(second, batch(5), null, DY).assertSameBits(Step.of(first, batch(5), null, DY), "evaluation");
            }
        }
    }

    @Test
    void stateDict_hasWhatTheLayerHas() {
        try (BatchNorm all = trained(LAYER, TestDevice.REFERENCE, 2);
                BatchNorm bare =
                        LAYER.gamma(false).runningAverage(RunningAverage.none()).build(TestDevice.REFERENCE.device())) {
            assertThat(all.stateDict())
                    .hasToString("{weight=float32 (3,), bias=float32 (3,), running_mean=float32 (3,), "
                            + "running_var=float32 (3,), num_batches_tracked=int64 ()}");
            assertThat(all.stateDict().get("weight").orElseThrow().toFloats()).containsExactly(0.5f, -1.25f, 3);
            assertThat(all.stateDict().get("num_batches_tracked")).contains(StateArray.scalar(2));
            assertThat(bare.stateDict()).hasToString("{bias=float32 (3,)}");
            bare.loadState(StateDict.empty().with("bias", vector(1, 2, 3)));
            assertThat(bare.beta().orElseThrow().value().download()).containsExactly(1, 2, 3);
            assertThat(bare.batchesTracked()).isZero();
        }
    }

    @Test
    void loadState_inAnotherOrder_goesByName() {
        try (BatchNorm norm = layer()) {
            norm.loadState(state());

            assertThat(norm.gamma().orElseThrow().value().download()).containsExactly(7, 8, 9);
            assertThat(norm.beta().orElseThrow().value().download()).containsExactly(-1, 0, 1);
            assertThat(norm.runningMean().orElseThrow().download()).containsExactly(1, 2, 3);
            assertThat(norm.runningVariance().orElseThrow().download()).containsExactly(4, 5, 6);
            assertThat(norm.batchesTracked()).isEqualTo(5);
        }
    }

    @Test
    void loadState_ofACount_isTheWeightOfTheNextBatch() {
        try (BatchNorm norm = LAYER.runningAverage(RunningAverage.cumulative()).build(TestDevice.REFERENCE.device())) {
            norm.loadState(state().with("num_batches_tracked", StateArray.scalar(9)));
            Step step = Step.of(norm, batch(1), null, DY);

            double[] expected = new double[CHANNELS];
            Arrays.setAll(expected, c -> 0.9 * (c + 1) + 0.1 * Formulas.mean(batch(1).channel(c)));
            Closeness.assertClose("the tenth batch's mean", step.runningMean(), expected);
            assertThat(norm.batchesTracked()).isEqualTo(10);
        }
    }

    @Test
    void loadState_withoutACount_keepsTheLayers() {
        BatchNorm.Builder builder = LAYER.runningAverage(RunningAverage.cumulative());
        try (BatchNorm norm = trained(builder, TestDevice.REFERENCE, 3)) {
            norm.loadState(without(state(), "num_batches_tracked"));

            assertThat(norm.batchesTracked()).isEqualTo(3);
            Step step = Step.of(norm, batch(1), null, DY);
            double[] expected = new double[CHANNELS];
            Arrays.setAll(expected, c -> 0.75 * (c + 1) + 0.25 * Formulas.mean(batch(1).channel(c)));
            Closeness.assertClose("the fourth batch's mean", step.runningMean(), expected);
        }
    }

    @Test
    void loadState_ofACountThatFloat32DoesNotHold_isWhatTrainingGives() {
        BatchNorm.Builder builder = LAYER.runningAverage(RunningAverage.cumulative());
        try (BatchNorm most = builder.build(TestDevice.REFERENCE.device());
                BatchNorm more = builder.build(TestDevice.REFERENCE.device())) {
            most.loadState(state().with("num_batches_tracked", StateArray.scalar(1 << 24)));
            more.loadState(state().with("num_batches_tracked", StateArray.scalar(1L << 40)));

            assertThat(more.batchesTracked()).isEqualTo(1L << 40);
            assertThat(Step.of(more, batch(1), null, DY).runningMean())
                    .as("one by one, a float32 counts to 2^24")
                    .isEqualTo(Step.of(most, batch(1), null, DY).runningMean());
        }
    }

    @Test
    void loadState_ofWrongNames_listsAllAndChangesNothing() {
        try (BatchNorm norm = trained(LAYER, TestDevice.REFERENCE, 2)) {
            StateDict before = norm.stateDict();
            StateDict wrong = without(state(), "weight", "running_var")
                    .with("gamma", vector(1, 2, 3))
                    .with("other.bias", vector(1))
                    .with("running_mean", vector(1, 2))
                    .with("bias", StateArray.of(new long[3], 3))
                    .with("num_batches_tracked", StateArray.scalar(-1));

            assertThatThrownBy(() -> norm.loadState(wrong))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("nothing of it was loaded")
                    .hasMessageContaining("missing are [weight, running_var]")
                    .hasMessageContaining("unexpected are [gamma, other.bias]")
                    .hasMessageContaining("bias must be of a floating-point type, but is int64 (3,)")
                    .hasMessageContaining("running_mean must have the shape (3), but is float32 (2,)")
                    .hasMessageContaining(
                            "num_batches_tracked must be one whole number that is 0 or more, but is int64 () -1");
            assertThat(norm.stateDict()).isEqualTo(before);
        }
    }

    @Test
    void loadState_ofACountOfAnotherForm_isRefused() {
        try (BatchNorm norm = layer()) {
            for (StateArray count : List.of(
                    vector(1, 2),
                    vector(1.5f),
                    vector(-1),
                    vector(Float.NaN),
                    vector(Float.POSITIVE_INFINITY),
                    vector(0x1p63f),
                    StateArray.of(new long[] {-1}, 1),
                    StateArray.of(new long[0], 0))) {
                assertThatThrownBy(() -> norm.loadState(state().with("num_batches_tracked", count)))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("must be one whole number that is 0 or more, but is " + count);
            }
            assertThat(norm.batchesTracked()).isZero();
        }
    }

    /** As other programs write it. */
    @Test
    void loadState_ofACountInAnotherTypeOrShape_isTheCount() {
        ByteBuffer seven = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(0, 7);
        for (StateArray count : List.of(
                StateArray.of(new long[] {7}, 1),
                StateArray.of(new long[] {7}, 1, 1),
                StateArray.of(StateArray.Type.INT32, seven),
                StateArray.of(StateArray.Type.UINT8, seven.slice(0, 1)),
                StateArray.of(StateArray.Type.FLOAT16, ByteBuffer.wrap(new byte[] {0, 0x47}), 1),
                StateArray.of(new float[] {7}),
                StateArray.of(new double[] {7}, 1))) {
            try (BatchNorm norm = layer()) {
                norm.loadState(state().with("num_batches_tracked", count));

                assertThat(norm.batchesTracked()).as("%s", count).isEqualTo(7);
            }
        }
    }

    @Test
    void loadState_ofMoreOrFewerDimensionsOf1_isLoadedAndSaidInTheLog() {
        Logger logger = (Logger) LoggerFactory.getLogger(LayerState.class);
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        Level before = logger.getLevel();
        logger.setLevel(Level.INFO);
        logger.addAppender(log);
        try (BatchNorm norm = layer();
                LayerNorm rows = LayerNorm.builder(1, 3).build(TestDevice.REFERENCE.device())) {
            norm.loadState(state().with("weight", StateArray.of(new float[] {1, 2, 4}, 1, 3, 1, 1)));
            rows.loadState(
                    StateDict.empty().with("weight", vector(1, 2, 4)).with("bias", StateArray.of(new float[3], 1, 3)));

            assertThat(norm.gamma().orElseThrow().value().download()).containsExactly(1, 2, 4);
            assertThat(rows.gamma().orElseThrow().value().download()).containsExactly(1, 2, 4);
            assertThat(log.list)
                    .extracting(ILoggingEvent::getFormattedMessage)
                    .containsExactly(
                            "weight, float32 (1, 3, 1, 1), is loaded as (3)",
                            "weight, float32 (3,), is loaded as (1, 3)");
            assertThatThrownBy(() -> norm.loadState(state().with("bias", StateArray.of(new float[6], 2, 3))))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("bias must have the shape (3), but is float32 (2, 3)");
            assertThatThrownBy(() -> norm.loadState(state().with("bias", StateArray.of(new long[2], 2))))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(
                            "bias must be of a floating-point type and have the shape (3), but is int64 (2,)");
        } finally {
            logger.detachAppender(log);
            logger.setLevel(before);
        }
    }

    @Test
    void loadState_underAWrongPrefix_suggestsTheRightOnes() {
        StateDict network = state().withPrefix("layer1.0.bn1")
                .merge(StateDict.empty()
                        .with("fc.weight", vector(1, 2))
                        .with("fc.bias", vector(1, 2))
                        .with("wide.weight", vector(1, 2))
                        .with("wide.bias", vector(1, 2))
                        .with("wide.running_mean", vector(1, 2))
                        .with("wide.running_var", vector(1, 2)));
        try (BatchNorm norm = layer()) {
            assertThatThrownBy(() -> norm.loadState(network))
                    .as("only one has three channels")
                    .hasMessageContaining("running_var] (did you mean .under(\"layer1.0.bn1\")?); unexpected are [");
            assertThatThrownBy(() -> norm.loadState(network.under("layer1")))
                    .hasMessageContaining("(did you mean .under(\"0.bn1\")?)");
            for (StateDict none :
                    List.of(network.under("bn1"), network.under("bn1").under("layer1"))) {
                assertThat(none).isEqualTo(StateDict.empty());
                assertThatThrownBy(() -> norm.loadState(none))
                        .as("what was not found is looked for by name")
                        .hasMessageContaining(
                                "running_var] (did you mean .under(\"layer1.0.bn1\") or .under(\"wide\")?)");
            }
            assertThatThrownBy(() -> norm.loadState(StateDict.empty()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageEndingWith("missing are [weight, bias, running_mean, running_var]");
            StateDict many = StateDict.empty();
            for (int i = 0; i < 5; i++) {
                many = many.merge(state().withPrefix("bn" + i));
            }
            StateDict five = many;
            assertThatThrownBy(() -> norm.loadState(five))
                    .hasMessageContaining(
                            ".under(\"bn0\") or .under(\"bn1\") or .under(\"bn2\"), or one of 2 more prefixes?)")
                    .hasMessageEndingWith(" and 15 more");
        }
    }

    @Test
    void loadState_ofAnotherProgramsNames_suggestsToRenameThem() {
        try (BatchNorm norm = layer()) {
            for (StateNames names : List.of(StateNames.KERAS, StateNames.ONNX, StateNames.DL4J)) {
                StateDict theirs = state().toNames(names);
                assertThatThrownBy(() -> norm.loadState(theirs))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining(
                                "running_var] (did you mean .fromNames(StateNames." + names + ")?); unex");
                norm.loadState(theirs.fromNames(names));
            }
            StateDict wide = state().toNames(StateNames.KERAS).with("beta", vector(1, 2));
            assertThatThrownBy(() -> norm.loadState(wide))
                    .as("which would not fit either")
                    .hasMessageContaining("running_var]; unexpected are [");
        }
    }

    @Test
    void loadState_ofALayerWithoutRunningStatistics_expectsNone() {
        try (BatchNorm none = LAYER.runningAverage(RunningAverage.none()).build(TestDevice.REFERENCE.device())) {
            assertThatThrownBy(() -> none.loadState(state()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageEndingWith("unexpected are [num_batches_tracked, running_var, running_mean]");
            assertThat(none.loadStateLeniently(state()).unexpected())
                    .containsExactly("num_batches_tracked", "running_var", "running_mean");
            assertThat(none.batchesTracked()).isZero();
            assertThat(none.gamma().orElseThrow().value().download()).containsExactly(7, 8, 9);
        }
    }

    @Test
    void loadStateLeniently_takesWhatFitsAndSaysWhatNot() {
        try (BatchNorm norm = layer()) {
            StateDict.Difference difference = norm.loadStateLeniently(
                    without(state(), "bias", "num_batches_tracked").with("x", vector(1)));

            assertThat(difference.missing()).containsExactly("bias");
            assertThat(difference.unexpected()).containsExactly("x");
            assertThat(norm.gamma().orElseThrow().value().download()).containsExactly(7, 8, 9);
            assertThat(norm.beta().orElseThrow().value().download()).containsOnly(0);
            assertThat(norm.loadStateLeniently(state()).isEmpty()).isTrue();

            StateDict wrong = state().with("weight", vector(0, 0, 0)).with("bias", vector(0, 0));
            assertThatThrownBy(() -> norm.loadStateLeniently(wrong))
                    .as("what has the right name and another shape is a mistake")
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("bias must have the shape (3), but is float32 (2,)");
            assertThat(norm.stateDict().get("weight")).isEqualTo(state().get("weight"));
        }
    }

    @Test
    void loadState_ofOtherFloatingPointTypes_converts() {
        ByteBuffer halves = ByteBuffer.allocate(6).order(ByteOrder.LITTLE_ENDIAN);
        halves.putShort((short) 0x3c00)
                .putShort((short) 0x0001)
                .putShort((short) 0xc000)
                .flip();
        try (BatchNorm norm = layer()) {
            norm.loadState(state().with("weight", StateArray.of(StateArray.Type.FLOAT16, halves, 3))
                    .with("bias", StateArray.of(StateArray.Type.BFLOAT16, halves, 3))
                    .with("running_mean", StateArray.of(new double[] {0.1, 1 + 0x1p-24, 1e300}, 3)));

            assertThat(norm.gamma().orElseThrow().value().download()).containsExactly(1, 0x1p-24f, -2);
            assertThat(norm.beta().orElseThrow().value().download())
                    .containsExactly(0x1p-7f, Float.intBitsToFloat(0x10000), -2);
            assertThat(norm.runningMean().orElseThrow().download()).containsExactly(0.1f, 1, Float.POSITIVE_INFINITY);
        }
    }

    @Test
    void backward_ofAForwardBeforeLoading_isRefused() {
        Device device = TestDevice.REFERENCE.device();
        try (BatchNorm norm = layer();
                Tensor x = batch(1).on(device);
                Tensor dy = DY.on(device);
                Tensor y = norm.forward(x)) {
            assertThatThrownBy(() -> norm.loadState(StateDict.empty())).isInstanceOf(IllegalArgumentException.class);
            norm.backward(dy).close(); // nothing was loaded

            norm.loadState(state());
            assertThatThrownBy(() -> norm.backward(dy)).isInstanceOf(IllegalStateException.class);

            norm.forward(x, y);
            norm.backward(dy).close();
        }
    }

    @Test
    void state_ofAClosedLayer_isRefused() {
        BatchNorm norm = layer();
        norm.close();

        assertThatThrownBy(norm::stateDict).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> norm.loadState(state())).isInstanceOf(IllegalStateException.class);
    }
}
