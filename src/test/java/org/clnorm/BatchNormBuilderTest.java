package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class BatchNormBuilderTest {
    private final BatchNorm.Builder builder = BatchNorm.builder(3);

    /** What layers that were built alike have in common: every bit of what they do. */
    private static Step step(BatchNorm.Builder of) {
        Batch x = Batch.random(Shape.of(4, 3, 5), Layout.CHANNELS_FIRST, 1);
        Batch dy = Batch.gradient(x.shape(), x.layout(), 2);
        try (BatchNorm norm = of.build(TestDevice.REFERENCE.device())) {
            assertThat(norm.isTraining()).isTrue();
            Step.of(norm, x, dy, dy);
            return Step.of(norm, dy, x, dy);
        }
    }

    private static BatchNorm.Builder allChanged(BatchNorm.Builder of) {
        return of.accumulateGradients(true)
                .nonFinite(NonFinitePolicy.SKIP_RUNNING_UPDATE)
                .runningVariance(RunningVariance.BIASED)
                .runningAverage(RunningAverage.cumulative())
                .activation(Activation.RELU)
                .beta(false)
                .gamma(false)
                .epsilon(0.5);
    }

    @Test
    void builder_untouched_hasTheFieldsDefaults() {
        BatchNorm.Builder spelled = builder.epsilon(1e-5)
                .gamma(true)
                .beta(true)
                .activation(Activation.NONE)
                .runningAverage(RunningAverage.exponential(0.1))
                .runningVariance(RunningVariance.UNBIASED)
                .nonFinite(NonFinitePolicy.PROPAGATE)
                .accumulateGradients(false);
        step(builder).assertSameBits(step(spelled), "the documented defaults");
    }

    @Test
    void setters_ofABuilder_leaveItAsItWas() {
        Step before = step(builder);
        Step changed = step(allChanged(builder));
        assertThat(changed.y()).as("they must do something").isNotEqualTo(before.y());
        for (BatchNorm.Builder ignored : List.of(
                builder.epsilon(0.5),
                builder.gamma(false),
                builder.beta(false),
                builder.activation(Activation.RELU),
                builder.runningAverage(RunningAverage.none()),
                builder.runningVariance(RunningVariance.BIASED),
                builder.nonFinite(NonFinitePolicy.THROW),
                builder.accumulateGradients(true))) {
            assertThat(ignored).isNotSameAs(builder);
        }
        step(builder).assertSameBits(before, "a builder may be kept and built from again");
    }

    @Test
    void setters_inAnyOrder_keepWhatTheOthersSaid() {
        BatchNorm.Builder otherOrder = builder.epsilon(0.5)
                .gamma(false)
                .beta(false)
                .activation(Activation.RELU)
                .runningAverage(RunningAverage.cumulative())
                .runningVariance(RunningVariance.BIASED)
                .nonFinite(NonFinitePolicy.SKIP_RUNNING_UPDATE)
                .accumulateGradients(true);
        step(otherOrder).assertSameBits(step(allChanged(builder)), "each setter changes one thing");
    }

    @Test
    void build_twice_givesLayersOfTheirOwn() {
        try (BatchNorm one = builder.build(TestDevice.REFERENCE.device());
                BatchNorm two = builder.build(TestDevice.REFERENCE.device())) {
            one.gamma().orElseThrow().value().fill(5);
            one.eval();
            assertThat(two.gamma().orElseThrow().value().download()).containsOnly(1);
            assertThat(two.isTraining()).isTrue();
            assertThat(one.device()).isSameAs(TestDevice.REFERENCE.device());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1, Integer.MIN_VALUE})
    void builder_withoutChannels_isRefused(int channels) {
        assertThatThrownBy(() -> BatchNorm.builder(channels))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("channels must be at least 1", "given was " + channels);
    }

    @ParameterizedTest
    @ValueSource(
            doubles = {-1e-9, -1, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.MAX_VALUE, 1e39
            })
    void epsilon_thatIsNegativeOrNotAFloat_isRefused(double epsilon) {
        assertThatThrownBy(() -> builder.epsilon(epsilon))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("epsilon must be", "given was " + epsilon);
    }

    @Test
    void setters_ofNull_nameTheArgument() {
        assertThatThrownBy(() -> builder.activation(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("activation");
        assertThatThrownBy(() -> builder.runningAverage(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("runningAverage");
        assertThatThrownBy(() -> builder.runningVariance(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("runningVariance");
        assertThatThrownBy(() -> builder.nonFinite(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("nonFinite");
    }

    @Test
    void build_onNoDevice_namesTheArgument() {
        assertThatThrownBy(() -> builder.build(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessageContaining("device");
    }
}
