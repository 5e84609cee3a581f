package org.clnorm.check;

import java.io.IOException;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;
import org.clnorm.cases.Nearest;
import org.clnorm.check.Binding.Argument;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Launch;
import org.clnorm.check.Binding.Operation;

/** Makes a binding of a file's text, which is in the format of {@link Properties}. */
final class BindingReader {
    private static final Set<String> KEYS = Set.of(
            "operation",
            "direction",
            "layout",
            "type",
            "epsilon",
            "groups",
            "momentum",
            "running",
            "options",
            "shapes");
    private static final Set<String> OF_LAUNCH = Set.of("kernel", "args", "global", "local");
    private static final Pattern LAUNCH = Pattern.compile("(?:launch\\.(\\d{1,3})\\.)?(.*)");
    static final Pattern BRACES = Pattern.compile("\\{([^}]*)}");
    private static final int MOST_ELEMENTS = 1 << 26;
    private static final int LARGEST_MULTIPLE = 1024;
    private static final String EPSILON = "epsilon";
    private static final String NULL = "null";
    private static final String MULTIPLE = "multiple.";

    private final String text;
    private final Map<String, String> entries = new TreeMap<>();
    private final Map<String, Double> constants = new TreeMap<>();
    private final Set<String> names = new TreeSet<>(Dimensions.NAMES);

    BindingReader(String text) {
        this.text = text;
        Properties properties = new Properties() {
            @Override
            public synchronized Object put(Object key, Object value) {
                if (entries.put((String) key, ((String) value).strip()) != null) {
                    throw wrong((String) key, "is there twice");
                }
                return null;
            }
        };
        try {
            properties.load(new StringReader(text));
        } catch (IOException e) {
            throw new UncheckedIOException(e); // a string can be read
        }
    }

    Binding binding() {
        Map<String, Expression> scratch = new LinkedHashMap<>();
        for (String key : entries.keySet()) {
            if (key.startsWith("constant.")) {
                constants.put(nameIn(key), at(key, value -> Expression.of(value).real(constants)));
            }
        }
        names.addAll(constants.keySet());
        for (String key : entries.keySet()) {
            if (key.startsWith("scratch.")) {
                scratch.put(nameIn(key), expression(key, entries.get(key)));
            } else if (!key.startsWith("constant.") && !key.startsWith(MULTIPLE)) {
                checkKey(key);
            }
        }
        Operation operation = choice("operation", Operation.values(), null);
        Direction direction = choice("direction", Direction.values(), Direction.FORWARD);
        if (direction == Direction.INFERENCE && operation != Operation.BATCH_NORM) {
            throw wrong(
                    "direction",
                    "can be inference for batch-norm only, since " + operation + " has no statistics but those of x");
        }
        if ((operation == Operation.GROUP_NORM) != entries.containsKey("groups")) {
            throw wrong("groups", "is needed for group-norm, as in groups = 4, and is for nothing else");
        }
        String options = entries.getOrDefault("options", "");
        for (Matcher braces = BRACES.matcher(options); braces.find(); ) {
            expression("options", braces.group(1));
        }
        Binding binding = new Binding(
                operation,
                direction,
                choice("layout", Layout.values(), Layout.CHANNELS_FIRST),
                choice("type", DataType.values(), DataType.FLOAT32),
                number(EPSILON, 1e-5),
                entries.containsKey("groups") ? expression("groups", entries.get("groups")) : null,
                number("momentum", 0.1),
                choice("running", RunningVariance.values(), RunningVariance.UNBIASED) == RunningVariance.UNBIASED,
                options,
                Map.copyOf(constants),
                scratch,
                shapes(operation),
                multiples(operation),
                launches(direction, scratch.keySet()));
        checkParts(binding);
        return binding;
    }

    private void checkKey(String key) {
        Matcher parts = LAUNCH.matcher(key);
        boolean launch = parts.matches() && OF_LAUNCH.contains(parts.group(2));
        if (!launch && !KEYS.contains(key)) {
            Set<String> known = new TreeSet<>(KEYS);
            known.addAll(OF_LAUNCH);
            String plain = parts.matches() ? parts.group(2) : key;
            throw wrong(
                    key,
                    "is not known" + Nearest.question(plain, known) + " Known are " + known
                            + ", constant.NAME, scratch.NAME, multiple.D and launch.1.kernel to launch.9.local");
        }
    }

    private String nameIn(String key) {
        String name = key.substring(key.indexOf('.') + 1);
        if (!name.matches("[A-Za-z_][A-Za-z_0-9]*") || Dimensions.NAMES.contains(name) || isTaken(name)) {
            throw wrong(key, "must have a name of letters and digits that is not taken, but has '" + name + "'");
        }
        return name;
    }

    private static boolean isTaken(String name) {
        return name.equals(EPSILON)
                || name.equals(NULL)
                || Arrays.stream(Part.values()).anyMatch(p -> p.toString().equals(name));
    }

