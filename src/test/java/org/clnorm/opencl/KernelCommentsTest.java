package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the comments of the kernels name is there: a file, a function or a macro that was renamed is so in comments too. */
class KernelCommentsTest {
    private static final Pattern COMMENT = Pattern.compile("//[^\n]*|(?s:/\\*.*?\\*/)");
    private static final Pattern FILE = Pattern.compile("\\b\\w+\\.(?:clh?|java|md|txt)\\b");
    private static final Pattern WORD = Pattern.compile("\\b[A-Za-z]\\w*\\b");

    /** What no prose looks like: with an underscore in it, called, or in capitals. */
    private static final Pattern SYMBOL =
            Pattern.compile("\\b([A-Za-z]\\w*_\\w+)\\b|\\b([A-Za-z]\\w+)(?=\\()|\\b([A-Z][A-Z0-9]{3,})\\b");

    /** Words in capitals that are words. */
    private static final Set<String> PROSE = Set.of("spir");

    @Test
    void comments_ofEveryFile_nameOnlyWhatIsThere() throws IOException {
        Map<String, String> kernels = read(Path.of("opencl-kernels"), ".cl", ".clh");
        Map<String, String> host = read(Path.of("src"), ".java", ".md", ".txt");
        Set<String> files = new HashSet<>(kernels.keySet());
        files.addAll(host.keySet());
        // A row is MEAN_HI, and what is in it mean_hi.
        Set<String> symbols = Stream.concat(
                        kernels.values().stream()
                                .map(text -> COMMENT.matcher(text).replaceAll(" ")),
                        host.values().stream())
                .flatMap(text -> WORD.matcher(text).results().map(MatchResult::group))
                .map(word -> word.toLowerCase(Locale.ROOT))
                .collect(Collectors.toSet());
        symbols.addAll(PROSE);

        List<String> dead = new ArrayList<>();
        kernels.forEach((file, text) -> COMMENT.matcher(text)
                .results()
                .map(MatchResult::group)
                .forEach(comment -> {
                    named(FILE, comment)
                            .filter(name -> !files.contains(name))
                            .forEach(name -> dead.add(file + ": " + name));
                    named(SYMBOL, comment)
                            .filter(name -> !symbols.contains(name.toLowerCase(Locale.ROOT)))
                            .forEach(name -> dead.add(file + ": " + name));
                }));

        assertThat(kernels).hasSizeGreaterThan(20);
        assertThat(dead).isEmpty();
    }

    private static Stream<String> named(Pattern pattern, String comment) {
        return pattern.matcher(comment).results().map(MatchResult::group);
    }

    /** Texts by the names of their files. */
    private static Map<String, String> read(Path folder, String... endings) throws IOException {
        Map<String, String> texts = new TreeMap<>();
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.filter(Files::isRegularFile).toList()) {
                String name = path.getFileName().toString();
                if (Stream.of(endings).anyMatch(name::endsWith)) {
                    texts.put(name, Files.readString(path));
                }
            }
        }
        return texts;
    }
}
