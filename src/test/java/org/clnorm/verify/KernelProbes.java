package org.clnorm.verify;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BinaryOperator;
import org.clnorm.verify.KernelCode.Body;
import org.clnorm.verify.KernelCode.Kind;
import org.clnorm.verify.KernelCode.Span;

/** Kernel files that tell, through a {@link SharedPage}, which of their blocks ran, and which way their branches went. */
final class KernelProbes {
    /** In the place of conditions, which may be of lanes; and of those of loops, with the variable that counts their turns. */
    private static final String MACROS = """
            __attribute__((overloadable)) INLINE int branched(int n, int c) {
                return c ? (REACHED(n), 1) : (REACHED(n + 1), 0);
            }
            #if VW > 1
            __attribute__((overloadable)) INLINE ivec branched(int n, ivec c) {
                any(c) ? REACHED(n) : (void)0;
                all(c) ? (void)0 : REACHED(n + 1);
                return c;
            }
            #endif
            #define BRANCHED(n, c) branched(n, !!(c))
            #define TURNED(n, turns, c) \
                ((c) ? ((turns++ > 0 ? REACHED((n) + 2) : (void)0), 1) \
                     : ((turns < 2 ? REACHED((n) + turns) : (void)0), 0))
            """;

    /**
     * What is to be reached.
     *
     * @param number of the probe that tells
     * @param what it is, in a few words
     * @param line where it begins
     * @param text of that line
     * @param lines of a block those of its statements; of others none
     * @param conditions of the preprocessor around it
     */
    record Goal(
            int number,
            Sort sort,
            String what,
            String file,
            int line,
            String text,
            Set<Integer> lines,
            List<String> conditions) {}

    /** What a goal is one of. */
    enum Sort {
        BLOCK,
        BRANCH,
        LOOP
    }

    private final Map<String, String> texts = new HashMap<>();
    private final List<Goal> goals = new ArrayList<>();
    private int next;

    private KernelCode code;
    private List<Insertion> insertions;

    KernelProbes(Map<String, String> sources) {
        sources.forEach((file, source) -> {
            code = new KernelCode(file, source);
            insertions = new ArrayList<>();
            code.bodies.forEach(this::probe);
            texts.put(file, SharedPage.declare(file, Insertion.into(source, insertions), MACROS));
        });
    }

    List<Goal> goals() {
        return goals;
    }

    BinaryOperator<String> edit() {
        return (file, text) -> texts.getOrDefault(file, text);
    }

    private void goal(int number, Sort sort, String what, int token, Set<Integer> lines) {
        int line = code.token(token).line();
        goals.add(new Goal(number, sort, what, code.file, line, code.line(line), lines, code.conditionsAt(token)));
    }

    private void probe(Body body) {
        if (!body.isMacro()) {
            blocks(body);
        }
        for (int i = body.first(); i < body.last(); i++) {
            if (code.is(i, "if")) {
                branch(new Span(i + 2, code.match(i + 1)), "");
            } else if (code.is(i, "?")) {
                Span condition = code.condition(i, body);
                branch(condition, " of " + code.text(condition));
            } else if ((code.is(i, "for") || code.is(i, "while")) && !body.isMacro() && !isUnrolled(i)) {
                loop(i);
            }
        }
    }

    private void branch(Span condition, String which) {
        wrap(condition, "BRANCHED(" + next + ", ");
        goal(next, Sort.BRANCH, "true" + which, condition.first(), Set.of());
        goal(next + 1, Sort.BRANCH, "false" + which, condition.first(), Set.of());
        next += 2;
    }

    private void wrap(Span span, String before) {
        int from = code.token(span.first()).start();
        int to = code.token(span.last() - 1).end();
        insertions.add(new Insertion(from, before, from - to));
        insertions.add(new Insertion(to, ")", to - from));
    }

    private boolean isUnrolled(int loop) {
        return code.is(loop - 1, KernelCode.BREAK)
                        && code.text
                                .substring(0, code.token(loop).start())
                                .stripTrailing()
                                .endsWith("unroll")
                || code.is(loop - 1, ")") && code.is(code.match(loop - 1) - 1, "_Pragma");
    }

