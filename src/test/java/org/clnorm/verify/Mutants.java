package org.clnorm.verify;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.clnorm.verify.KernelCode.Body;
import org.clnorm.verify.KernelCode.Kind;
import org.clnorm.verify.KernelCode.Span;
import org.clnorm.verify.KernelCode.Token;

/**
 * All mutants of the kernel files: each comparison, constant, operator and condition in the bodies of functions and macros
 * changed to what it is easily mistaken for, one at a time.
 */
final class Mutants {
    static final Path FOLDER = Path.of("opencl-kernels");

    /** What takes the place of an operator between two values, or of one that assigns. */
    private static final Map<String, List<String>> OPERATORS = Map.ofEntries(
            Map.entry("<", List.of("<=", ">=")),
            Map.entry("<=", List.of("<", ">")),
            Map.entry(">", List.of(">=", "<=")),
            Map.entry(">=", List.of(">", "<")),
            Map.entry("==", List.of("!=")),
            Map.entry("!=", List.of("==")),
            Map.entry("+", List.of("-")),
            Map.entry("-", List.of("+")),
            Map.entry("*", List.of("/")),
            Map.entry("/", List.of("*")),
            Map.entry("%", List.of("/")),
            Map.entry("&", List.of("|")),
            Map.entry("|", List.of("&")),
            Map.entry("^", List.of("&")),
            Map.entry("<<", List.of(">>")),
            Map.entry(">>", List.of("<<")),
            Map.entry("&&", List.of("||")),
            Map.entry("||", List.of("&&")),
            Map.entry("+=", List.of("-=")),
            Map.entry("-=", List.of("+=")),
            Map.entry("*=", List.of("/=")),
            Map.entry("/=", List.of("*=")),
            Map.entry("|=", List.of("&=")));

    private final List<Mutant> found = new ArrayList<>();
    private final KernelCode code;
    private Body body;
    private int number;

    private Mutants(KernelCode code, int number) {
        this.code = code;
        this.number = number;
    }

    /** The files of a folder, by their names. */
    static Map<String, String> sources() {
        Map<String, String> sources = new TreeMap<>();
        try (Stream<Path> files = Files.list(FOLDER)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                if (file.toString().matches(".*\\.clh?")) {
                    sources.put(file.getFileName().toString(), Files.readString(file));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return sources;
    }

    /** In the order of the files and of what stands there. */
    static List<Mutant> of(Map<String, String> sources) {
        List<Mutant> all = new ArrayList<>();
        sources.forEach((file, text) -> all.addAll(new Mutants(new KernelCode(file, text), all.size()).find()));
        return all;
    }

    /** So many of them by chance, in their order; of a seed always the same. */
    static List<Mutant> sample(List<Mutant> all, int size, long seed) {
        List<Mutant> shuffled = new ArrayList<>(all);
        Collections.shuffle(shuffled, new Random(seed));
        return shuffled.stream()
                .limit(size)
                .sorted(Comparator.comparingInt(Mutant::number))
                .toList();
    }

    private List<Mutant> find() {
        for (Body one : code.bodies) {
            body = one;
            boolean isNumber = one.isMacro()
                    && one.last() - one.first() == 1
                    && code.token(one.first()).text().matches("\\w+");
            if (!isNumber || code.token(one.first()).text().endsWith("f")) {
                for (int i = one.first(); i < one.last(); i++) {
                    at(i);
                }
            }
        }
        found.sort(Comparator.comparingInt(Mutant::from).thenComparing(Mutant::change));
        Map<String, Integer> alike = new HashMap<>();
        List<Mutant> numbered = new ArrayList<>();
        for (Mutant m : found) {
            int which = alike.merge(m.key(), 1, Integer::sum);
            numbered.add(new Mutant(
                    number++,
                    m.file(),
                    m.line(),
                    m.text(),
                    which == 1 ? m.change() : m.change() + " (" + which + ")",
                    m.from(),
                    m.to(),
                    m.replacement(),
                    m.whole(),
                    m.body()));
        }
        return numbered;
    }

    private void at(int i) {
        Token token = code.token(i);
        if (token.kind() == Kind.NUMBER) {
            constant(i, token.text());
        } else if (OPERATORS.containsKey(token.text()) && code.isBinary(i, body)) {
            OPERATORS.get(token.text()).forEach(other -> replace(i, other));
        } else if (token.is("++") || token.is("--")) {
            replace(i, token.is("++") ? "--" : "++");
        } else if (token.is("!")) {
            add(i, i, token.start(), token.end(), "", "! left out");
        } else if (token.is("?")) {
            Span[] branches = code.branches(i, body);
            String swapped = " (" + code.text(branches[1]) + ") : (" + code.text(branches[0]) + ")";
            int end = code.token(branches[1].last() - 1).end();
            add(i, i, token.end(), end, swapped, "? : swapped");
        } else if (token.is("(") && (code.is(i - 1, "if") || code.is(i - 1, "while"))) {
            Span condition = new Span(i + 1, code.match(i));
            add(
                    i,
                    i + 1,
                    code.token(i + 1).start(),
                    code.token(code.match(i) - 1).end(),
                    "!(" + code.text(condition) + ")",
                    code.token(i - 1).text() + " negated");
        } else if (token.is("barrier")) {
            int end = code.token(code.match(i + 1)).end();
            add(i, -1, token.start(), end, "", "barrier removed");
        }
    }

    private void constant(int i, String number) {
        if (code.is(i - 1, ".")) {
            return;
        }
        if (number.matches("(?i)0x[0-9a-f.]+p.*|.*\\..*|\\d+e.*")) {
            boolean isNone = number.matches("0\\.?0*f?");
            if (isNone) {
                replace(i, "1.0f");
            } else {
                replace(i, "0.0f");
                replace(i, "(1.125f * " + number + ")");
            }
        } else {
            replace(i, number.equals("0") ? "1" : "(" + number + " + 1)");
            if (!number.equals("0")) {
                replace(i, "(" + number + " - 1)");
            }
        }
    }

    private void replace(int i, String other) {
        Token token = code.token(i);
        String shown = other.startsWith("(") ? other.substring(1, other.length() - 1) : other;
        add(i, i, token.start(), token.end(), other, token.text() + " → " + shown);
    }

    /** @param inside a token whose expression may have both values, or -1 */
    private void add(int i, int inside, int from, int to, String replacement, String change) {
        int line = code.token(i).line();
        Span whole = inside < 0 ? null : code.expression(inside, body);
        Mutant.Place place = whole == null || whole.first() >= whole.last()
                ? null
                : new Mutant.Place(
                        code.token(whole.first()).start(),
                        code.token(whole.last() - 1).end());
        found.add(new Mutant(0, code.file, line, code.line(line), change, from, to, replacement, place, body.name()));
    }
}
