package org.clnorm.optim;

/**
 * Stochastic gradient descent, with momentum if wanted: b ← momentum·b + (1 − dampening)·g, where the first b is g, and
 * p ← p − rate·b; Nesterov's form steps by g + momentum·b (Sutskever et al., 2013, "On the importance of initialization
 * and momentum"). Weight decay adds weightDecay·p to g.
 *
 * @param rate the learning rate, from 0 on
 * @param momentum what the kept momentum is multiplied by, from 0 to less than 1; 0 keeps none
 * @param dampening the share of g that does not go into the momentum, from 0 to less than 1
 * @param nesterov whether the step looks ahead, which takes a momentum and no dampening
 * @param weightDecay from 0 on
 */
public record Sgd(double rate, double momentum, double dampening, boolean nesterov, double weightDecay)
        implements UpdateRule {
    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException for a number out of its range, and for Nesterov's form without momentum or with
     *     dampening
     */
    public Sgd {
        Numbers.notNegative("rate", rate);
        Numbers.share("momentum", momentum);
        Numbers.share("dampening", dampening);
        Numbers.notNegative("weight decay", weightDecay);
        if (nesterov && (momentum == 0 || dampening != 0)) {
            throw new IllegalArgumentException(
                    "Nesterov's form takes a momentum and no dampening, but given were momentum " + momentum
                            + " and dampening " + dampening);
        }
    }

    /** Plain gradient descent with a learning rate. */
    public static Sgd rate(double rate) {
        return new Sgd(rate, 0, 0, false, 0);
    }

    /** The same with momentum, 0.9 usually. */
    public Sgd momentum(double momentum) {
        return new Sgd(rate, momentum, dampening, nesterov, weightDecay);
    }

    /** The same with dampening. */
    public Sgd dampening(double dampening) {
        return new Sgd(rate, momentum, dampening, nesterov, weightDecay);
    }

    /** The same in Nesterov's form, or not; to be said after the momentum. */
    public Sgd nesterov(boolean nesterov) {
        return new Sgd(rate, momentum, dampening, nesterov, weightDecay);
    }

    /** The same with weight decay. */
    public Sgd weightDecay(double weightDecay) {
        return new Sgd(rate, momentum, dampening, nesterov, weightDecay);
    }

    @Override
    public String firstMoment() {
        return momentum == 0 ? null : "momentum_buffer";
    }

    @Override
    public String secondMoment() {
        return null;
    }

    @Override
    public UpdateStep step(double rate, long number) {
        return new UpdateStep(
                UpdateStep.Kind.SGD,
                rate,
                weightDecay,
                0,
                momentum,
                number == 1 ? 1 : 1 - dampening,
                0,
                0,
                1,
                nesterov);
    }
}
