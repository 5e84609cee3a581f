package org.clnorm.check;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * An arithmetic expression over named numbers, such as {@code roundup(ceildiv(S, 4), WG) * C}.
 *
 * <p>It has numbers, names, {@code + - * / %}, parentheses, and {@code min(a, b)}, {@code max(a, b)}, {@code ceildiv(a,
 * b)}, the least whole number that is a/b or more, and {@code roundup(a, b)}, the least multiple of b that is a or more.
 * Of whole numbers {@code /} leaves out the remainder, as in C; whether a value is to be whole is said by who asks.
 */
public final class Expression {
    /** What is nested in parentheses takes stack. */
    private static final int LONGEST = 500;

    private static final Set<String> FUNCTIONS = new TreeSet<>(Set.of("min", "max", "ceildiv", "roundup"));

    /** A part of the tree. */
    private interface Node {
        double value(Map<String, Double> names, boolean whole);
    }

    private final String text;
    private final Node root;
    private final Set<String> names = new TreeSet<>();

    private Expression(String text) {
        this.text = text;
        this.root = new Parser().all();
    }

    /**
     * Reads an expression.
     *
     * @throws IllegalArgumentException when it is none; the message says what was met where
     */
    public static Expression of(String text) {
        if (text.length() > LONGEST) {
            throw new IllegalArgumentException(
                    "'" + text.substring(0, 40) + "...' is longer than " + LONGEST + " characters");
        }
        return new Expression(text.strip());
    }

    /** The names in it. */
    public Set<String> names() {
        return names;
    }

    /**
     * Its value as a whole number.
     *
     * @param names all of {@link #names()}
     * @throws IllegalArgumentException for a division by 0 or a value that is not whole; the message has the expression
     */
    public long whole(Map<String, Double> names) {
        double value = value(names, true);
        if (value != Math.rint(value) || Math.abs(value) > 0x1p53) {
            throw new IllegalArgumentException("'" + text + "' is to be a whole number, but is " + value);
        }
        return (long) value;
    }

    /**
     * Its value as a real number.
     *
     * @param names all of {@link #names()}
     * @throws IllegalArgumentException for a division by 0; the message has the expression
     */
    public double real(Map<String, Double> names) {
        return value(names, false);
    }

    private double value(Map<String, Double> names, boolean whole) {
        double value = root.value(names, whole);
        if (!Double.isFinite(value)) {
            throw new IllegalArgumentException("'" + text + "' has no value with " + names);
        }
        return value;
    }

    @Override
    public String toString() {
        return text;
    }

    private static double quotient(double a, double b, boolean whole) {
        double quotient = a / b;
        return !whole ? quotient : quotient < 0 ? Math.ceil(quotient) : Math.floor(quotient);
    }

    /** One method for each level of precedence. */
    private final class Parser {
        private int at;

        Node all() {
            Node sum = sum();
            if (at < text.length()) {
                throw unexpected("an operator");
            }
            return sum;
        }

        private Node sum() {
            Node left = product();
            while (true) {
                Node a = left;
                if (skip('+')) {
                    Node b = product();
                    left = (names, whole) -> a.value(names, whole) + b.value(names, whole);
                } else if (skip('-')) {
                    Node b = product();
                    left = (names, whole) -> a.value(names, whole) - b.value(names, whole);
                } else {
                    return left;
                }
            }
        }

        private Node product() {
            Node left = factor();
            while (true) {
                Node a = left;
                if (skip('*')) {
                    Node b = factor();
                    left = (names, whole) -> a.value(names, whole) * b.value(names, whole);
                } else if (skip('/')) {
                    Node b = factor();
                    left = (names, whole) -> quotient(a.value(names, whole), b.value(names, whole), whole);
                } else if (skip('%')) {
                    Node b = factor();
                    left = (names, whole) -> a.value(names, whole) % b.value(names, whole);
                } else {
                    return left;
                }
            }
        }

        private Node factor() {
            if (skip('-')) {
                Node negated = factor();
                return (names, whole) -> -negated.value(names, whole);
            }
            if (skip('(')) {
                Node inner = sum();
                require(')');
                return inner;
            }
            char next = at < text.length() ? text.charAt(at) : ' ';
            if (Character.isDigit(next) || next == '.') {
                return number();
            }
            if (Character.isJavaIdentifierStart(next)) {
                String name = word();
                return skip('(') ? call(name) : named(name);
            }
            throw unexpected("a number, a name or (");
        }

        private Node number() {
            int from = at;
            while (at < text.length() && isOfNumber(from)) {
                at++;
            }
            String digits = text.substring(from, at);
            double number;
            try {
                number = Double.parseDouble(digits);
            } catch (NumberFormatException e) {
                throw new IllegalArgumentException("'" + digits + "' in '" + text + "' is no number", e);
            }
            skip(' ');
            return (names, whole) -> number;
        }

        private boolean isOfNumber(int from) {
            char c = text.charAt(at);
            boolean sign = (c == '-' || c == '+') && at > from && "eE".indexOf(text.charAt(at - 1)) >= 0;
            return Character.isDigit(c) || c == '.' || c == 'e' || c == 'E' || sign;
        }

        private String word() {
            int from = at;
            while (at < text.length() && Character.isJavaIdentifierPart(text.charAt(at))) {
                at++;
            }
            String word = text.substring(from, at);
            skip(' ');
            return word;
        }

        private Node named(String name) {
            Expression.this.names.add(name);
            return (names, whole) -> {
                Double value = names.get(name);
                if (value == null) {
                    throw new IllegalArgumentException("'" + text + "' has " + name + ", which has no value");
                }
                return value;
            };
        }

        private Node call(String function) {
            if (!FUNCTIONS.contains(function)) {
                throw new IllegalArgumentException(
                        "'" + text + "' calls " + function + ", but the functions are " + FUNCTIONS);
            }
            List<Node> arguments = new ArrayList<>(List.of(sum()));
            require(',');
            arguments.add(sum());
            require(')');
            Node first = arguments.get(0);
            Node second = arguments.get(1);
            return (names, whole) -> {
                double a = first.value(names, whole);
                double b = second.value(names, whole);
                return switch (function) {
                    case "min" -> Math.min(a, b);
                    case "max" -> Math.max(a, b);
                    case "ceildiv" -> Math.ceil(a / b);
                    default -> Math.ceil(a / b) * b;
                };
            };
        }

        private void require(char wanted) {
            if (!skip(wanted)) {
                throw unexpected("'" + wanted + "'");
            }
        }

        /** Whether the next character is that one, which is then behind, as are spaces around it. */
        private boolean skip(char wanted) {
            spaces();
            if (at < text.length() && text.charAt(at) == wanted) {
                at++;
                spaces();
                return true;
            }
            return false;
        }

        private void spaces() {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
                at++;
            }
        }

        private IllegalArgumentException unexpected(String wanted) {
            String met = at < text.length() ? "'" + text.charAt(at) + "' at character " + (at + 1) : "the end";
            return new IllegalArgumentException("'" + text + "': expected was " + wanted + ", but there is " + met);
        }
    }
}
