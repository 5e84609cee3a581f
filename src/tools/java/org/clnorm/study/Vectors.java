package org.clnorm.study;

/** What is computed with all parameters of a network as one vector. Sums are in double precision. */
final class Vectors {
    private Vectors() {}

    static double length(float[] a) {
        return Math.sqrt(dot(a, a));
    }

    static double dot(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += (double) a[i] * b[i];
        }
        return sum;
    }

    static double distance(float[] a, float[] b) {
        return length(plus(a, -1, b));
    }

    /** a + factor·b. */
    static float[] plus(float[] a, double factor, float[] b) {
        float[] sum = new float[a.length];
        for (int i = 0; i < a.length; i++) {
            sum[i] = (float) (a[i] + factor * b[i]);
        }
        return sum;
    }

    static float[] times(double factor, float[] a) {
        float[] product = new float[a.length];
        for (int i = 0; i < a.length; i++) {
            product[i] = (float) (factor * a[i]);
        }
        return product;
    }

    /** The mean, and the deviation of the population. */
    static double[] moments(float[] values) {
        double sum = 0;
        for (float value : values) {
            sum += value;
        }
        double mean = sum / values.length;
        double squares = 0;
        for (float value : values) {
            squares += (value - mean) * (value - mean);
        }
        return new double[] {mean, Math.sqrt(squares / values.length)};
    }
}
