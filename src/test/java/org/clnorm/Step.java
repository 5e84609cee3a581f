package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * What a layer left after one forward and one backward pass, read back; null for what there was not.
 *
 * @param dresidual null without a residual
 * @param dgamma null without γ
 * @param dbeta null without β
 * @param runningMean null without running statistics
 */
public record Step(
        float[] y,
        float[] dx,
        float[] dresidual,
        float[] dgamma,
        float[] dbeta,
        float[] savedMean,
        float[] savedInvstd,
        float[] runningMean,
        float[] runningVariance) {

    /** Takes one; {@code residual} may be null. */
    public static Step of(BatchNorm norm, Batch x, Batch residual, Batch dy) {
        Device device = norm.device();
        try (Tensor input = x.on(device);
                Tensor added = residual == null ? null : residual.on(device);
                Tensor y = device.tensor(x.shape(), x.layout());
                Tensor gradient = dy.on(device);
                Tensor dx = device.tensor(x.shape(), x.layout());
                Tensor dresidual = residual == null ? null : device.tensor(x.shape(), x.layout())) {
            norm.forward(input, added, y);
            norm.backward(gradient, dx, dresidual);
            return new Step(
                    y.download(),
                    dx.download(),
                    dresidual == null ? null : dresidual.download(),
                    norm.gamma().map(p -> p.gradient().download()).orElse(null),
                    norm.beta().map(p -> p.gradient().download()).orElse(null),
                    norm.savedMean().download(),
                    norm.savedInverseStandardDeviation().download(),
                    norm.runningMean().map(Tensor::download).orElse(null),
                    norm.runningVariance().map(Tensor::download).orElse(null));
        }
    }

    /** Of each bit; NaN is the same as NaN. */
    public void assertSameBits(Step other, String why) {
        assertThat(y).as("y: %s", why).isEqualTo(other.y);
        assertThat(dx).as("dx: %s", why).isEqualTo(other.dx);
        assertThat(dresidual).as("dresidual: %s", why).isEqualTo(other.dresidual);
        assertThat(dgamma).as("dgamma: %s", why).isEqualTo(other.dgamma);
        assertThat(dbeta).as("dbeta: %s", why).isEqualTo(other.dbeta);
        assertThat(savedMean).as("saved mean: %s", why).isEqualTo(other.savedMean);
        assertThat(savedInvstd).as("saved inverse standard deviation: %s", why).isEqualTo(other.savedInvstd);
        assertThat(runningMean).as("running mean: %s", why).isEqualTo(other.runningMean);
        assertThat(runningVariance).as("running variance: %s", why).isEqualTo(other.runningVariance);
    }

    /** Within the bound that the library promises, everywhere. */
    void assertIs(Formulas expected, Batch like) {
        Closeness.assertClose("y", like.holding(y), expected.y(), 0);
        Closeness.assertClose("dx", like.holding(dx), expected.dx(), expected.largestTerm());
        if (dresidual != null) {
            Closeness.assertClose("dresidual", like.holding(dresidual), expected.dresidual(), 0);
        }
        if (dgamma != null) {
            Closeness.assertClose("dgamma", dgamma, expected.dgamma());
        }
        if (dbeta != null) {
            Closeness.assertClose("dbeta", dbeta, expected.dbeta());
        }
        Closeness.assertClose("saved mean", savedMean, expected.mean());
        Closeness.assertClose("saved inverse standard deviation", savedInvstd, expected.invstd());
    }
}