    private List<Launch> launches(Direction direction, Set<String> scratch) {
        Set<String> prefixes = new TreeSet<>((a, b) -> Integer.compare(number(a), number(b)));
        for (String key : entries.keySet()) {
            Matcher parts = LAUNCH.matcher(key);
            if (parts.matches() && OF_LAUNCH.contains(parts.group(2))) {
                prefixes.add(key.substring(0, parts.start(2)));
            }
        }
        if (prefixes.size() > 1 && prefixes.contains("")) {
            throw wrong(entries.containsKey("kernel") ? "kernel" : "args", "and launch.1.kernel exclude each other");
        }
        if (prefixes.isEmpty()) {
            throw new IllegalArgumentException("the key kernel is missing, which names the kernel");
        }
        List<Launch> launches = new ArrayList<>();
        for (String prefix : prefixes) {
            List<Argument> arguments = new ArrayList<>();
            for (String argument : list(required(prefix + "args"))) {
                arguments.add(at(prefix + "args", value -> argument(argument, direction, scratch)));
            }
            List<Expression> global = expressions(prefix + "global", required(prefix + "global"));
            List<Expression> local = expressions(prefix + "local", entries.getOrDefault(prefix + "local", ""));
            if (global.size() > 3 || !local.isEmpty() && local.size() != global.size()) {
                throw wrong(prefix + "global", "and local must have as many dimensions as each other, and at most 3");
            }
            launches.add(new Launch(required(prefix + "kernel"), arguments, global, local));
        }
        return launches;
    }

    private static int number(String prefix) {
        return prefix.isEmpty() ? 0 : Integer.parseInt(prefix.replaceAll("\\D", ""));
    }

    private Argument argument(String word, Direction direction, Set<String> scratch) {
        for (Part part : Part.values()) {
            if (part.toString().equals(word)) {
                if (!part.isOf(direction)) {
                    throw new IllegalArgumentException("has " + word + ", which no " + direction + " pass has");
                }
                return new Argument.Array(part);
            }
        }
        if (scratch.contains(word)) {
            return new Argument.Scratch(word);
        }
        if (word.equals(NULL)) {
            return new Argument.Null();
        }
        if (word.equals(EPSILON)) {
            return new Argument.Scalar(Argument.Kind.FLOAT, parsed(EPSILON, true));
        }
        if (names.contains(word)) {
            return new Argument.Scalar(Argument.Kind.INT, parsed(word, false));
        }
        int colon = word.indexOf(':');
        String kind = colon < 0 ? "" : word.substring(0, colon).strip();
        String value = word.substring(colon + 1);
        return switch (kind) {
            case "local" -> new Argument.Local(parsed(value, false));
            case "int", "uint" -> new Argument.Scalar(Argument.Kind.INT, parsed(value, false));
            case "long", "ulong" -> new Argument.Scalar(Argument.Kind.LONG, parsed(value, false));
            case "float" -> new Argument.Scalar(Argument.Kind.FLOAT, parsed(value, true));
            default -> {
                Set<String> known = new TreeSet<>(names);
                known.addAll(scratch);
                known.add(EPSILON);
                known.add(NULL);
                Arrays.stream(Part.values()).filter(p -> p.isOf(direction)).forEach(p -> known.add(p.toString()));
                throw new IllegalArgumentException("has the argument '" + word + "', which is not known"
                        + Nearest.question(word, known) + " Known are " + known
                        + ", and int:, long:, float: and local: with an expression");
            }
        };
    }

    private List<Dimensions> shapes(Operation operation) {
        List<Dimensions> shapes = new ArrayList<>();
        for (String shape : entries.getOrDefault("shapes", "").split(";")) {
            if (shape.isBlank()) {
                continue;
            }
            String[] sizes = shape.split(",");
            int wanted = operation.isOfRows() ? 2 : 3;
            boolean whole = Arrays.stream(sizes).allMatch(size -> size.strip().matches("[1-9]\\d{0,8}"));
            if (sizes.length != wanted || !whole) {
                throw wrong(
                        "shapes",
                        "has '" + shape.strip() + "', but a shape of " + operation + " is " + wanted
                                + " whole numbers, " + (wanted == 2 ? "rows and their length" : "N, C and S"));
            }
            int[] numbers = Arrays.stream(sizes)
                    .mapToInt(size -> Integer.parseInt(size.strip()))
                    .toArray();
            double elements = Arrays.stream(numbers).asDoubleStream().reduce(1, (a, b) -> a * b);
            if (elements > MOST_ELEMENTS) {
                throw wrong("shapes", "has '" + shape.strip() + "', which is more than " + MOST_ELEMENTS + " elements");
            }
            shapes.add(wanted == 2 ? Dimensions.ofRows(numbers[0], numbers[1]) : Dimensions.ofChannels(numbers, 1));
        }
        return shapes;
    }

