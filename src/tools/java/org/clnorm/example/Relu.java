package org.clnorm.example;

/** y = max(x, 0), and nothing else: the plain network. */
final class Relu implements Nonlinearity {
    private float[] y;

    @Override
    public float[] forward(float[] x) {
        y = infer(x);
        return y;
    }

    @Override
    public float[] infer(float[] x) {
        float[] y = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            y[i] = Math.max(x[i], 0); // of NaN this is NaN: a diverged network must not look healthy
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

    @Override
    public void step(Sgd sgd) {
        // A ReLU has no parameters.
    }

    @Override
    public void close() {
        // Nor anything to release.
    }
}
