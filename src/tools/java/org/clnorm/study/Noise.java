package org.clnorm.study;

import java.util.Random;

/** Random numbers. */
final class Noise {
    private Noise() {}

    /** Normal numbers of a mean and a deviation. */
    static float[] gaussian(int count, double mean, double deviation, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) (mean + deviation * random.nextGaussian());
        }
        return values;
    }
}
