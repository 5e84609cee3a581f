package org.clnorm.optim;

/**
 * Adam whose weight decay is apart from the gradient (Loshchilov and Hutter, 2019, "Decoupled weight decay
 * regularization"): p ← p − (rate·weightDecay)·p, and then {@link Adam}'s step without decay.
 *
 * @param rate the learning rate, from 0 on
 * @param beta1 the share of the first moment that stays, from 0 to less than 1
 * @param beta2 the share of the second moment that stays, from 0 to less than 1
 * @param epsilon from 0 on
 * @param weightDecay from 0 on
 */
public record AdamW(double rate, double beta1, double beta2, double epsilon, double weightDecay) implements UpdateRule {
    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException for a number out of its range
     */
    public AdamW {
        new Adam(rate, beta1, beta2, epsilon, weightDecay);
    }

    /** AdamW with a learning rate, 0.001 usually, β of 0.9 and 0.999, ε of 1e-8 and a weight decay of 0.01. */
    public static AdamW rate(double rate) {
        return new AdamW(rate, 0.9, 0.999, 1e-8, 0.01);
    }

    /** The same with other β. */
    public AdamW betas(double beta1, double beta2) {
        return new AdamW(rate, beta1, beta2, epsilon, weightDecay);
    }

    /** The same with another ε. */
    public AdamW epsilon(double epsilon) {
        return new AdamW(rate, beta1, beta2, epsilon, weightDecay);
    }

    /** The same with another weight decay. */
    public AdamW weightDecay(double weightDecay) {
        return new AdamW(rate, beta1, beta2, epsilon, weightDecay);
    }

    @Override
    public String firstMoment() {
        return "exp_avg";
    }

    @Override
    public String secondMoment() {
        return "exp_avg_sq";
    }

    @Override
    public UpdateStep step(double rate, long number) {
        return new Adam(rate, beta1, beta2, epsilon, 0).step(rate, number, 0, rate * weightDecay);
    }
}
