package org.clnorm.opencl;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;
import java.util.function.BinaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.clnorm.plan.KernelCatalogue;

/**
 * The OpenCL C sources on the class path, with {@code #include} resolved here: a jar has no include folder. A file stands
 * where it is included first; a template, whose name says so, wherever it is included. What a compiler complains of, it
 * finds by {@code #line} under the name of its file.
 */
final class KernelSource {
    /** From a file's name and its text to what is read there: the text, but where a test asks who notices a change. */
    static final BinaryOperator<String> UNEDITED = (file, text) -> text;

    private static final String TEMPLATE = "_template.clh";
    private static final Pattern INCLUDE = Pattern.compile("#include \"([^\"]+)\"\\s*");

    /** From a line's begin to the first closing brace at one; the name is in group 1. */
    private static final Pattern KERNEL = Pattern.compile("(?ms)^__kernel\\b.*?\\bvoid (\\w+)\\(.*?^}\\n");

    private KernelSource() {}

    /** A file's text with one of its kernels only: the others would cost time to compile, and room in the binary. */
    static String read(String file, String kernel) {
        return read(file, kernel, UNEDITED);
    }

    /** The same of edited files. */
    static String read(String file, String kernel, BinaryOperator<String> edit) {
        return KERNEL.matcher(read(file, edit))
                .replaceAll(found -> found.group(1).equals(kernel)
                        ? Matcher.quoteReplacement(found.group())
                        : "\n".repeat((int) found.group().lines().count()));
    }

    /** A file's text, with what it includes. */
    static String read(String file) {
        return read(file, UNEDITED);
    }

    private static String read(String file, BinaryOperator<String> edit) {
        StringBuilder text = new StringBuilder();
        append(file, new HashSet<>(Set.of(file)), text, edit);
        return text.toString();
    }

    /** The text of all kernels, with what they include, each file once. */
    static String all() {
        StringBuilder text = new StringBuilder();
        Set<String> seen = new HashSet<>();
        for (KernelCatalogue.Entry entry : KernelCatalogue.entries()) {
            if (seen.add(entry.source())) {
                append(entry.source(), seen, text, UNEDITED);
            }
        }
        return text.toString();
    }

    private static void append(String file, Set<String> seen, StringBuilder to, BinaryOperator<String> edit) {
        int number = 1;
        appendPlace(number, file, to);
        for (String line : edit.apply(file, load(file)).split("\n")) {
            number++;
            Matcher include = line.startsWith("#include") ? INCLUDE.matcher(line) : null;
            if (include == null || !include.matches()) {
                to.append(line).append('\n');
            } else if (include.group(1).endsWith(TEMPLATE) || seen.add(include.group(1))) {
                append(include.group(1), seen, to, edit);
                appendPlace(number, file, to);
            } else {
                to.append('\n');
            }
        }
    }

    private static void appendPlace(int line, String file, StringBuilder to) {
        to.append("#line ").append(line).append(" \"").append(file).append("\"\n");
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
