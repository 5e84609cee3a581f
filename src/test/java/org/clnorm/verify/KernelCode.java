package org.clnorm.verify;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A kernel file as tokens, with what is code in it: the bodies of functions and of macros. It knows as much of C as the
 * project's own style needs, in which blanks tell {@code a * b} from {@code *a}.
 */
final class KernelCode {
    /** Marks that are of two characters or more stand first. Of a comment there is no token. */
    private static final Pattern TOKEN = Pattern.compile("(?s)(?<comment>//[^\\n]*|/\\*.*?\\*/)|\"[^\"]*\""
            + "|(?<number>0[xX][0-9a-fA-F.]+(?:[pP][+-]?\\d+)?[uUlLfF]*|\\d+\\.?\\d*(?:[eE][+-]?\\d+)?[uUlLfF]*)"
            + "|(?<name>[A-Za-z_]\\w*)"
            + "|<<=|>>=|\\+\\+|--|->|<<|>>|<=|>=|==|!=|&&|\\|\\||[-+*/%&|^]=|##|\\S");

    private static final Pattern DIRECTIVE = Pattern.compile("(?m)^[ \\t]*#(?:[^\\n]*\\\\\\n)*[^\\n]*");
    private static final Pattern DEFINE = Pattern.compile("[ \\t]*#define (\\w+)(\\([^)]*\\))?");
    private static final Set<String> CONTROL = Set.of("if", "for", "while", "switch");

    /** A mark that no text has: a directive, which parts expressions. */
    static final String BREAK = "#";

    enum Kind {
        NAME,
        NUMBER,
        MARK
    }

    /**
     * A token.
     *
     * @param line from 1 on
     * @param spaced whether there is a blank on both sides
     */
    record Token(Kind kind, String text, int start, int end, int line, boolean spaced) {
        boolean is(String other) {
            return text.equals(other);
        }
    }

    /**
     * A body.
     *
     * @param name of the function or the macro
     * @param first its first token, after the brace of a function
     * @param last the first token that is not its own any more
     */
    record Body(String name, boolean isMacro, int first, int last) {}

    /** Tokens from one up to another. */
    record Span(int first, int last) {}

    final String file;
    final String text;
    final List<Token> tokens = new ArrayList<>();
    final List<Body> bodies = new ArrayList<>();
    /** Names in conditions of the preprocessor and between brackets, where an array's size may be: what is to be constant. */
    final List<String> constants = new ArrayList<>();
    /** Where directives stand, and the conditions from there on, the outermost first. */
    private final TreeMap<Integer, List<String>> conditions = new TreeMap<>(Map.of(0, List.of()));
    /** Of a bracket, the token of the other; else -1. */
    private int[] match;

    KernelCode(String file, String text) {
        this.file = file;
        this.text = text;
        read();
    }

    private void read() {
        List<Body> macros = new ArrayList<>();
        Matcher directive = DIRECTIVE.matcher(text);
        List<Token> later = new ArrayList<>();
        int at = 0;
        while (directive.find()) {
            add(tokens, at, directive.start());
            tokens.add(
                    new Token(Kind.MARK, BREAK, directive.start(), directive.end(), lineAt(directive.start()), false));
            Matcher define = DEFINE.matcher(directive.group());
            if (define.lookingAt()) {
                int first = later.size();
                add(later, directive.start() + define.end(), directive.end());
                later.removeIf(token -> token.is("\\"));
                macros.add(new Body(define.group(1), true, first, later.size()));
            } else if (directive.group().matches("(?s)\\s*#(el)?if.*")) {
                constants.addAll(Arrays.asList(directive.group().split("\\W+")));
            }
            conditions.put(
                    directive.start(), conditionsAfter(conditions.lastEntry().getValue(), directive.group()));
            at = directive.end();
        }
        add(tokens, at, text.length());
        int shift = tokens.size();
        tokens.addAll(later);
        matchBrackets();
        for (int i = 0; i < shift; i++) {
            if (tokens.get(i).is("{")) {
                if (i > 0 && tokens.get(i - 1).is(")")) {
                    bodies.add(new Body(nameBefore(match[i - 1]), false, i + 1, match[i]));
                }
                i = match[i];
            }
        }
        for (int i = 0; i < tokens.size(); i++) {
            if (is(i, "[")) {
                constants.addAll(Arrays.asList(text(new Span(i, match[i])).split("\\W+")));
            }
        }
        macros.forEach(m -> bodies.add(new Body(m.name, true, m.first + shift, m.last + shift)));
    }

