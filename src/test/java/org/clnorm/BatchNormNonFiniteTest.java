package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** NaN and infinities in a batch: what they do to their channel under each policy, and that they never leave it. */
final class BatchNormNonFiniteTest {
    private static final int CHANNELS = 19;
    private static final int BAD = 6;
    private static final Shape SHAPE = Shape.of(3, CHANNELS, 4, 5);

    static Stream<Arguments> badValues() {
        return Stream.of(TestDevice.values()).flatMap(on -> Stream.of(Layout.values())
                .flatMap(layout -> Stream.of(Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY)
                        .map(value -> Arguments.of(on, layout, value))));
    }

    private static Batch good(Layout layout) {
        return Batch.random(SHAPE, layout, 1);
    }

    private static Batch bad(Layout layout, float value) {
        return good(layout).with(BAD, 17, value);
    }

    private static Batch dy(Layout layout) {
        return Batch.gradient(SHAPE, layout, 2);
    }

    private static BatchNorm.Builder layer(NonFinitePolicy policy) {
        return BatchNorm.builder(CHANNELS).nonFinite(policy).runningAverage(RunningAverage.cumulative());
    }

    @ParameterizedTest
    @MethodSource("badValues")
    void step_withABadValue_leavesTheOtherChannelsBitsAsTheyWere(TestDevice on, Layout layout, float value) {
        for (Activation activation : Activation.values()) {
            try (BatchNorm one = layer(NonFinitePolicy.PROPAGATE)
                            .activation(activation)
                            .build(on.device());
                    BatchNorm other = layer(NonFinitePolicy.PROPAGATE)
                            .activation(activation)
                            .build(on.device())) {
                Step clean = Step.of(one, good(layout), null, dy(layout));
                Step dirty = Step.of(other, bad(layout, value), null, dy(layout));
                assertOthersAreTheSame(dirty, clean, good(layout));
                assertThat(good(layout).holding(dirty.y()).channel(BAD))
                        .as("the bad channel's output must not look usable")
                        .containsOnly(Double.NaN);
                assertThat(dirty.runningVariance()[BAD]).isNaN();
                assertThat(Float.isFinite(dirty.runningMean()[BAD])).isFalse();
                assertThat(dirty.dgamma()[BAD]).isNaN();
            }
        }
    }

    private static void assertOthersAreTheSame(Step dirty, Step clean, Batch like) {
        for (int c = 0; c < CHANNELS; c++) {
            if (c != BAD) {
                assertThat(like.holding(dirty.y()).channel(c))
                        .as("y of channel %d, which is none of the bad channel's business", c)
                        .isEqualTo(like.holding(clean.y()).channel(c));
                assertThat(like.holding(dirty.dx()).channel(c))
                        .as("dx of channel %d", c)
                        .isEqualTo(like.holding(clean.dx()).channel(c));
            }
        }
        assertOthersAreTheSame("dgamma", dirty.dgamma(), clean.dgamma());
        assertOthersAreTheSame("dbeta", dirty.dbeta(), clean.dbeta());
        assertOthersAreTheSame("saved mean", dirty.savedMean(), clean.savedMean());
        assertOthersAreTheSame("saved invstd", dirty.savedInvstd(), clean.savedInvstd());
        assertOthersAreTheSame("running mean", dirty.runningMean(), clean.runningMean());
        assertOthersAreTheSame("running variance", dirty.runningVariance(), clean.runningVariance());
    }

    private static void assertOthersAreTheSame(String what, float[] dirty, float[] clean) {
        float[] patched = dirty.clone();
        patched[BAD] = clean[BAD];
        assertThat(patched).as(what).isEqualTo(clean);
    }

    @ParameterizedTest
    @MethodSource("badValues")
    void backward_withABadGradient_leavesTheOtherChannelsBitsAsTheyWere(TestDevice on, Layout layout, float value) {
        try (BatchNorm norm = layer(NonFinitePolicy.PROPAGATE).build(on.device());
                BatchNorm other = layer(NonFinitePolicy.PROPAGATE).build(on.device())) {
            Step clean = Step.of(norm, good(layout), null, dy(layout));
            Step dirty = Step.of(other, good(layout), null, dy(layout).with(BAD, 3, value));
            assertOthersAreTheSame(dirty, clean, good(layout));
            assertThat(dirty.y()).isEqualTo(clean.y());
            assertThat(Float.isFinite(dirty.dbeta()[BAD])).isFalse();
        }
    }

