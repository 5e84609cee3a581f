package org.clnorm.io;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicLong;

/** Files that appear whole or not at all: readers see the old one or the new one, never a part. */
final class WholeFile {
    /** What is to be in a file. */
    interface Content {
        void writeTo(OutputStream out) throws IOException;
    }

    /** What the content may close, as a zip does, and is still open. */
    private static final class Kept extends BufferedOutputStream {
        Kept(OutputStream to) {
            super(to, BUFFER);
        }

        @Override
        public void close() throws IOException {
            flush();
        }
    }

    /** Tells the drafts of one process apart. */
    private static final AtomicLong DRAFTS = new AtomicLong();

    private static final int BUFFER = 1 << 16;

    private WholeFile() {}

    /**
     * Writes a new file, or one in the place of what was there.
     *
     * @throws IOException when it cannot be written, or the content throws one; the message names the file, and what
     *     was there is there still
     */
    static void write(Path path, Content content) throws IOException {
        try {
            Path file = Files.exists(path) ? path.toRealPath() : path.toAbsolutePath(); // not over a link
            if (Files.isDirectory(file)) {
                throw new IOException("it is a folder");
            }
            if (!Files.isDirectory(file.getParent())) {
                throw new IOException("there is no folder " + file.getParent());
            }
            if (Files.exists(file) && !Files.isRegularFile(file)) {
                // A pipe or a terminal: what is moved over it would take its place.
                try (OutputStream to = Files.newOutputStream(file)) {
                    write(to, content);
                }
            } else {
                writeAndMove(file, content);
            }
        } catch (IOException e) {
            throw new IOException(
                    path + " cannot be written: " + (e.getClass() == IOException.class ? e.getMessage() : e), e);
        }
    }

    private static void write(OutputStream to, Content content) throws IOException {
        OutputStream out = new Kept(to);
        content.writeTo(out);
        out.flush();
    }

    private static void writeAndMove(Path file, Content content) throws IOException {
        // Beside the file, and not a temporary file of the library's: only its owner may read those.
        Path draft = file.resolveSibling(
                file.getFileName() + "-" + ProcessHandle.current().pid() + "-" + DRAFTS.incrementAndGet() + ".part");
        try {
            try (FileChannel channel =
                    FileChannel.open(draft, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                write(Channels.newOutputStream(channel), content);
                channel.force(true); // or a power cut could leave the name without the bytes
            }
            Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(draft);
        }
    }
}
