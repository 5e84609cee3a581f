package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.clnorm.ProgressWatch.Look;
import org.junit.jupiter.api.Test;

class ProgressWatchTest {
    private static final Look THEN = new Look(7, Duration.ofHours(1), Duration.ofMinutes(20));

    private static Look after(long events, Duration passed, Duration computed) {
        return new Look(
                THEN.events() + events, THEN.at().plus(passed), THEN.computed().plus(computed));
    }

    @Test
    void isStuck_whenNothingIsComputedForAWhile() {
        assertThat(ProgressWatch.isStuck(THEN, after(0, ProgressWatch.IDLE, Duration.ofSeconds(1))))
                .isTrue();
        assertThat(ProgressWatch.isStuck(THEN, after(0, ProgressWatch.IDLE.minusSeconds(1), Duration.ZERO)))
                .isFalse();
    }

    @Test
    void isStuck_slowMachineThatComputes_isNot() {
        assertThat(ProgressWatch.isStuck(THEN, after(0, Duration.ofMinutes(90), Duration.ofMinutes(9))))
                .as("a test of an hour and a half on a machine that gives it a tenth of a core")
                .isFalse();
        assertThat(ProgressWatch.isStuck(THEN, after(0, ProgressWatch.ENDLESS, Duration.ofMinutes(9))))
                .isTrue();
    }

    @Test
    void isStuck_whereTestsGoOn_isNot() {
        assertThat(ProgressWatch.isStuck(THEN, after(1, Duration.ofHours(9), Duration.ZERO)))
                .isFalse();
    }
}
