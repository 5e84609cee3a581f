package org.clnorm.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.bench.Tensors.Part;

/**
 * A pass of a normalization.
 *
 * @param fusion what is fused with the normalization
 * @param type of the elements of all its tensors
 */
public record Workload(Norm norm, Direction direction, Shape shape, Layout layout, Fusion fusion, DataType type)
        implements Timed {
    /**
     * The shapes at which batch normalization is timed unless others are asked for; from the file {@code shapes}, which
     * ci/gpu-kit takes too.
     */
    public static final List<Shape> SHAPES = readShapes();

    private static List<Shape> readShapes() {
        try (InputStream file = Workload.class.getResourceAsStream("shapes")) {
            return new String(file.readAllBytes(), StandardCharsets.US_ASCII)
                    .lines()
                    .map(Workload::shapeOf)
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException("The list of shapes cannot be read", e);
        }
    }

    /** Of float32 elements. */
    public Workload(Norm norm, Direction direction, Shape shape, Layout layout, Fusion fusion) {
        this(norm, direction, shape, layout, fusion, DataType.FLOAT32);
    }

    /** Of batch normalization. */
    public Workload(Direction direction, Shape shape, Layout layout, Fusion fusion) {
        this(Norm.BATCH, direction, shape, layout, fusion);
    }

    /** Which pass. */
    public enum Direction {
        /** Training forward: reads x, writes y. */
        FORWARD("forward", 2),
        /** Training backward: reads x and dy, writes dx. */
        BACKWARD("backward", 3),
        /** Evaluation forward: reads x, writes y. */
        INFERENCE("inference", 2);

        private final String label;
        private final int tensors;

        Direction(String label, int tensors) {
            this.label = label;
            this.tensors = tensors;
        }

        @Override
        public String toString() {
            return label;
        }
    }

    /**
     * What is fused.
     *
     * @param kind whether there is a mask, or y takes x's place
     * @param addition whether a residual is added, and when
     * @param activation applied after that
     */
    public record Fusion(Kind kind, Addition addition, Activation activation) {
        /** Whether there is a mask, or y takes x's place. */
        public enum Kind {
            /** Neither. */
            USUAL(""),
            /** A mask says which steps take part; see {@link Padding}. */
            MASKED("masked"),
            /** Training in place: y takes x's place, and backward has x again from it. */
            IN_PLACE("in-place");

            private final String word;

            Kind(String word) {
                this.word = word;
            }
        }

        /** Whether a residual is added, and when. */
        public enum Addition {
            /** None is. */
            NONE(""),
            /** To what was normalized. */
            AFTER("add"),
            /** To x, and the sum is written and normalized; backward, a gradient that came past is added. */
            BEFORE("add-before");

            private final String word;

            Addition(String word) {
                this.word = word;
            }
        }

        /** Nothing. */
        public static final Fusion NONE = new Fusion(Kind.USUAL, Addition.NONE, Activation.NONE);

        /** ReLU. */
        public static final Fusion RELU = new Fusion(Kind.USUAL, Addition.NONE, Activation.RELU);

        /** A residual, then ReLU. */
        public static final Fusion ADD_RELU = new Fusion(Kind.USUAL, Addition.AFTER, Activation.RELU);

        /** Those that are timed unless others are asked for. */
        public static Fusion[] values() {
            return new Fusion[] {NONE, RELU, ADD_RELU};
        }

        /**
         * The one that a person or another build names: none, add, add-before, an activation, or one of the former, a plus
         * sign and an activation; or masked or in-place, or one of these, a plus sign and any of those.
         *
         * @throws IllegalArgumentException when there is no such activation
         */
        public static Fusion named(String name) {
            Kind kind = Kind.USUAL;
            String rest = name;
            for (Kind other : List.of(Kind.MASKED, Kind.IN_PLACE)) {
                if (name.equals(other.word) || name.startsWith(other.word + "+")) {
                    kind = other;
                    rest = name.equals(other.word) ? "none" : name.substring(other.word.length() + 1);
                }
            }
            for (Addition addition : List.of(Addition.AFTER, Addition.BEFORE)) {
                if (rest.equals(addition.word)) {
                    return new Fusion(kind, addition, Activation.NONE);
                }
                if (rest.startsWith(addition.word + "+")) {
                    Activation activation = Activation.named(rest.substring(addition.word.length() + 1));
                    return new Fusion(kind, addition, activation);
                }
            }
            return new Fusion(kind, Addition.NONE, Activation.named(rest));
        }

        /** Whether a mask says which steps take part. */
        public boolean masked() {
            return kind == Kind.MASKED;
        }

        /** Whether y takes x's place in training. */
        public boolean inPlace() {
            return kind == Kind.IN_PLACE;
        }

        /** Whether there is a residual. */
        public boolean adds() {
            return addition != Addition.NONE;
        }

        /** Whether it is added to x. */
        public boolean addsBefore() {
            return addition == Addition.BEFORE;
        }

        @Override
        public String toString() {
            return (kind == Kind.USUAL ? "" : "+" + kind.word)
                    + (adds() ? "+" + addition.word : "")
                    + (activation.equals(Activation.NONE) ? "" : "+" + activation);
        }
    }

    @Override
    public Map<String, String> words() {
        Map<String, String> words = new LinkedHashMap<>();
        words.put("norm", norm.toString());
        words.put("direction", direction.toString());
        words.put(
                "shape", Arrays.stream(shape.toArray()).mapToObj(Long::toString).collect(Collectors.joining(",")));
        words.put("layout", layout.toString());
        words.put("fusion", fusion.toString());
        words.put("type", type.toString());
        return words;
    }

    @Override
    public Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("norm", norm.toString());
        fields.put("shape", shape.toArray());
        fields.put("layout", layout.toString());
        fields.put("type", type.toString());
        fields.put("pass", operation());
        return fields;
    }

    @Override
    public Row row() {
        return new Row(norm.toString(), shape.toString(), layout.toString(), type.toString(), operation());
    }

    @Override
    public List<String> rowWords() {
        return List.of(norm.toString(), words().get("shape"), layout.toString(), operation());
    }

    static Workload of(Map<String, String> words) {
        return new Workload(
                meaning(words, "norm", Norm.values()),
                meaning(words, "direction", Direction.values()),
                shapeOf(words.get("shape")),
                meaning(words, "layout", Layout.values()),
                fusionOf(words.get("fusion")),
                meaning(words, "type", DataType.values()));
    }

    private static Fusion fusionOf(String word) {
        try {
            return word.isEmpty() ? Fusion.NONE : Fusion.named(word.substring(1));
        } catch (IllegalArgumentException e) {
            throw new UnsupportedOperationException("it has no fusion '" + word + "'", e);
        }
    }

    private static <T> T meaning(Map<String, String> words, String what, T[] values) {
        String word = words.get(what);
        return Arrays.stream(values)
                .filter(value -> value.toString().equals(word))
                .findFirst()
                .orElseThrow(() -> new UnsupportedOperationException("it has no " + what + " '" + word + "'"));
    }

    private static Shape shapeOf(String text) {
        return Shape.of(
                Arrays.stream(text.split(",")).mapToLong(Long::parseLong).toArray());
    }

    boolean hasResidual() {
        return fusion.adds();
    }

    @Override
    public long elements() {
        return shape.elements();
    }

    /** Each input read once, each output written once; not γ, β. With a mask too: as if all steps took part. */
    @Override
    public long minimalBytes() {
        boolean two = fusion.addsBefore() != (direction == Direction.BACKWARD);
        int more = !hasResidual() ? 0 : two ? 2 : 1;
        return (direction.tensors + more) * tensorBytes();
    }

    /** The bytes of one tensor. */
    private long tensorBytes() {
        return shape.elements() * type.bytes();
    }

    /** As many bytes as a tensor has, the last element perhaps in part. */
    @Override
    public long copied() {
        return (tensorBytes() + Float.BYTES - 1) / Float.BYTES;
    }

    /** A copy moves whole float32 elements. */
    @Override
    public long room() {
        return copied() * Float.BYTES / type.bytes();
    }

    @Override
    public List<Part> written() {
        return direction == Direction.BACKWARD ? List.of(Part.DX, Part.DGAMMA, Part.DBETA) : List.of(Part.Y);
    }

    @Override
    public Tensors tensors(int sets, TimedOperands from) {
        return Tensors.of(this, sets, from);
    }

    @Override
    public Calls calls(Backend backend, Tensors tensors) {
        return new PassCalls(backend, this, tensors);
    }

    /** Pass, fusion. */
    public String operation() {
        return direction + fusion.toString();
    }
}
