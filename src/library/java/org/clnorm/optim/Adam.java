package org.clnorm.optim;

/**
 * Adam (Kingma and Ba, 2015): m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², and p ← p − rate·m̂ / (√v̂ + ε), where m̂
 * and v̂ are without the bias of their zero start. Weight decay adds weightDecay·p to g; {@link AdamW} takes it from p.
 *
 * @param rate the learning rate, from 0 on
 * @param beta1 the share of m that stays, from 0 to less than 1
 * @param beta2 the share of v that stays, from 0 to less than 1
 * @param epsilon from 0 on
 * @param weightDecay from 0 on
 */
public record Adam(double rate, double beta1, double beta2, double epsilon, double weightDecay) implements UpdateRule {
    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException for a number out of its range
     */
    public Adam {
        Numbers.notNegative("rate", rate);
        Numbers.share("beta1", beta1);
        Numbers.share("beta2", beta2);
        Numbers.notNegative("epsilon", epsilon);
        Numbers.notNegative("weight decay", weightDecay);
    }

    /** Adam with a learning rate, 0.001 usually, β of 0.9 and 0.999, ε of 1e-8 and no weight decay. */
    public static Adam rate(double rate) {
        return new Adam(rate, 0.9, 0.999, 1e-8, 0);
    }

    /** The same with other β. */
    public Adam betas(double beta1, double beta2) {
        return new Adam(rate, beta1, beta2, epsilon, weightDecay);
    }

    /** The same with another ε. */
    public Adam epsilon(double epsilon) {
        return new Adam(rate, beta1, beta2, epsilon, weightDecay);
    }

    /** The same with weight decay. */
    public Adam weightDecay(double weightDecay) {
        return new Adam(rate, beta1, beta2, epsilon, weightDecay);
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
        return step(rate, number, weightDecay, 0);
    }

    UpdateStep step(double rate, long number, double decay, double shrink) {
        return new UpdateStep(
                UpdateStep.Kind.ADAM,
                rate / (1 - Math.pow(beta1, number)),
                decay,
                shrink,
                0,
                1 - beta1,
                1 - beta2,
                epsilon,
                1 / Math.sqrt(1 - Math.pow(beta2, number)),
                false);
    }
}
