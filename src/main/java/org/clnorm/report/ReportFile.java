package org.clnorm.report;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/**
 * Where a report goes. That it can go there is known before the work; readers see the old file or the new one, never a
 * part.
 */
public final class ReportFile {
    private final Path file;

    private ReportFile(Path file) {
        this.file = file;
    }

    /**
     * A file that can be written. What is there already stays until {@link #write}.
     *
     * @throws IOException when it cannot be written; the message says which file, and why
     */
    public static ReportFile at(Path path) throws IOException {
        Path file = path.toAbsolutePath();
        if (Files.isDirectory(file)) {
            throw new IOException(path + " cannot be written: it is a folder");
        }
        if (Files.exists(file)) {
            file = file.toRealPath(); // or the draft would take the place of a link
        } else if (!Files.isDirectory(file.getParent())) {
            throw new IOException(path + " cannot be written: there is no folder " + file.getParent());
        }
        ReportFile report = new ReportFile(file);
        if (report.isDrafted()) {
            try {
                Files.writeString(report.draft(), "");
                Files.delete(report.draft());
            } catch (IOException e) {
                throw new IOException(path + " cannot be written: its folder does not take files (" + e + ")", e);
            }
        }
        return report;
    }

    /** Writes all of it. */
    public void write(String text) throws IOException {
        if (!isDrafted()) {
            Files.writeString(file, text);
            return;
        }
        try {
            Files.writeString(draft(), text);
            Files.move(draft(), file, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(draft());
        }
    }

    /** A pipe or a terminal is written straight to: what is moved over it would take its place. */
    private boolean isDrafted() {
        return Files.isRegularFile(file) || !Files.exists(file);
    }

    /** Beside the file, and not a temporary file of the library's: only its owner may read those. */
    private Path draft() {
        return file.resolveSibling(
                file.getFileName() + "-" + ProcessHandle.current().pid() + ".part");
    }
}
