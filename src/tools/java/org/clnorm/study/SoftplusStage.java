package org.clnorm.study;

/** y = ln(1 + exp(x)), a ReLU without a kink (Dugas et al., 2001): its gradient can be differentiated. */
final class SoftplusStage implements Stage {
    private float[] slope = {};

    @Override
    public float[] forward(float[] x, Mode mode) {
        float[] y = new float[x.length];
        slope = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            double small = Math.exp(-Math.abs(x[i])); // which cannot overflow
            y[i] = (float) (Math.max(x[i], 0) + Math.log1p(small));
            slope[i] = (float) (x[i] > 0 ? 1 / (1 + small) : small / (1 + small));
        }
        return y;
    }

    @Override
    public float[] backward(float[] dy) {
        float[] dx = new float[dy.length];
        for (int i = 0; i < dy.length; i++) {
            dx[i] = dy[i] * slope[i];
        }
        return dx;
    }
}
