package org.clnorm.optim;

/**
 * RMSprop (Tieleman and Hinton, 2012): v ← α·v + (1 − α)·g² and n = g / (√v + ε); p ← p − rate·n, or, with momentum,
 * b ← momentum·b + n and p ← p − rate·b. Weight decay adds weightDecay·p to g.
 *
 * @param rate the learning rate, from 0 on
 * @param alpha the share of v that stays, from 0 to less than 1
 * @param epsilon from 0 on
 * @param momentum what the kept momentum is multiplied by, from 0 to less than 1; 0 keeps none
 * @param weightDecay from 0 on
 */
public record RmsProp(double rate, double alpha, double epsilon, double momentum, double weightDecay)
        implements UpdateRule {
    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException for a number out of its range
     */
    public RmsProp {
        Numbers.notNegative("rate", rate);
        Numbers.share("alpha", alpha);
        Numbers.notNegative("epsilon", epsilon);
        Numbers.share("momentum", momentum);
        Numbers.notNegative("weight decay", weightDecay);
    }

    /** RMSprop with a learning rate, 0.01 usually, α of 0.99, ε of 1e-8, no momentum and no weight decay. */
    public static RmsProp rate(double rate) {
        return new RmsProp(rate, 0.99, 1e-8, 0, 0);
    }

    /** The same with another α. */
    public RmsProp alpha(double alpha) {
        return new RmsProp(rate, alpha, epsilon, momentum, weightDecay);
    }

    /** The same with another ε. */
    public RmsProp epsilon(double epsilon) {
        return new RmsProp(rate, alpha, epsilon, momentum, weightDecay);
    }

    /** The same with momentum. */
    public RmsProp momentum(double momentum) {
        return new RmsProp(rate, alpha, epsilon, momentum, weightDecay);
    }

    /** The same with weight decay. */
    public RmsProp weightDecay(double weightDecay) {
        return new RmsProp(rate, alpha, epsilon, momentum, weightDecay);
    }

    @Override
    public String firstMoment() {
        return momentum == 0 ? null : "momentum_buffer";
    }

    @Override
    public String secondMoment() {
        return "square_avg";
    }

    @Override
    public UpdateStep step(double rate, long number) {
        return new UpdateStep(UpdateStep.Kind.RMSPROP, rate, weightDecay, 0, momentum, 1, 1 - alpha, epsilon, 1, false);
    }
}
