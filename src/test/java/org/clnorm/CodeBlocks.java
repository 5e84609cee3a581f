package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * The Java in a page for people. Whole classes are compiled as they stand; what is none is put into a method, with the
 * imports and the names that docs/guide.md says such code has.
 */
final class CodeBlocks {
    private static final Pattern BLOCK = Pattern.compile("(?ms)^```java\\n(.*?)^```");
    private static final Pattern CLASS = Pattern.compile("(?m)^public (?:final )?class (\\w+)");
    private static final Pattern LINK = Pattern.compile("]\\(([^):]+)\\)");
    private static final Pattern HEADING = Pattern.compile("(?m)^#+ (.*)$");

    private static final String BEFORE = """
            import java.nio.file.*;
            import java.util.*;
            import org.clnorm.*;
            import org.clnorm.diagnostics.*;
            import org.clnorm.folding.*;
            import org.clnorm.optim.*;
            import org.clnorm.replicas.*;
            import org.clnorm.state.*;

            class %s {
                interface Network {
                    Tensor forward(Tensor x);
                }

                void fragment(Device device, BatchNorm norm, BatchNorm first, BatchNorm second, List<BatchNorm> layers,
                        Tensor x, Tensor y, Tensor dy, Tensor dx, Tensor kernel, Tensor kernelGradient,
                        Iterable<Tensor> batches, Network network, Path path, int samples, int steps, int channels,
                        int[] lengths, float[] activations)
                        throws Exception {
            """;
    private static final String AFTER = "\n}\n}\n";

    private CodeBlocks() {}

    static String read(String page) throws IOException {
        return Files.readString(Path.of(page)).replace("\r\n", "\n");
    }

    /** Compiles all blocks of a page, with the names of classes that say in which line a block begins. */
    static List<String> compileAll(String page, Path folder) throws IOException {
        String text = read(page);
        List<Path> files = new ArrayList<>();
        List<String> blocks = new ArrayList<>();
        Matcher block = BLOCK.matcher(text);
        while (block.find()) {
            String code = block.group(1);
            long line = text.substring(0, block.start()).lines().count() + 1;
            Matcher whole = CLASS.matcher(code);
            boolean isWhole = whole.find();
            String name = isWhole ? whole.group(1) : "Line" + line;
            files.add(Files.writeString(
                    folder.resolve(name + ".java"), isWhole ? code : BEFORE.formatted(name) + code + AFTER));
            blocks.add(code);
        }
        compile(page, files, folder);
        return blocks;
    }

    /** Compiles one class into a folder; returns its name. */
    static String compile(String source, Path folder) throws IOException {
        Matcher name = CLASS.matcher(source);
        assertThat(name.find()).as("a class in %s", source).isTrue();
        Path file = Files.writeString(folder.resolve(name.group(1) + ".java"), source);
        compile(name.group(1), List.of(file), folder);
        return name.group(1);
    }

    private static void compile(String what, List<Path> sources, Path folder) throws IOException {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StringWriter messages = new StringWriter();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8)) {
            List<String> options = List.of(
                    "-encoding",
                    "UTF-8",
                    "-d",
                    folder.toString(),
                    "-classpath",
                    System.getProperty("java.class.path"),
                    "-proc:none");
            assertThat(compiler.getTask(
                                    messages, files, null, options, null, files.getJavaFileObjectsFromPaths(sources))
                            .call())
                    .as("a reader who pastes the code of %s must have it compile:\n%s", what, messages)
                    .isTrue();
        }
    }

    /** What a page has links to in the repository, as they stand there. */
    static List<String> links(String page) throws IOException {
        return LINK.matcher(read(page)).results().map(m -> m.group(1)).toList();
    }

    /** The links of a page that lead to no file, or to no heading in it. */
    static List<String> deadLinks(String page) throws IOException {
        List<String> dead = new ArrayList<>();
        for (String link : links(page)) {
            if (!leadsSomewhere(page, link)) {
                dead.add(link);
            }
        }
        return dead;
    }

    private static boolean leadsSomewhere(String page, String link) throws IOException {
        int mark = link.indexOf('#');
        String name = mark < 0 ? link : link.substring(0, mark);
        Path file = name.isEmpty()
                ? Path.of(page)
                : Path.of(page).resolveSibling(name).normalize();
        if (mark < 0 || !Files.exists(file)) {
            return Files.exists(file);
        }
        return HEADING.matcher(read(file.toString()))
                .results()
                .map(m -> anchor(m.group(1)))
                .anyMatch(link.substring(mark + 1)::equals);
    }

    /** What GitHub calls a heading in a link. */
    private static String anchor(String heading) {
        return heading.toLowerCase(Locale.ROOT)
                .replaceAll("[^\\p{L}\\p{N} _-]", "")
                .replace(' ', '-');
    }

    /** The cells of all rows of the tables of a page whose first line is the given one, without the line of dashes. */
    static List<List<String>> table(String page, String heading) throws IOException {
        List<String> lines = read(page).lines().toList();
        assertThat(lines).as("a table in %s", page).contains(heading);
        List<List<String>> rows = new ArrayList<>();
        for (int i = lines.indexOf(heading) + 2;
                i < lines.size() && lines.get(i).startsWith("|");
                i++) {
            List<String> cells = new ArrayList<>();
            for (String cell : lines.get(i).substring(1).split("\\|", 0)) {
                cells.add(cell.strip());
            }
            rows.add(cells);
        }
        return rows;
    }
}