    private static List<String> conditionsAfter(List<String> before, String directive) {
        String words = directive.strip().replaceAll("\\s+", " ");
        if (words.startsWith("#if")) {
            return Stream.concat(before.stream(), Stream.of(words)).toList();
        }
        if (words.startsWith("#endif") || words.startsWith("#el")) {
            List<String> outer = before.subList(0, before.size() - 1);
            return words.startsWith("#endif")
                    ? outer
                    : Stream.concat(outer.stream(), Stream.of(words + " of " + before.get(outer.size())))
                            .toList();
        }
        return before;
    }

    /** The preprocessor's conditions around a token, the outermost first. */
    List<String> conditionsAt(int token) {
        return conditions.floorEntry(tokens.get(token).start).getValue();
    }

    private void add(List<Token> to, int from, int end) {
        Matcher token = TOKEN.matcher(text).region(from, end);
        while (token.find()) {
            if (token.group("comment") == null) {
                Kind kind = token.group("name") != null
                        ? Kind.NAME
                        : token.group("number") != null ? Kind.NUMBER : Kind.MARK;
                boolean spaced = isBlank(token.start() - 1) && isBlank(token.end());
                to.add(new Token(kind, token.group(), token.start(), token.end(), lineAt(token.start()), spaced));
            }
        }
    }

    private boolean isBlank(int at) {
        return at < 0 || at >= text.length() || Character.isWhitespace(text.charAt(at));
    }

    int lineAt(int at) {
        return 1 + (int) text.substring(0, at).chars().filter(c -> c == '\n').count();
    }

    /** The text of a line, from 1 on. */
    String line(int number) {
        return text.split("\n", -1)[number - 1].strip();
    }

    private void matchBrackets() {
        match = new int[tokens.size()];
        Arrays.fill(match, -1);
        Deque<Integer> open = new ArrayDeque<>();
        for (int i = 0; i < match.length; i++) {
            String mark = tokens.get(i).text;
            if ("([{".contains(mark)) {
                open.push(i);
            } else if (")]}".contains(mark)) {
                if (open.isEmpty() || "([{".indexOf(tokens.get(open.peek()).text) != ")]}".indexOf(mark)) {
                    throw new IllegalArgumentException(
                            file + ":" + tokens.get(i).line + ": this closes no bracket: " + mark);
                }
                match[i] = open.pop();
                match[match[i]] = i;
            }
        }
    }

    /** The function's name before its parameters: {@code f}, or {@code GATHER(f)}. */
    private String nameBefore(int parenthesis) {
        Token before = tokens.get(parenthesis - 1);
        return before.is(")") ? text.substring(tokens.get(match[parenthesis - 1] - 1).start, before.end) : before.text;
    }

    int match(int token) {
        return match[token];
    }

    boolean isOpening(int token) {
        return match[token] > token;
    }

    boolean isClosing(int token) {
        return match[token] >= 0 && match[token] < token;
    }

    Token token(int i) {
        return tokens.get(i);
    }

    boolean is(int token, String mark) {
        return token >= 0 && token < tokens.size() && tokens.get(token).is(mark);
    }

    String text(Span span) {
        return span.first == span.last
                ? ""
                : text.substring(tokens.get(span.first).start, tokens.get(span.last - 1).end);
    }

    /** Whether a token of a body is an operator with a value on either side. */
    boolean isBinary(int i, Body body) {
        return tokens.get(i).spaced && i + 1 < body.last;
    }

    /** Whether a bracket belongs to a control statement's head. */
    boolean isHead(int parenthesis) {
        return parenthesis > 0 && CONTROL.contains(tokens.get(parenthesis - 1).text);
    }

    /** The operands of {@code ? :}, of the token that is the question mark, in a body. */
    Span[] branches(int question, Body body) {
        int colon = -1;
        int open = 0;
        int i = question + 1;
        for (; i < body.last; i++) {
            if (isOpening(i)) {
                i = match[i];
            } else if (isClosing(i) || is(i, ";") || is(i, ",") || is(i, BREAK)) {
                break;
            } else if (is(i, "?")) {
                open++;
            } else if (is(i, ":")) {
                if (open == 0 && colon < 0) {
                    colon = i;
                } else if (open == 0) {
                    break;
                } else {
                    open--;
                }
            }
        }
        return new Span[] {new Span(question + 1, colon), new Span(colon + 1, i)};
    }

