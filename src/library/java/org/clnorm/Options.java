package org.clnorm;

import java.util.Objects;
import java.util.function.Consumer;

/** What the builders of layers have in common, each setting what its layer has. Immutable: setters return a new one. */
final class Options {
    // Written on a fresh copy only, before anybody else sees it.
    double epsilon = 1e-5;
    boolean gamma = true;
    boolean beta = true;
    Activation activation = Activation.NONE;
    RunningAverage runningAverage = RunningAverage.none();
    RunningVariance runningVariance = RunningVariance.UNBIASED;
    NonFinitePolicy nonFinite = NonFinitePolicy.PROPAGATE;
    boolean accumulateGradients;
    /** The layer whose γ and β are this one's too; null for its own. */
    Layer sharing;

    boolean inPlace;

    private Options with(Consumer<Options> change) {
        Options copy = new Options();
        copy.epsilon = epsilon;
        copy.gamma = gamma;
        copy.beta = beta;
        copy.activation = activation;
        copy.runningAverage = runningAverage;
        copy.runningVariance = runningVariance;
        copy.nonFinite = nonFinite;
        copy.accumulateGradients = accumulateGradients;
        copy.sharing = sharing;
        copy.inPlace = inPlace;
        change.accept(copy);
        return copy;
    }

    Options epsilon(double epsilon) {
        if (!(epsilon >= 0 && epsilon <= Float.MAX_VALUE)) {
            throw new IllegalArgumentException("epsilon must be finite and at least 0, but given was " + epsilon);
        }
        if (epsilon > 0 && epsilon < Float.MIN_NORMAL) {
            throw new IllegalArgumentException("epsilon must be 0 or at least " + Float.MIN_NORMAL
                    + ", the smallest normal float32, but given was " + epsilon);
        }
        return with(copy -> copy.epsilon = epsilon);
    }

    Options gamma(boolean gamma) {
        return with(copy -> copy.gamma = gamma);
    }

    Options beta(boolean beta) {
        return with(copy -> copy.beta = beta);
    }

    Options activation(Activation activation) {
        Objects.requireNonNull(activation, "activation");
        return with(copy -> copy.activation = activation);
    }

    Options runningAverage(RunningAverage runningAverage) {
        Objects.requireNonNull(runningAverage, "runningAverage");
        return with(copy -> copy.runningAverage = runningAverage);
    }

    Options runningVariance(RunningVariance runningVariance) {
        Objects.requireNonNull(runningVariance, "runningVariance");
        return with(copy -> copy.runningVariance = runningVariance);
    }

    Options nonFinite(NonFinitePolicy nonFinite) {
        Objects.requireNonNull(nonFinite, "nonFinite");
        return with(copy -> copy.nonFinite = nonFinite);
    }

    Options accumulateGradients(boolean accumulateGradients) {
        return with(copy -> copy.accumulateGradients = accumulateGradients);
    }

    /** The options of a layer that has another's γ and β, or, of null, its own. */
    Options sharing(Layer owner) {
        return with(copy -> copy.sharing = owner);
    }

    Options inPlace(boolean inPlace) {
        return with(copy -> copy.inPlace = inPlace);
    }

    /** What a layer has so many of; at least one. */
    static int count(String what, int given) {
        if (given < 1) {
            throw new IllegalArgumentException(what + " must be at least 1, but given was " + given);
        }
        return given;
    }
}
