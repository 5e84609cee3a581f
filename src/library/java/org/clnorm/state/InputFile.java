package org.clnorm.state;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;

/** What is asked of every file before it is read. */
final class InputFile {
    private InputFile() {}

    /** @throws IOException unless it is a file that can be read at any place; the message names it and says why not */
    static void check(Path file) throws IOException {
        Objects.requireNonNull(file, "file");
        if (!Files.exists(file)) {
            throw new IOException(file + ": there is no such file");
        }
        if (Files.isDirectory(file)) {
            throw new IOException(file + ": is a folder, where a file was expected");
        }
        if (!Files.isRegularFile(file)) {
            throw new IOException(
                    file + ": is no regular file; what comes through a pipe is to be put into a file first");
        }
        if (!Files.isReadable(file)) {
            throw new IOException(file + ": may not be read by this user");
        }
    }
}
