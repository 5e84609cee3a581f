package org.clnorm.example;

import java.math.BigDecimal;
import java.util.List;
import java.util.function.DoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * One axis of a chart.
 *
 * @param low where it begins
 * @param high where it ends
 * @param logarithmic whether equal lengths are equal ratios
 * @param ticks which values are marked
 * @param label what is written at a tick
 */
public record Axis(double low, double high, boolean logarithmic, List<Double> ticks, DoubleFunction<String> label) {
    private static final double[] STEPS = {1, 2, 5};

    /** Counts from 1, such as epochs. */
    public static Axis counting(int last) {
        int step = (int) wholeStepFor(last / 10.0);
        List<Double> ticks = IntStream.rangeClosed(1, last)
                .filter(i -> i == 1 || i % step == 0)
                .mapToObj(i -> (double) i)
                .toList();
        return new Axis(1, Math.max(2, last), false, ticks, value -> Integer.toString((int) value));
    }

    /** Shares up to all, in percent, from a round number below the smallest. */
    public static Axis percent(double smallest) {
        double step = wholeStepFor((1 - smallest) * 100 / 5) / 100;
        double low = Math.max(0, Math.floor(smallest / step + 1e-9) * step);
        List<Double> ticks = IntStream.rangeClosed(0, (int) Math.round((1 - low) / step))
                .mapToObj(i -> 1 - i * step)
                .filter(tick -> tick > low - step / 2)
                .toList();
        return new Axis(
                Math.min(low, ticks.get(ticks.size() - 1)), 1, false, ticks, tick -> Math.round(100 * tick) + " %");
    }

    /** Values of any sign on an even scale, between round numbers around them. */
    public static Axis linear(double smallest, double largest) {
        double span = largest > smallest ? largest - smallest : Math.max(Math.abs(largest), 1);
        double step = stepFor(span / 6);
        long first = (long) Math.floor(smallest / step + 1e-9);
        long last = Math.max(first + 1, (long) Math.ceil(largest / step - 1e-9));
        List<Double> ticks = LongStream.rangeClosed(first, last)
                .mapToObj(i ->
                        BigDecimal.valueOf(step).multiply(BigDecimal.valueOf(i)).doubleValue()) // 3 · 0.1 is 0.3 then
                .toList();
        return new Axis(ticks.get(0), ticks.get(ticks.size() - 1), false, ticks, Axis::signed);
    }

    private static String signed(double value) {
        return value == 0 ? "0" : (value < 0 ? "−" : "") + Settings.number(Math.abs(value));
    }

    /** Positive values over several orders of magnitude, between round numbers around them. */
    public static Axis logarithmic(double smallest, double largest) {
        int first = (int) Math.floor(Math.log10(smallest));
        int last = Math.max(first + 1, (int) Math.ceil(Math.log10(largest)));
        int decades = (int) wholeStepFor((last - first) / 8.0);
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
    private static double wholeStepFor(double atLeast) {
        return stepFor(Math.max(atLeast, 1));
    }

    /** The smallest of ..., 0.5, 1, 2, 5, 10, ... that is no less than this. */
    private static double stepFor(double atLeast) {
        double decade = Double.parseDouble("1e" + (int) Math.floor(Math.log10(atLeast)));
        return DoubleStream.of(STEPS)
                .map(step -> step * decade)
                .filter(step -> step >= atLeast)
                .findFirst()
                .orElse(10 * decade);
    }

    /** Whether a value lies on the axis. */
    public boolean holds(double value) {
        return value >= low && value <= high;
    }

    /** Where a value lies between {@link #low}, 0, and {@link #high}, 1; a value outside is moved to the nearer end. */
    public double position(double value) {
        double inside = Math.min(high, Math.max(low, value));
        return logarithmic
                ? (Math.log(inside) - Math.log(low)) / (Math.log(high) - Math.log(low))
                : (inside - low) / (high - low);
    }
}
