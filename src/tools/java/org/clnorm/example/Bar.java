package org.clnorm.example;

import java.io.PrintStream;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** A progress bar on a terminal, on the error stream. When it is closed its line is as empty as it was. */
public final class Bar implements AutoCloseable {
    private static final int WIDTH = 79;

    private final PrintStream terminal = System.err;
    private final ProgressBar bar;

    /** A bar of so many steps. */
    public Bar(String task, int steps) {
        bar = new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(steps)
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(100)
                .setConsumer(new ConsoleProgressBarConsumer(terminal, WIDTH) {
                    @Override
                    public void close() {} // or there were an empty line for each bar
                })
                .build();
    }

    /** One step more is done. */
    public void step() {
        bar.step();
    }

    @Override
    public void close() {
        bar.close();
        terminal.print("\r" + " ".repeat(WIDTH) + "\r");
        terminal.flush();
    }
}
