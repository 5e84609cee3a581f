package org.clnorm.state;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the header of a {@code .npy} array says: a Python dictionary literal of exactly three keys.
 *
 * @param bigEndian whether the most significant byte of an element comes first
 * @param fortranOrder whether the first dimension is the fastest
 */
record NpyHeader(NpyArray.ElementType type, boolean bigEndian, boolean fortranOrder, long[] shape) {
    private static final Set<String> KEYS = Set.of("descr", "fortran_order", "shape");
    /** NumPy's limit. */
    private static final int MAX_RANK = 64;

    /** Text of printable characters in quotes, a bracket or separator, a word or number. */
    private static final Pattern TOKEN =
            Pattern.compile("\\s*+('[ -~&&[^']]*+'|\"[ -~&&[^\"]]*+\"|[{}()\\[\\]:,]|\\w++)\\s*+");

    static NpyHeader parse(String text) throws IOException {
        Deque<String> tokens = tokens(text);
        Map<String, Object> entries = new HashMap<>();
        expect(tokens, "{");
        while (!"}".equals(tokens.peek())) {
            String key = quoted(tokens);
            expect(tokens, ":");
            if (entries.put(key, value(tokens)) != null) {
                throw malformed("'" + key + "' twice");
            }
            if (!"}".equals(tokens.peek())) {
                expect(tokens, ",");
            }
        }
        expect(tokens, "}");
        if (!tokens.isEmpty()) {
            throw malformed("something after its end: " + tokens.peek());
        }
        if (!entries.keySet().equals(KEYS)) {
            throw malformed("the keys " + entries.keySet().stream().sorted().toList());
        }
        return of(entries.get("descr"), entries.get("fortran_order"), entries.get("shape"));
    }

    private static NpyHeader of(Object descr, Object fortranOrder, Object shape) throws IOException {
        if (!(fortranOrder instanceof Boolean fortran)) {
            throw malformed("the fortran_order " + fortranOrder);
        }
        if (!(shape instanceof List<?> list) || list.size() > MAX_RANK) {
            throw malformed("a shape that is not a tuple of at most " + MAX_RANK + " numbers");
        }
        if (!(descr instanceof String code) || !code.matches("[<>|].+")) {
            throw malformed("the descr " + descr);
        }
        NpyArray.ElementType type = NpyArray.ElementType.of(code.substring(1));
        boolean orderMissing = code.startsWith("|") && type != NpyArray.ElementType.UINT8;
        if (type == null || orderMissing) {
            throw new IOException("has the element type '" + code + "', but supported are "
                    + Arrays.toString(NpyArray.ElementType.values()));
        }
        return new NpyHeader(
                type,
                code.startsWith(">"),
                fortran,
                list.stream().mapToLong(Long.class::cast).toArray());
    }

    private static Deque<String> tokens(String text) throws IOException {
        Deque<String> tokens = new ArrayDeque<>();
        Matcher matcher = TOKEN.matcher(text);
        int end = 0;
        while (end < text.length()) {
            if (!matcher.region(end, text.length()).lookingAt()) {
                throw malformed("something unreadable at character " + end);
            }
            tokens.add(matcher.group(1));
            end = matcher.end();
        }
        return tokens;
    }

    private static Object value(Deque<String> tokens) throws IOException {
        String token = tokens.peek();
        if ("(".equals(token)) {
            return tuple(tokens);
        }
        if ("True".equals(token) || "False".equals(token)) {
            return Boolean.parseBoolean(tokens.remove());
        }
        if ("[".equals(token)) {
            throw new IOException(
                    "has elements with fields, but supported are " + Arrays.toString(NpyArray.ElementType.values()));
        }
        return quoted(tokens);
    }

    private static List<Long> tuple(Deque<String> tokens) throws IOException {
        List<Long> numbers = new ArrayList<>();
        boolean comma = false;
        expect(tokens, "(");
        while (!")".equals(tokens.peek())) {
            numbers.add(number(tokens));
            comma = ",".equals(tokens.peek());
            if (!")".equals(tokens.peek())) {
                expect(tokens, ",");
            }
        }
        expect(tokens, ")");
        if (numbers.size() == 1 && !comma) {
            throw malformed("(" + numbers.get(0) + "), which is a number in brackets, where (" + numbers.get(0)
                    + ",) would be a shape");
        }
        return numbers;
    }

    private static long number(Deque<String> tokens) throws IOException {
        String token = tokens.peek();
        // Python 2 wrote an L after long integers. Neither writes zeros before a number, which once meant octal.
        if (token == null || !token.matches("(0|[1-9][0-9]*)L?")) {
            throw malformed("the dimension " + token);
        }
        tokens.remove();
        try {
            return Long.parseLong(token.replace("L", ""));
        } catch (NumberFormatException e) {
            throw malformed("the dimension " + token);
        }
    }

    private static String quoted(Deque<String> tokens) throws IOException {
        String token = tokens.peek();
        if (token == null || !(token.startsWith("'") || token.startsWith("\""))) {
            throw malformed(token + " where a text was expected");
        }
        tokens.remove();
        return token.substring(1, token.length() - 1);
    }

    private static void expect(Deque<String> tokens, String wanted) throws IOException {
        if (!wanted.equals(tokens.peek())) {
            throw malformed(tokens.peek() + " where " + wanted + " was expected");
        }
        tokens.remove();
    }

    private static IOException malformed(String what) {
        return new IOException(
                "has a header that is not a dictionary of descr, fortran_order and shape: it has " + what);
    }

    /** Whether its elements lie in another order than C's, so that they are needed in both at once. */
    boolean isReordered() {
        return fortranOrder && Arrays.stream(shape).filter(d -> d > 1).count() > 1;
    }

    /** Elements in the file's order into C order; the order of their bytes stays. */
    void reorder(byte[] content, ByteBuffer to) {
        int size = type.bytes();
        long[] index = new long[shape.length];
        for (int element = 0; element < content.length / size; element++) {
            to.put(content, fortranPosition(index) * size, size);
            increment(index);
        }
    }

    /** Makes the bytes of each element, from the buffer's start to its limit, little-endian. */
    void toLittleEndian(ByteBuffer content) {
        int size = type.bytes();
        if (!bigEndian || size == 1) {
            return;
        }
        ByteBuffer to = content.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer from = content.duplicate().order(ByteOrder.BIG_ENDIAN);
        for (int at = 0; at < content.limit(); at += size) {
            switch (size) {
                case Short.BYTES -> to.putShort(at, from.getShort(at));
                case Integer.BYTES -> to.putInt(at, from.getInt(at));
                default -> to.putLong(at, from.getLong(at));
            }
        }
    }

    private int fortranPosition(long[] index) {
        long position = 0;
        for (int d = shape.length - 1; d >= 0; d--) {
            position = position * shape[d] + index[d];
        }
        return (int) position;
    }

    private void increment(long[] index) {
        for (int d = shape.length - 1; d >= 0; d--) {
            if (++index[d] < shape[d]) {
                return;
            }
            index[d] = 0;
        }
    }

    @Override
    public String toString() {
        return type + " " + NpyArray.tuple(shape);
    }
}
