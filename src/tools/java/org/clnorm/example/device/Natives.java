package org.clnorm.example.device;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** The native library that the matrix products come from. */
final class Natives {
    private Natives() {}

    /**
     * Loads CLBlast, once in a process.
     *
     * @throws IllegalArgumentException where it cannot be loaded
     */
    static void require() {
        require(Natives::load);
    }

    static void require(Runnable load) {
        try {
            load.run();
        } catch (LinkageError e) { // of the first try; of the second, that the class is not there
            String why =
                    String.valueOf(e.getMessage()).strip().lines().findFirst().orElse("");
            throw new IllegalArgumentException(
                    "These networks multiply matrices with CLBlast, which org.jocl:jocl-blast has for 64-bit Intel and AMD"
                            + " processors under Linux, Windows and macOS; on " + System.getProperty("os.name") + " "
                            + System.getProperty("os.arch") + " it could not be loaded (" + why
                            + "); train without --network needs none",
                    e);
        }
    }

    /** One process after another: what is in the jar is extracted under fixed names, and the first one writes it. */
    private static void load() {
        Path lock = Path.of(System.getProperty("java.io.tmpdir"), "clnorm-jocl-blast.lock");
        try (FileChannel channel = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                FileLock held = channel.lock()) {
            initialize();
        } catch (IOException e) {
            initialize(); // the folder has no locks, or the file is another user's
        }
    }

    private static void initialize() {
        try {
            Class.forName("org.jocl.blast.CLBlast");
        } catch (ClassNotFoundException e) {
            throw new NoClassDefFoundError(e.getMessage());
        }
    }
}
