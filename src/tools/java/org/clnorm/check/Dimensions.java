package org.clnorm.check;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.Shape;

/**
 * How large a tensor is.
 *
 * @param samples N; of rows how many there are
 * @param channels C; of rows how long they are
 * @param spatial S, positions of a sample; of rows 1
 * @param groups of the channels of a sample, for group normalization; 1 for others
 */
public record Dimensions(int samples, int channels, int spatial, int groups) {
    /** The names that expressions can have, in the order in which they are documented. */
    static final List<String> NAMES = List.of("N", "C", "S", "HW", "R", "D", "G", "M", "E");

    /** The shapes of channels that all kernels are checked on, small ones first. */
    private static final int[][] CHANNELS = {
        {1, 1, 1},
        {2, 3, 1},
        {3, 2, 5},
        {2, 5, 7},
        {3, 6, 37},
        {5, 12, 13},
        {2, 4, 300},
        {1, 3, 1031},
        {130, 10, 3},
        {7, 33, 49},
        {6, 64, 196},
        {8, 40, 3136}
    };

    /** The shapes of rows that all kernels are checked on, small ones first. */
    private static final int[][] ROWS = {
        {1, 1},
        {1, 2},
        {3, 5},
        {7, 37},
        {2, 64},
        {5, 257},
        {4, 300},
        {300, 3},
        {3, 1031},
        {65, 1000},
        {9, 4099},
        {1024, 1024}
    };

    /** For channels. */
    static Dimensions ofChannels(int[] sizes, int groups) {
        return new Dimensions(sizes[0], sizes[1], sizes[2], groups);
    }

    /** For rows. */
    static Dimensions ofRows(int rows, int length) {
        return new Dimensions(rows, length, 1, 1);
    }

    /** The least that is as large, with dimensions that are multiples of what is said of them. */
    Dimensions roundedUp(Map<String, Integer> multiples, boolean rows) {
        return new Dimensions(
                roundedUp(samples, multiples.get(rows ? "R" : "N")),
                roundedUp(channels, multiples.get(rows ? "D" : "C")),
                roundedUp(spatial, multiples.get("S")),
                groups);
    }

    private static int roundedUp(int size, Integer multiple) {
        return multiple == null ? size : (size + multiple - 1) / multiple * multiple;
    }

    /** What all kernels are checked on, small ones first. */
    static List<int[]> all(boolean rows) {
        return List.of(rows ? ROWS : CHANNELS);
    }

    /** For the reference: rows are samples, their elements channels. */
    Shape shape() {
        return spatial == 1 ? Shape.of(samples, channels) : Shape.of(samples, channels, spatial);
    }

    /** How many elements there are. */
    long elements() {
        return (long) samples * channels * spatial;
    }

    /** What names in expressions stand for. */
    Map<String, Double> names(Binding.Operation operation) {
        double values =
                switch (operation) {
                    case BATCH_NORM -> (double) samples * spatial;
                    case LAYER_NORM, RMS_NORM -> channels;
                    case GROUP_NORM -> (double) channels / groups * spatial;
                    case INSTANCE_NORM -> spatial;
                };
        Map<String, Double> names = new LinkedHashMap<>();
        names.put("N", (double) samples);
        names.put("C", (double) channels);
        names.put("S", (double) spatial);
        names.put("HW", (double) spatial);
        names.put("R", (double) samples);
        names.put("D", (double) channels);
        names.put("G", (double) groups);
        names.put("M", values);
        names.put("E", (double) elements());
        return names;
    }

    /** In the letters that its operation has. */
    String describe(Binding.Operation operation) {
        if (operation.isOfRows()) {
            return "R=" + samples + " D=" + channels;
        }
        return "N=" + samples + " C=" + channels + " S=" + spatial
                + (operation == Binding.Operation.GROUP_NORM ? " G=" + groups : "");
    }
}