    private void loop(int i) {
        Span head = new Span(i + 2, code.match(i + 1));
        if (code.is(i, "for")) {
            int first = after(";", head.first(), head.last());
            int last = after(";", first, head.last()) - 1;
            if (first == last) {
                return; // for (;;), which has its ends inside
            }
            boolean isConstant = isConstant(new Span(head.first(), first - 1), new Span(first, last));
            head = new Span(first, last);
            if (isConstant) {
                return;
            }
        }
        String turns = "turns_" + next;
        insertions.add(new Insertion(code.token(i).start(), "int " + turns + " = 0; ", 0));
        wrap(head, "TURNED(" + next + ", " + turns + ", ");
        goal(next, Sort.LOOP, "no turn", i, Set.of());
        goal(next + 1, Sort.LOOP, "one turn", i, Set.of());
        goal(next + 2, Sort.LOOP, "many turns", i, Set.of());
        next += 3;
    }

    private int after(String mark, int from, int last) {
        for (int i = from; i < last; i++) {
            if (code.isOpening(i)) {
                i = code.match(i);
            } else if (code.is(i, mark)) {
                return i + 1;
            }
        }
        return last + 1;
    }

    /** Whether a program has as many turns always: from a number to a constant. */
    private boolean isConstant(Span start, Span condition) {
        return code.text(start).matches("int \\w+ = (\\d+|[A-Z_ /*0-9]+)")
                && code.text(condition).matches("\\w+ [<>]=? [A-Z_0-9 */+()-]+");
    }

    /**
     * A probe at the begin of each block, after each statement that may leave it, and after each directive, as what stands there
     * may be in other programs than what stood before.
     */
    private void blocks(Body body) {
        Deque<Set<Integer>> lines = new ArrayDeque<>();
        lines.push(new TreeSet<>());
        String begun = "block";
        boolean begins = true;
        for (int i = body.first(); i < body.last(); i++) {
            if (code.is(i, "}")) {
                lines.pop();
                begun = mayLeave(chain(code.match(i)), i) ? "what follows" : begun;
                begins = true;
            } else if (code.is(i, KernelCode.BREAK)) {
                begun = begins && !isPragma(i) ? "what follows" : begun;
            } else if (code.is(i, ":") && code.isLabel(i, body)) {
                begun = "case";
                begins = true;
            } else if (code.is(i, "{") && isBlock(i)) {
                lines.push(new TreeSet<>());
                begun = "block";
                begins = true;
            } else {
                if (begins && !begun.isEmpty() && !isLabelOf(i)) {
                    lines.pop();
                    lines.push(block(i, begun));
                    begun = "";
                }
                if (begins && !code.is(i, "else")) {
                    lines.peek().add(code.token(i).line());
                }
                begins = code.is(i, ";");
                i = code.isOpening(i) ? code.match(i) : i;
            }
        }
    }

    private boolean isPragma(int directive) {
        return code.text.startsWith("#pragma", code.token(directive).start());
    }

    /** Whether no statement may stand before a token: a label, or what goes on with the statement before. */
    private boolean isLabelOf(int token) {
        return Set.of("case", "default", "else").contains(code.token(token).text());
    }

    private Set<Integer> block(int token, String what) {
        Set<Integer> lines = new TreeSet<>();
        insertions.add(new Insertion(code.token(token).start(), "REACHED(" + next + "); ", Integer.MIN_VALUE));
        goal(next++, Sort.BLOCK, what, token, lines);
        return lines;
    }

    private boolean isBlock(int brace) {
        return code.is(brace - 1, ")") || code.is(brace - 1, "else");
    }

    /** The first brace of those that {@code else} joins to one. */
    private int chain(int brace) {
        int otherwise = brace - 1;
        if (code.is(otherwise, ")")) {
            otherwise = code.match(otherwise) - 2;
        }
        return code.is(otherwise, "else") ? chain(code.match(otherwise - 1)) : brace;
    }

    private boolean mayLeave(int first, int last) {
        for (int i = first; i < last; i++) {
            if (code.token(i).kind() == Kind.NAME
                    && Set.of("return", "break", "continue")
                            .contains(code.token(i).text())) {
                return true;
            }
        }
        return false;
    }
}
