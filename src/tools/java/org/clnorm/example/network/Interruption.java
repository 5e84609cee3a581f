package org.clnorm.example.network;

import java.nio.file.Path;

/** Says at the end of a process that was not waited for, as Ctrl-C ends it, what is left of the training. */
final class Interruption implements AutoCloseable {
    private final Path file;
    private final Thread hook = new Thread(this::say, "clnorm-interruption");
    private volatile int epoch;

    /**
     * From now on.
     *
     * @param epoch after which epoch the file is; 0 for none
     */
    Interruption(Path file, int epoch) {
        this.file = file;
        this.epoch = epoch;
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** The file is after an epoch more. */
    void kept(int number) {
        epoch = number;
    }

    private void say() {
        int last = epoch;
        System.err.println();
        System.err.println(
                last == 0
                        ? "Interrupted in the first epoch; nothing was kept"
                        : "Interrupted; " + file + " has the training after epoch " + last
                                + ", and --resume goes on from there");
    }

    @Override
    public void close() {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // The process is ending, and has said so.
        }
    }
}
