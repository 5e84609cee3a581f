package org.clnorm.replicas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.clnorm.RunningVariance;
import org.junit.jupiter.api.Test;

/** Moments and gradient sums as values: combining them, and their way from one process to another. */
final class ChannelMomentsTest {
    /** Of (1, 2), (6) and nothing: mean 3, M2 4 + 1 + 9. */
    private static final ChannelMoments PAIR = new ChannelMoments(2, new double[] {1.5}, new double[] {0.5});

    private static final ChannelMoments SINGLE = new ChannelMoments(1, new double[] {6}, new double[] {0});
    private static final ChannelMoments NONE = ChannelMoments.empty(1);

    @Test
    void combine_ofAFewValues_isThatByHand() {
        ChannelMoments all = ChannelMoments.combine(List.of(NONE, PAIR, NONE, SINGLE));

        assertThat(all.count()).isEqualTo(3);
        assertThat(all.mean()).containsExactly(new double[] {3}, within(1e-15));
        assertThat(all.squares()).containsExactly(new double[] {14}, within(1e-14));
        assertThat(all.variance(RunningVariance.BIASED)).containsExactly(new double[] {14.0 / 3}, within(1e-14));
        assertThat(all.variance(RunningVariance.UNBIASED)).containsExactly(new double[] {7}, within(1e-14));
        assertThat(ChannelMoments.combine(NONE, NONE)).isEqualTo(NONE);
    }

    @Test
    void combine_inAnyOrderAndGrouping_isTheSameUpToRounding() {
        Random random = new Random(1);
        double[] values = random.doubles(1000, 1e4, 1e4 + 1).toArray();
        ChannelMoments[] parts = {
            of(values, 0, 0), of(values, 0, 1), of(values, 1, 600), of(values, 600, 990), of(values, 990, 1000)
        };
        ChannelMoments whole = of(values, 0, 1000);
        ChannelMoments left = ChannelMoments.combine(Arrays.asList(parts));
        ChannelMoments right = parts[4];
        for (int i = 3; i >= 0; i--) {
            right = ChannelMoments.combine(parts[i], right);
        }
        for (ChannelMoments combined : List.of(left, right)) {
            assertThat(combined.count()).isEqualTo(1000);
            assertThat(combined.mean()[0]).isCloseTo(whole.mean()[0], within(1e-11));
            assertThat(combined.squares()[0]).isCloseTo(whole.squares()[0], within(1e-10));
        }
    }

    private static ChannelMoments of(double[] values, int from, int to) {
        double[] part = Arrays.copyOfRange(values, from, to);
        double mean = Arrays.stream(part).average().orElse(0);
        double squares = Arrays.stream(part).map(x -> (x - mean) * (x - mean)).sum();
        return new ChannelMoments(part.length, new double[] {mean}, new double[] {squares});
    }

    @Test
    void combine_withWhatIsNotFinite_leavesTheOtherChannels() {
        ChannelMoments bad = new ChannelMoments(2, new double[] {Double.NaN, 1.5}, new double[] {Double.NaN, 0.5});
        ChannelMoments good = new ChannelMoments(1, new double[] {6, 6}, new double[] {0, 0});
        ChannelMoments all = ChannelMoments.combine(bad, good);
        assertThat(all.mean()[0]).isNaN();
        assertThat(all.squares()[0]).isNaN();
        assertThat(all.squares()[1]).isCloseTo(14, within(1e-14));
    }

    @Test
    void sums_ofSeveralParts_areAdded() {
        GradientSums one = new GradientSums(2, new double[] {1, -2}, new double[] {3, 4});
        GradientSums other = new GradientSums(5, new double[] {10, 20}, new double[] {30, -40});
        GradientSums all = GradientSums.combine(List.of(one, GradientSums.empty(2), other));
        assertThat(all).isEqualTo(new GradientSums(7, new double[] {11, 18}, new double[] {33, -36}));
        double[] reduced = one.toArray();
        Arrays.setAll(reduced, i -> reduced[i] + other.toArray()[i]);
        assertThat(GradientSums.of(reduced))
                .as("an all-reduce of the numbers does")
                .isEqualTo(all);
    }

    @Test
    void values_sentAsNumbersOrObjects_arriveAsTheyWere() throws Exception {
        ChannelMoments moments = new ChannelMoments(3, new double[] {1, Double.NaN}, new double[] {0.1, 1e300});
        GradientSums sums = new GradientSums(3, new double[] {1, -0.0}, new double[] {0.1, 7});
        assertThat(ChannelMoments.of(moments.toArray())).isEqualTo(moments).hasSameHashCodeAs(moments);
        assertThat(GradientSums.of(sums.toArray())).isEqualTo(sums).hasSameHashCodeAs(sums);
        assertThat(sent(moments)).isEqualTo(moments);
        assertThat(sent(sums)).isEqualTo(sums);
        moments.mean()[0] = 9;
        assertThat(moments.mean()[0]).as("nobody changes a value").isOne();
    }

    private static Object sent(Object value) throws IOException, ClassNotFoundException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(value);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            return in.readObject();
        }
    }

    @Test
    void values_thatAreNone_areRefused() {
        assertRefused(() -> new ChannelMoments(-1, new double[1], new double[1]), "given was -1");
        assertRefused(() -> new ChannelMoments(1, new double[1], new double[2]), "1 and 2");
        assertRefused(() -> new GradientSums(1, new double[0], new double[0]), "0 and 0");
        assertRefused(() -> ChannelMoments.combine(PAIR, ChannelMoments.empty(2)), "1 and 2");
        assertRefused(() -> GradientSums.combine(GradientSums.empty(3), GradientSums.empty(2)), "3 and 2");
        assertRefused(() -> ChannelMoments.combine(List.of()), "none");
        assertRefused(() -> GradientSums.combine(List.of()), "none");
        assertRefused(() -> ChannelMoments.of(new double[] {1, 2}), "2 numbers");
        assertRefused(() -> ChannelMoments.of(new double[] {1.5, 2, 3}), "1.5");
        assertRefused(() -> GradientSums.of(new double[] {Double.NaN, 2, 3}), "NaN");
        assertThatThrownBy(() -> SINGLE.variance(RunningVariance.UNBIASED))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("at least 2");
    }

    private static void assertRefused(Runnable call, String message) {
        assertThatThrownBy(call::run)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
    }
}
