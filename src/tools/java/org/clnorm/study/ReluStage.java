package org.clnorm.study;

/** y = max(x, 0), and a count of where it let its input through. */
final class ReluStage implements Stage {
    private final int units;
    private float[] y;

    ReluStage(int units) {
        this.units = units;
    }

    @Override
    public float[] forward(float[] x, Mode mode) {
        y = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            y[i] = Math.max(x[i], 0); // NaN stays NaN
        }
        return y;
    }

    @Override
    public float[] backward(float[] dy) {
        float[] dx = new float[dy.length];
        for (int i = 0; i < dy.length; i++) {
            dx[i] = y[i] > 0 ? dy[i] : 0;
        }
        return dx;
    }

    /** For each unit, the share of the last batch's rows in which it was above 0. */
    double[] active() {
        double[] shares = new double[units];
        for (int i = 0; i < y.length; i++) {
            shares[i % units] += y[i] > 0 ? (double) units / y.length : 0;
        }
        return shares;
    }
}
