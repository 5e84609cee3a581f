package org.clnorm.example;

import java.util.List;
import java.util.function.DoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/** One axis of a chart: from where to where, on which scale, and which values are marked. */
record Axis(double low, double high, boolean logarithmic, List<Double> ticks, DoubleFunction<String> label) {
    private static final double[] STEPS = {1, 2, 5};

    /** Counts from 1, such as epochs. */
    static Axis counting(int last) {
        int step = (int) Math.max(1, stepFor(last / 10.0));
        List<Double> ticks = IntStream.rangeClosed(1, last)
                .filter(i -> i == 1 || i % step == 0)
                .mapToObj(i -> (double) i)
                .toList();
        return new Axis(1, Math.max(2, last), false, ticks, value -> Integer.toString((int) value));
    }

    /** Shares up to all, in percent, from a round number below the smallest. */
    static Axis percent(double smallest) {
        double step = stepFor((1 - smallest) * 100 / 5) / 100;
        double low = Math.max(0, Math.floor(smallest / step + 1e-9) * step);
        List<Double> ticks = IntStream.rangeClosed(0, (int) Math.round((1 - low) / step))
                .mapToObj(i -> 1 - i * step)
                .filter(tick -> tick > low - step / 2)
                .toList();
        return new Axis(
                Math.min(low, ticks.get(ticks.size() - 1)), 1, false, ticks, tick -> Math.round(100 * tick) + " %");
    }

    /** Positive values over several orders of magnitude, between round numbers around them. */
    static Axis logarithmic(double smallest, double largest) {
        int first = (int) Math.floor(Math.log10(smallest));
        int last = Math.max(first + 1, (int) Math.ceil(Math.log10(largest)));
        int decades = (int) stepFor((last - first) / 8.0);
        double[] round = last - first > 2
                ? IntStream.iterate(first, e -> e < last + decades, e -> e + decades)
                        .mapToDouble(e -> Double.parseDouble("1e" + e))
                        .toArray()
                : IntStream.rangeClosed(first, last)
                        .boxed()
                        .flatMapToDouble(e -> DoubleStream.of(STEPS).map(s -> Double.parseDouble((int) s + "e" + e)))
                        .toArray();
        double low = DoubleStream.of(round).filter(v -> v <= smallest).max().orElse(round[0]);
        double high = DoubleStream.of(round)
                .filter(v -> v >= largest && v > low)
                .min()
                .orElse(round[round.length - 1]);
        List<Double> ticks = DoubleStream.of(round)
                .filter(v -> v >= low && v <= high)
                .boxed()
                .toList();
        return new Axis(low, high, true, ticks, Settings::number);
    }

    /** The smallest of 1, 2, 5, 10, 20, ... that is no less than this. */
    private static double stepFor(double atLeast) {
        double decade = Math.pow(10, Math.floor(Math.log10(Math.max(atLeast, 1))));
        return DoubleStream.of(STEPS)
                .map(step -> step * decade)
                .filter(step -> step >= atLeast)
                .findFirst()
                .orElse(10 * decade);
    }

    boolean holds(double value) {
        return value >= low && value <= high;
    }

    /** Where a value lies between {@link #low}, 0, and {@link #high}, 1; a value outside is moved to the nearer end. */
    double position(double value) {
        double inside = Math.min(high, Math.max(low, value));
        return logarithmic
                ? (Math.log(inside) - Math.log(low)) / (Math.log(high) - Math.log(low))
                : (inside - low) / (high - low);
    }
}
