package org.clnorm.check;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The text of a file with kernels, and in it that of the files that it includes by {@code #include "name"}: drivers differ in what
 * they do with folders that have spaces in their names, and some compile in another process or on another machine.
 */
public final class KernelFile {
    private static final Pattern INCLUDE = Pattern.compile("\\s*#\\s*include\\s*\"([^\"]+)\"\\s*(?://.*)?");

    /** A file that includes itself would have no end. */
    private static final int DEEPEST = 50;

    private final List<Path> folders;
    private final StringBuilder text = new StringBuilder();

    private KernelFile(List<Path> folders) {
        this.folders = folders;
    }

    /**
     * Reads it. What is included is looked for beside the file that includes it, then in the folders; what is in none of them is left to
     * the driver. A compiler's errors name the file and its line.
     *
     * @throws IOException when a file cannot be read
     * @throws IllegalArgumentException when files include each other without an end
     */
    public static String read(Path file, List<Path> folders) throws IOException {
        KernelFile reading = new KernelFile(folders);
        reading.place(1, file);
        reading.append(file, 1);
        return reading.text.toString();
    }

    private void append(Path file, int depth) throws IOException {
        if (depth > DEEPEST) {
            throw new IllegalArgumentException(
                    file + " is included " + DEEPEST + " files deep: it seems to include itself");
        }
        // Comments may be in any encoding.
        String source = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        int line = 0;
        for (String each : source.split("\\R", -1)) {
            line++;
            Matcher include = INCLUDE.matcher(each);
            Optional<Path> included = include.matches() ? find(include.group(1), file) : Optional.empty();
            if (included.isEmpty()) {
                text.append(each).append('\n');
                continue;
            }
            place(1, included.get());
            append(included.get(), depth + 1);
            place(line + 1, file);
        }
    }

    private Optional<Path> find(String name, Path from) {
        return Stream.concat(
                        Stream.of(from.resolveSibling(name)), folders.stream().map(folder -> folder.resolve(name)))
                .filter(Files::isRegularFile)
                .findFirst();
    }

    private void place(int line, Path file) {
        text.append("#line ")
                .append(line)
                .append(" \"")
                .append(file.getFileName())
                .append("\"\n");
    }
}
