package org.clnorm.verify;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BinaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.clnorm.verify.KernelCode.Body;
import org.clnorm.verify.KernelCode.Kind;

/**
 * Kernel files with many mutants in them, of which {@link SharedPage} chooses one at run time: an expression {@code E}
 * becomes {@code (CHOSEN(7) ? (E with mutant 7) : (E))}. Lines stay where they are. Mutants that must be compiled alone are
 * only marked: the functions that have them tell when they are reached.
 */
final class SwitchedKernels {
    private static final Pattern PLACE = Pattern.compile("([a-z_]+\\.clh?):(\\d+):");

    private final Map<String, String> sources;
    private final Map<String, KernelCode> codes = new HashMap<>();
    private List<Mutant> mutants;
    private Map<String, String> texts;

    SwitchedKernels(Map<String, String> sources, List<Mutant> mutants) {
        this.sources = sources;
        sources.forEach((file, text) -> codes.put(file, new KernelCode(file, text)));
        Set<String> constants = constants();
        Set<String> nothing = macrosOfNothing();
        this.mutants = mutants.stream()
                .map(m -> constants.contains(m.body()) || nothing.contains(firstName(m)) ? m.alone() : m)
                .toList();
        write();
    }

    /** Macros that some programs have nothing for: a call of one is no value there. */
    private Set<String> macrosOfNothing() {
        Set<String> nothing = codes.values().stream()
                .flatMap(code -> code.bodies.stream())
                .filter(body -> body.isMacro() && body.first() == body.last())
                .map(Body::name)
                .collect(Collectors.toSet());
        addUsers(nothing);
        return nothing;
    }

    private String firstName(Mutant m) {
        return m.whole() == null
                ? ""
                : sources.get(m.file())
                        .substring(m.whole().from(), m.whole().to())
                        .split("\\W", 2)[0];
    }

    /** The names of macros that are to be constant, and of those that they are made of. */
    private Set<String> constants() {
        Set<String> constants = new HashSet<>();
        codes.values().forEach(code -> constants.addAll(code.constants));
        int before;
        do {
            before = constants.size();
            codes.values().forEach(code -> code.bodies.stream()
                    .filter(body -> body.isMacro() && constants.contains(body.name()))
                    .forEach(body -> code.tokens
                            .subList(body.first(), body.last())
                            .forEach(token -> constants.add(token.text()))));
        } while (constants.size() > before);
        return constants;
    }

    List<Mutant> mutants() {
        return mutants;
    }

    BinaryOperator<String> edit() {
        Map<String, String> now = texts;
        return (file, text) -> now.getOrDefault(file, text);
    }

    /** The numbers of those that a compiler complains of, which are to be compiled alone. */
    Set<Integer> complained(String complaint) {
        Set<String> places = new HashSet<>();
        Matcher place = PLACE.matcher(complaint);
        while (place.find()) {
            places.add(place.group(1) + ":" + place.group(2));
        }
        return mutants.stream()
                .filter(m -> m.whole() != null && isAt(m, places))
                .map(Mutant::number)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private boolean isAt(Mutant m, Set<String> places) {
        KernelCode code = codes.get(m.file());
        int first = code.lineAt(m.whole().from());
        int last = code.lineAt(m.whole().to());
        for (int line = first; line <= last; line++) {
            if (places.contains(m.file() + ":" + line)) {
                return true;
            }
        }
        // Of a macro over several lines, compilers name the first.
        return code.bodies.stream()
                .anyMatch(body -> body.isMacro()
                        && body.name().equals(m.body())
                        && places.contains(
                                m.file() + ":" + (code.token(body.first()).line() - 1)));
    }

    /** Has some compiled alone, by their numbers, with commas between. */
    void makeAlone(String numbers) {
        Set<String> alone = Set.of(numbers.split(","));
        mutants = mutants.stream()
                .map(m -> alone.contains(Integer.toString(m.number())) ? m.alone() : m)
                .toList();
        write();
    }

    private void write() {
        texts = new HashMap<>();
        sources.keySet().forEach(file -> texts.put(file, SharedPage.declare(file, switched(file), "")));
    }

    private String switched(String file) {
        String source = sources.get(file);
        Map<Mutant.Place, List<Mutant>> places = mutants.stream()
                .filter(m -> m.file().equals(file) && m.whole() != null)
                .collect(Collectors.groupingBy(Mutant::whole));
        List<Insertion> insertions = new ArrayList<>();
        places.forEach((place, alternatives) -> {
            StringBuilder before = new StringBuilder("(");
            alternatives.forEach(m -> before.append("CHOSEN(")
                    .append(m.number())
                    .append(") ? (")
                    .append(m.variant(source))
                    .append(") : "));
            int length = place.to() - place.from();
            // Of places in one another the outer one opens first and closes last.
            insertions.add(new Insertion(place.from(), before + "(", -length));
            insertions.add(new Insertion(place.to(), "))", length));
        });
        for (Body body : codes.get(file).bodies) {
            if (!body.isMacro() && body.first() < body.last()) {
                String marks = mutants.stream()
                        .filter(m -> m.whole() == null && touches(body, m, codes.get(file)))
                        .map(m -> " REACHED(" + m.number() + ");")
                        .collect(Collectors.joining());
                insertions.add(
                        new Insertion(codes.get(file).token(body.first() - 1).end(), marks, 0));
            }
        }
        return Insertion.into(source, insertions);
    }

    /** Whether a function has a mutant in it, by itself or by a macro. */
    private boolean touches(Body function, Mutant m, KernelCode code) {
        if (code.file.equals(m.file())
                && code.token(function.first()).start() <= m.from()
                && m.from() < code.token(function.last()).start()) {
            return true;
        }
        Set<String> macros = new HashSet<>();
        boolean isOfMacro = codes.get(m.file()).bodies.stream()
                .anyMatch(body -> body.isMacro() && body.name().equals(m.body()));
        if (isOfMacro) {
            macros.add(m.body());
            addUsers(macros);
        }
        return names(code, function, macros);
    }

    private void addUsers(Set<String> macros) {
        int before;
        do {
            before = macros.size();
            codes.values().forEach(code -> code.bodies.stream()
                    .filter(body -> body.isMacro() && names(code, body, macros))
                    .forEach(body -> macros.add(body.name())));
        } while (macros.size() > before);
    }

    private static boolean names(KernelCode code, Body body, Set<String> macros) {
        for (int i = body.first(); i < body.last(); i++) {
            if (code.token(i).kind() == Kind.NAME
                    && macros.contains(code.token(i).text())) {
                return true;
            }
        }
        return false;
    }
}
