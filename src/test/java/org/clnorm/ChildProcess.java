package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;

/** Processes that a test has started. */
public final class ChildProcess {
    private ChildProcess() {}

    /** Waits until it has ended, which it must do in that time; none is left behind. */
    public static void awaitEnd(Process process, String name, int seconds) throws InterruptedException {
        try {
            assertThat(process.waitFor(seconds, TimeUnit.SECONDS))
                    .as("%s ends", name)
                    .isTrue();
        } finally {
            process.destroyForcibly();
        }
    }
}
