package org.clnorm.opencl;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The OpenCL C sources on the class path, with {@code #include} resolved here: a jar has no include folder. */
final class KernelSource {
    private static final Pattern INCLUDE = Pattern.compile("\\s*#include \"([^\"]+)\"\\s*");

    /** From a line's begin to the first closing brace at one; the name is in group 1. */
    private static final Pattern KERNEL = Pattern.compile("(?ms)^__kernel\\b.*?\\bvoid (\\w+)\\(.*?^}\\n");

    private KernelSource() {}

    /** A file's text with one of its kernels only: the others would cost time to compile, and room in the binary. */
    static String read(String file, String kernel) {
        return KERNEL.matcher(read(file))
                .replaceAll(found -> found.group(1).equals(kernel) ? Matcher.quoteReplacement(found.group()) : "");
    }

    /** A file's text, each include in its place the first time. */
    static String read(String file) {
        StringBuilder text = new StringBuilder();
        append(file, new HashSet<>(), text);
        return text.toString();
    }

    private static void append(String file, Set<String> seen, StringBuilder to) {
        if (!seen.add(file)) {
            return;
        }
        for (String line : load(file).split("\n", -1)) {
            Matcher include = INCLUDE.matcher(line);
            if (include.matches()) {
                append(include.group(1), seen, to);
            } else {
                to.append(line).append('\n');
            }
        }
    }

    private static String load(String file) {
        try (InputStream in = KernelSource.class.getResourceAsStream("kernels/" + file)) {
            if (in == null) {
                throw new IllegalStateException("The kernel source " + file + " is not on the class path");
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new IllegalStateException("The kernel source " + file + " cannot be read", e);
        }
    }
}
