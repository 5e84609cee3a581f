package org.clnorm.backend;

import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;

/**
 * How a training pass updates the running statistics, which are its operands {@link Role#RUNNING_MEAN}, {@link
 * Role#RUNNING_VARIANCE} and {@link Role#ABSORBED}.
 *
 * @param average how a batch enters
 * @param estimate which variance enters
 */
public record RunningUpdate(RunningAverage average, RunningVariance estimate) {
    /**
     * Refuses running statistics that are only half said: an update without operands, or these without it.
     *
     * @param update or null
     */
    static void check(RunningUpdate update, OperandTypes operands) {
        for (Role role : new Role[] {Role.RUNNING_MEAN, Role.RUNNING_VARIANCE, Role.ABSORBED}) {
            if (operands.has(role) != (update != null)) {
                throw new IllegalArgumentException("A pass that updates running statistics has all three of them as"
                        + " operands, and one that does not has none, but the update is " + update
                        + " and the operands are " + operands);
            }
        }
    }
}
