package org.clnorm.study;

import java.util.stream.IntStream;
import org.clnorm.Device;
import org.clnorm.example.Digits;

/** What experiments work with: a device, data, and so many seeds. */
final class Lab {
    private static final int TRAIN = 2000;
    private static final int TEST = 1000;
    private static final int SIDE = 14;

    private final Device device;
    private final Effort effort;
    private final Samples train;
    private final Samples test;
    private final Samples coarse;

    Lab(Device device, Effort effort, Digits digits) {
        this.device = device;
        this.effort = effort;
        train = Samples.of(digits, 0, effort.part(TRAIN, 256), SIDE);
        test = Samples.of(digits, digits.size() - effort.part(TEST, 200), digits.size(), SIDE);
        coarse = Samples.of(digits, 0, effort.part(TRAIN, 256), SIDE / 2);
    }

    /** One trial: what it measures. */
    interface Trial {
        double[] run(long seed, int setting);
    }

    Device device() {
        return device;
    }

    Effort effort() {
        return effort;
    }

    Samples train() {
        return train;
    }

    Samples test() {
        return test;
    }

    /** The training digits with a quarter of the pixels. */
    Samples coarse() {
        return coarse;
    }

    /** So many steps in a full study, and fewer in a quicker one. */
    int steps(int full) {
        return effort.part(full, 4);
    }

    /** All settings with all seeds, several at a time. A trial has its own networks, and random numbers by its seed. */
    Outcomes trials(int settings, Trial trial) {
        return trials(settings, trial, true);
    }

    /** The same one after the other, for what measures times. */
    Outcomes alone(int settings, Trial trial) {
        return trials(settings, trial, false);
    }

    private Outcomes trials(int settings, Trial trial, boolean parallel) {
        double[][][] values = new double[effort.seeds()][settings][];
        IntStream all = IntStream.range(0, effort.seeds() * settings);
        (parallel ? all.parallel() : all)
                .forEach(i -> values[i / settings][i % settings] = trial.run(1 + i / settings, i % settings));
        return new Outcomes(values);
    }
}