    @ParameterizedTest
    @MethodSource("badValues")
    void forward_skipping_leavesThatChannelsAverageAndItsCount(TestDevice on, Layout layout, float value) {
        Batch later = Batch.random(SHAPE, layout, 3, channel -> channel);
        try (BatchNorm norm = layer(NonFinitePolicy.SKIP_RUNNING_UPDATE).build(on.device());
                BatchNorm spared = layer(NonFinitePolicy.SKIP_RUNNING_UPDATE).build(on.device())) {
            Step first = Step.of(norm, good(layout), null, dy(layout));
            Step skipped = Step.of(norm, bad(layout, value), null, dy(layout));
            assertThat(skipped.runningMean()[BAD]).isEqualTo(first.runningMean()[BAD]);
            assertThat(skipped.runningVariance()[BAD]).isEqualTo(first.runningVariance()[BAD]);
            assertThat(good(layout).holding(skipped.y()).channel(BAD)).containsOnly(Double.NaN);
            assertThat(norm.batchesTracked()).isEqualTo(2);

            // A layer that never saw the bad batch, and one that saw a good one in its place.
            Step.of(spared, good(layout), null, dy(layout));
            Step without = Step.of(spared, later, null, dy(layout));
            Step with = Step.of(norm, later, null, dy(layout));
            assertThat(with.runningMean()[BAD])
                    .as("each channel's average is over the batches that it took in: two, not three")
                    .isEqualTo(without.runningMean()[BAD]);
            assertThat(with.runningVariance()[BAD]).isEqualTo(without.runningVariance()[BAD]);
            for (int c = 0; c < CHANNELS; c++) {
                if (c != BAD) {
                    double third = (2 * Formulas.mean(good(layout).channel(c)) + Formulas.mean(later.channel(c))) / 3;
                    assertThat(Math.abs(with.runningMean()[c] - third) < 1e-5)
                            .as("channel %d took in all three batches", c)
                            .isTrue();
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("badValues")
    void forward_throwing_namesTheChannelAndChangesNoRunningStatistics(TestDevice on, Layout layout, float value) {
        try (BatchNorm norm = layer(NonFinitePolicy.THROW).build(on.device());
                BatchNorm calm = layer(NonFinitePolicy.PROPAGATE).build(on.device())) {
            Step before = Step.of(norm, good(layout), null, dy(layout));
            Step.of(calm, good(layout), null, dy(layout));

            Batch alsoLater = bad(layout, value).with(BAD + 5, 0, value);
            NonFiniteException thrown =
                    catchThrowableOfType(NonFiniteException.class, () -> Step.of(norm, alsoLater, null, dy(layout)));
            assertThat(thrown).as("the policy is to throw").isNotNull();
            assertThat(thrown.channel()).as("the first bad channel").isEqualTo(BAD);
            assertThat(thrown).hasMessageContaining("channel " + BAD).hasMessageContaining("THROW");
            assertThat(norm.runningMean().orElseThrow().download()).isEqualTo(before.runningMean());
            assertThat(norm.runningVariance().orElseThrow().download()).isEqualTo(before.runningVariance());
            assertThat(norm.batchesTracked()).isOne();

            Batch next = Batch.random(SHAPE, layout, 4);
            Step.of(norm, next, null, dy(layout))
                    .assertSameBits(
                            Step.of(calm, next, null, dy(layout)),
                            "training goes on after the bad batch as if it had not been");
            assertThat(norm.batchesTracked()).isEqualTo(2);
        }
    }

    @OnEveryDevice
    void backward_afterAThrow_asksForAForwardPass(TestDevice on) {
        Layout layout = Layout.CHANNELS_FIRST;
        try (BatchNorm norm = layer(NonFinitePolicy.THROW).build(on.device());
                Tensor x = good(layout).on(on.device());
                Tensor badX = bad(layout, Float.NaN).on(on.device());
                Tensor gradient = dy(layout).on(on.device());
                Tensor y = norm.forward(x)) {
            assertThat(catchThrowableOfType(NonFiniteException.class, () -> norm.forward(badX, y)))
                    .isNotNull();
            assertThat(catchThrowableOfType(IllegalStateException.class, () -> norm.backward(gradient)))
                    .as("what the good pass saved is overwritten, so its gradient would be wrong")
                    .hasMessageContaining("forward");
        }
    }

    @OnEveryDevice
    void forward_throwingOnGoodBatches_isAsPropagating(TestDevice on) {
        Layout layout = Layout.CHANNELS_LAST;
        try (BatchNorm throwing = layer(NonFinitePolicy.THROW).build(on.device());
                BatchNorm skipping = layer(NonFinitePolicy.SKIP_RUNNING_UPDATE).build(on.device());
                BatchNorm propagating = layer(NonFinitePolicy.PROPAGATE).build(on.device())) {
            for (int i = 0; i < 3; i++) {
                Batch x = Batch.random(SHAPE, layout, i);
                Step expected = Step.of(propagating, x, null, dy(layout));
                Step.of(throwing, x, null, dy(layout)).assertSameBits(expected, "a policy is for bad batches only");
                Step.of(skipping, x, null, dy(layout)).assertSameBits(expected, "a policy is for bad batches only");
            }
        }
    }

    @OnEveryDevice
    void forward_ofBadValuesInEvaluation_spoilsThemselvesOnly(TestDevice on) {
        for (NonFinitePolicy policy : NonFinitePolicy.values()) {
            for (Layout layout : Layout.values()) {
                try (BatchNorm norm = layer(policy).build(on.device())) {
                    norm.eval();
                    Step clean = Step.of(norm, good(layout), null, dy(layout));
                    Step dirty = Step.of(norm, bad(layout, Float.NaN), null, dy(layout));
                    double[] expected = good(layout).holding(clean.y()).channel(BAD);
                    expected[17] = Double.NaN;
                    assertThat(good(layout).holding(dirty.y()).channel(BAD)).isEqualTo(expected);
                    assertThat(dirty.dx())
                            .as("dx of given statistics does not depend on x")
                            .isEqualTo(clean.dx());
                    assertThat(dirty.runningMean()).isEqualTo(clean.runningMean());
                }
            }
        }
    }

    @OnEveryDevice
    void forward_ofValuesPastFloatsSquares_isAnInfiniteVarianceForThePolicy(TestDevice on) {
        float[] huge = {1, 3e30f, -1, -3e30f};
        Device device = on.device();
        try (BatchNorm norm =
                        BatchNorm.builder(2).nonFinite(NonFinitePolicy.THROW).build(device);
                Tensor x = device.upload(huge, Shape.of(2, 2), Layout.CHANNELS_FIRST)) {
            assertThat(catchThrowableOfType(NonFiniteException.class, () -> norm.forward(x)))
                    .as("a variance of 9e60 is none that float32 can hold")
                    .isNotNull()
                    .extracting(NonFiniteException::channel)
                    .isEqualTo(1);
        }
    }
}
