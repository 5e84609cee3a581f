package org.clnorm.study;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/** What trials gave: numbers by setting and seed. */
final class Outcomes {
    private final double[][][] values;

    /** @param values by seed, then by setting, then by what was measured */
    Outcomes(double[][][] values) {
        this.values = values;
    }

    int settings() {
        return values[0].length;
    }

    /** One number of each seed. */
    double[] bySeed(ToDoubleFunction<double[][]> number) {
        double[] numbers = new double[values.length];
        for (int seed = 0; seed < numbers.length; seed++) {
            numbers[seed] = number.applyAsDouble(values[seed]);
        }
        return numbers;
    }

    /** An estimate of what is computed from each seed's numbers, by setting and measure. */
    Estimate estimate(ToDoubleFunction<double[][]> number) {
        return Estimate.of(bySeed(number));
    }

    Estimate at(int setting, int measure) {
        return estimate(seed -> seed[setting][measure]);
    }

    /** One measure over settings {@code from} and following, of which there is one for each x. */
    Series series(String name, double[] xs, int from, int measure) {
        List<Series.Point> points = new ArrayList<>();
        for (int i = 0; i < xs.length; i++) {
            points.add(new Series.Point(xs[i], at(from + i, measure)));
        }
        return new Series(name, points);
    }

    /** The measures {@code from} and following of one setting, of which there is one for each x. */
    Series along(String name, double[] xs, int setting, int from) {
        return new Series(
                name,
                IntStream.range(0, xs.length)
                        .mapToObj(i -> new Series.Point(xs[i], at(setting, from + i)))
                        .toList());
    }
}
