package org.clnorm.study;

import java.util.Random;

/** Dropout (Srivastava et al., 2014): in training, a share is set to 0 and the rest made larger, so that means stay. */
final class DropoutStage implements Stage {
    private final double share;
    private final Random random;
    private float[] mask;

    DropoutStage(double share, Random random) {
        this.share = share;
        this.random = random;
    }

    @Override
    public float[] forward(float[] x, Mode mode) {
        mask = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            mask[i] = mode != Mode.TRAIN ? 1 : random.nextDouble() < share ? 0 : (float) (1 / (1 - share));
        }
        return times(x);
    }

    @Override
    public float[] backward(float[] dy) {
        return times(dy);
    }

    private float[] times(float[] values) {
        float[] product = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            product[i] = values[i] * mask[i];
        }
        return product;
    }
}
