package org.clnorm.cli;

import java.io.PrintStream;
import java.time.Duration;
import java.util.Optional;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * A progress bar on a terminal that leaves its line as empty as it was. (The library's own way to do so goes on to the
 * next line, and forgets a bar that is closed at once.)
 */
final class ProgressLine implements AutoCloseable {
    private static final int WIDTH = 79;

    private final PrintStream terminal;
    private final ProgressBar bar;

    /**
     * A bar that is drawn from now on.
     *
     * @param done how many of the steps are behind
     * @param elapsed since the first of them
     */
    ProgressLine(PrintStream terminal, String task, long done, long steps, Duration elapsed) {
        this.terminal = terminal;
        long start = System.nanoTime() - elapsed.toNanos();
        this.bar = new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(steps)
                .startsFrom(done, elapsed)
                .setEtaFunction(state -> state.getCurrent() == 0
                        ? Optional.empty()
                        : Optional.of(Duration.ofNanos(System.nanoTime() - start)
                                .multipliedBy(steps - state.getCurrent())
                                .dividedBy(state.getCurrent())))
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(250)
                .setConsumer(new ConsoleProgressBarConsumer(terminal, WIDTH) {
                    @Override
                    public void close() {} // or there were an empty line for each bar
                })
                .build();
    }

    void stepTo(long step) {
        bar.stepTo(step);
    }

    @Override
    public void close() {
        bar.close();
        terminal.print("\r" + " ".repeat(WIDTH) + "\r");
        terminal.flush();
    }
}
