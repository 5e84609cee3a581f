package org.clnorm.check;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.clnorm.DataType;
import org.clnorm.Layout;

/**
 * What a kernel computes and how it is called, as a binding file says it; see docs/check.md.
 *
 * @param operation which normalization
 * @param direction which pass
 * @param layout how channels lie; without meaning for rows
 * @param type how x, y, dy and dx are stored; all else is float32
 * @param epsilon added to the variance
 * @param groups how many groups of channels a sample has, over C; only of group normalization
 * @param momentum the new batch's weight in running statistics
 * @param unbiased whether the running variance takes Σ(x − mean)²/(m − 1)
 * @param options of the compiler, with expressions in braces
 * @param constants names that the binding gives to numbers
 * @param scratch buffers of float32 between launches, by name, and how many elements they have
 * @param shapes what it is checked on; empty for the shapes that all are checked on
 * @param multiples by the name of a dimension, what that must be a multiple of
 * @param launches one after another
 */
public record Binding(
        Operation operation,
        Direction direction,
        Layout layout,
        DataType type,
        double epsilon,
        Expression groups,
        double momentum,
        boolean unbiased,
        String options,
        Map<String, Double> constants,
        Map<String, Expression> scratch,
        List<Dimensions> shapes,
        Map<String, Integer> multiples,
        List<Launch> launches) {

    /** Which normalization. */
    public enum Operation {
        /** Over the batch and space, by channel. */
        BATCH_NORM,
        /** Over rows. */
        LAYER_NORM,
        /** Over rows, without a mean. */
        RMS_NORM,
        /** Over groups of channels of a sample. */
        GROUP_NORM,
        /** Over each channel of a sample. */
        INSTANCE_NORM;

        /** Whether its tensors are rows. */
        public boolean isOfRows() {
            return this == LAYER_NORM || this == RMS_NORM;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    /** Which pass. */
    public enum Direction {
        /** Training forward: statistics of x. */
        FORWARD,
        /** Forward with given statistics. */
        INFERENCE,
        /** The gradients of a training forward pass. */
        BACKWARD;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** What an argument of a kernel is. */
    public sealed interface Argument {
        /** An array. */
        record Array(Part part) implements Argument {}

        /** A scratch buffer. */
        record Scratch(String name) implements Argument {}

        /** No array, where a kernel can do without one. */
        record Null() implements Argument {}

        /** Local memory of so many bytes. */
        record Local(Expression bytes) implements Argument {}

        /** A number, as a C type. */
        record Scalar(Kind kind, Expression value) implements Argument {}

        /** C's types of numbers. */
        enum Kind {
            /** 32 bits, signed or not. */
            INT,
            /** 64 bits, signed or not. */
            LONG,
            /** float32. */
            FLOAT
        }
    }

    /**
     * A kernel's call.
     *
     * @param kernel its name
     * @param arguments in its order
     * @param global work-items, by dimension
     * @param local work-items of a group, by dimension; empty to leave it to the driver
     */
    public record Launch(String kernel, List<Argument> arguments, List<Expression> global, List<Expression> local) {}

    /**
     * Reads a binding file.
     *
     * @throws IOException when it cannot be read
     * @throws IllegalArgumentException when it is no binding; the message names the file, the line and the key
     */
    public static Binding read(Path file) throws IOException {
        try {
            return parse(Files.readString(file));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
        }
    }

    /**
     * The same of a file's text.
     *
     * @throws IllegalArgumentException when it is no binding; the message names the line and the key
     */
    public static Binding parse(String text) {
        return new BindingReader(text).binding();
    }

    /** The arrays that its kernels take. */
    public Set<Part> parts() {
        Set<Part> parts = new TreeSet<>();
        for (Launch launch : launches) {
            for (Argument argument : launch.arguments) {
                if (argument instanceof Argument.Array array) {
                    parts.add(array.part);
                }
            }
        }
        return parts;
    }

    /** Whether the kernels take it. */
    boolean has(Part part) {
        return parts().contains(part);
    }

    /** What it is, in a few words. */
    @Override
    public String toString() {
        StringBuilder words = new StringBuilder(
                operation + " " + direction + (operation.isOfRows() ? "" : " " + layout) + " " + type);
        multiples.forEach((name, multiple) -> words.append(", " + name + " a multiple of " + multiple));
        return words.toString();
    }
}