    /** What dimensions must be multiples of, by the letters that the operation has for them. */
    private Map<String, Integer> multiples(Operation operation) {
        Set<String> dimensions = operation.isOfRows() ? Set.of("R", "D") : Set.of("N", "C", "S");
        Map<String, Integer> multiples = new TreeMap<>();
        for (String key : entries.keySet()) {
            if (!key.startsWith(MULTIPLE)) {
                continue;
            }
            String dimension = key.substring(MULTIPLE.length());
            if (!dimensions.contains(dimension)) {
                throw wrong(key, "must name a dimension, which of " + operation + " are " + new TreeSet<>(dimensions));
            }
            if (entries.containsKey("shapes")) {
                throw wrong(key, "and shapes exclude each other, which says what all dimensions are");
            }
            long multiple = at(key, value -> Expression.of(value).whole(constants));
            if (multiple < 1 || multiple > LARGEST_MULTIPLE) {
                throw wrong(key, "must be from 1 to " + LARGEST_MULTIPLE + ", but is " + multiple);
            }
            multiples.put(dimension, (int) multiple);
        }
        return multiples;
    }

    private void checkParts(Binding binding) {
        Set<Part> parts = binding.parts();
        Set<Part> wanted = new TreeSet<>(binding.direction() == Direction.BACKWARD ? Set.of() : Set.of(Part.X, Part.Y));
        if (binding.direction() == Direction.INFERENCE) {
            wanted.add(Part.MEAN);
        }
        wanted.removeAll(parts);
        boolean nothing = parts.stream().noneMatch(part -> part.isWritten(binding.direction()));
        if (!wanted.isEmpty() || nothing) {
            throw new IllegalArgumentException("no argument is "
                    + (nothing ? "an array that is written, such as " + (wanted.isEmpty() ? "dx" : "y") : wanted)
                    + ", which a " + binding.direction() + " pass must have");
        }
        boolean running = parts.contains(Part.RUNNING_MEAN) || parts.contains(Part.RUNNING_VARIANCE);
        if (running && binding.operation() != Operation.BATCH_NORM) {
            throw new IllegalArgumentException(
                    "running statistics are batch-norm's, not " + binding.operation() + "'s");
        }
        if (binding.operation() == Operation.RMS_NORM && parts.contains(Part.MEAN)) {
            throw new IllegalArgumentException("rms-norm has no mean that could be an argument");
        }
    }

    private Expression parsed(String value, boolean epsilonToo) {
        Expression expression = Expression.of(value);
        for (String name : expression.names()) {
            if (!names.contains(name) && !(epsilonToo && (name.equals(EPSILON) || name.equals("momentum")))) {
                throw new IllegalArgumentException("has " + name + " in '" + value.strip() + "', which is not known"
                        + Nearest.question(name, names) + " Known are " + names);
            }
        }
        return expression;
    }

    private Expression expression(String key, String value) {
        return at(key, ignored -> parsed(value, false));
    }

    private List<Expression> expressions(String key, String value) {
        return list(value).stream().map(one -> expression(key, one)).toList();
    }

    /** Parted at commas that are not in parentheses. */
    private static List<String> list(String value) {
        List<String> parts = new ArrayList<>();
        int depth = 0;
        int from = 0;
        for (int i = 0; i <= value.length(); i++) {
            char c = i < value.length() ? value.charAt(i) : ',';
            depth += c == '(' ? 1 : c == ')' ? -1 : 0;
            if (c == ',' && (depth == 0 || i == value.length())) {
                if (!value.isBlank()) {
                    parts.add(value.substring(from, i).strip());
                }
                from = i + 1;
            }
        }
        return parts;
    }

    private double number(String key, double otherwise) {
        if (!entries.containsKey(key)) {
            return otherwise;
        }
        double number = at(key, value -> Expression.of(value).real(constants));
        if (!(number >= 0 && number <= 1)) {
            throw wrong(key, "must be from 0 to 1, but is " + number);
        }
        return number;
    }

    /** @param otherwise null where one is needed */
    private <T> T choice(String key, T[] choices, T otherwise) {
        if (otherwise != null && !entries.containsKey(key)) {
            return otherwise;
        }
        String word = required(key).toLowerCase(Locale.ROOT);
        Collection<String> known = Arrays.stream(choices).map(Object::toString).toList();
        return Arrays.stream(choices)
                .filter(choice -> choice.toString().equals(word))
                .findFirst()
                .orElseThrow(
                        () -> wrong(key, "is '" + word + "'" + Nearest.question(word, known) + " Known are " + known));
    }

    private String required(String key) {
        String value = entries.get(key);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException("the key " + key + " is missing or empty");
        }
        return value;
    }

    private <T> T at(String key, Function<String, T> reader) {
        try {
            return reader.apply(entries.get(key));
        } catch (IllegalArgumentException e) {
            throw wrong(key, e.getMessage());
        }
    }

    private IllegalArgumentException wrong(String key, String what) {
        Matcher line = Pattern.compile("(?m)^[ \\t\\f]*" + Pattern.quote(key) + "(?=[ \\t\\f]*[=:\\s]|$)")
                .matcher(text);
        String where = "";
        if (line.find()) {
            where = "line " + (1 + text.substring(0, line.start()).lines().count()) + ": ";
        }
        return new IllegalArgumentException(where + "the key " + key + " " + what);
    }
}
