package org.clnorm.verify;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A list of what is known to be as it should be: a line that begins with a sharp and a blank is the reason of those below. */
final class Reasons {
    private final Map<String, String> reasons = new HashMap<>();

    private Reasons() {}

    static Reasons read(Path file) throws IOException {
        Reasons read = new Reasons();
        String reason = null;
        for (String line : Files.readAllLines(file)) {
            if (line.startsWith("# ")) {
                reason = line.substring(2);
            } else if (!line.isBlank()) {
                read.reasons.put(line, Objects.requireNonNull(reason, "the first line is to be a reason: " + file));
            }
        }
        return read;
    }

    /** The reason of the first of some that has one, or null. */
    String of(List<String> keys) {
        return keys.stream()
                .map(reasons::get)
                .filter(Objects::nonNull)
                .findFirst()
                .orElse(null);
    }
}