    /** The condition before a question mark. */
    Span condition(int question, Body body) {
        int i = question - 1;
        for (; i >= body.first; i--) {
            if (isClosing(i)) {
                i = match[i];
            } else if (isOpening(i)
                    || Set.of(";", ",", "?", ":", "=", "return", BREAK).contains(tokens.get(i).text)
                    || tokens.get(i).text.matches("(<<|>>|[-+*/%&|^])=")) {
                break;
            }
        }
        return new Span(i + 1, question);
    }

    /**
     * The whole expression that a token is in, which another may take the place of as a value; null where it must be
     * constant, or where it is no expression that this can find the ends of.
     */
    Span expression(int token, Body body) {
        if (body.isMacro) {
            int inside = body.first;
            for (int i = body.first; i < body.last; i++) {
                inside = isOpening(i) ? Math.max(inside, match[i]) : inside;
                if (Set.of(";", "{", "=", "for", "__local", "_Pragma").contains(tokens.get(i).text)
                        || is(i, ",") && i >= inside) {
                    return null;
                }
            }
            return new Span(body.first, body.last);
        }
        int first = token;
        boolean indexes = false;
        boolean called = false;
        while (first > body.first) {
            int before = first - 1;
            if (isClosing(before) && !is(before, "}")) {
                first = match[before];
                continue;
            }
            if (is(before, "(")) {
                if (isHead(before)) {
                    break;
                }
                called |= is(before - 1, "EACH_OF") || is(before - 1, "__attribute__");
            } else if (is(before, "[")) {
                indexes = true;
            } else if (is(before, ";")
                    || is(before, "{")
                    || is(before, "}")
                    || is(before, BREAK)
                    || is(before, ":") && isLabel(before, body)) {
                break;
            }
            first = before;
        }
        if (called || is(first, "case")) {
            return null;
        }
        int last = isOpening(token) ? match[token] + 1 : token + 1;
        for (; last < body.last; last++) {
            if (isOpening(last) && !is(last, "{")) {
                last = match[last];
            } else if (isClosing(last) && match[last] < first || is(last, ";") || is(last, "{") || is(last, BREAK)) {
                break;
            }
        }
        if (is(last, BREAK)) {
            return null;
        }
        while (Set.of("return", "else", "do").contains(tokens.get(first).text)) {
            first++;
        }
        return within(first, last, token, indexes);
    }

    /** Whether a colon ends a label, and not the first branch of {@code ? :}. */
    boolean isLabel(int colon, Body body) {
        for (int i = colon - 1; i >= body.first; i--) {
            if (is(i, "case") || is(i, "default")) {
                return true;
            }
            if (is(i, "?") || is(i, ";") || is(i, "{")) {
                return false;
            }
        }
        return false;
    }

    /** Of a statement, the part between commas, and of that what is assigned. */
    private Span within(int first, int last, int token, boolean indexes) {
        boolean declares = isDeclaration(first);
        int from = first;
        int to = last;
        int assigned = -1;
        for (int i = first; i < last; i++) {
            if (isOpening(i)) {
                i = match[i];
            } else if (is(i, ",")) {
                if (i > token) {
                    to = i;
                    break;
                }
                from = i + 1;
                assigned = -1;
            } else if (is(i, "=") && assigned < 0) {
                assigned = i;
            }
        }
        if (assigned >= 0 && token > assigned) {
            return new Span(assigned + 1, to);
        }
        return declares || indexes && assigned < 0 && isDeclaration(from) ? null : new Span(from, to);
    }

    private boolean isDeclaration(int first) {
        int i = first;
        while (Set.of("const", "__local", "__global").contains(tokens.get(i).text)) {
            i++;
        }
        if (tokens.get(i).kind != Kind.NAME) {
            return false;
        }
        i++;
        if (is(i, "(")) {
            i = match[i] + 1;
        }
        while (is(i, "*") || is(i, "const")) {
            i++;
        }
        return tokens.get(i).kind == Kind.NAME;
    }
}
