package org.clnorm.opencl;

import org.clnorm.backend.Operand;
import org.clnorm.plan.Coefficients;

/** The coefficients of a layer, with its plans, which are released with their memory. */
final class OpenClSavedStatistics extends Coefficients {
    private final Plans plans;

    OpenClSavedStatistics(int groups, int blocks, Operand coefficients, Plans plans) {
        super(groups, blocks, coefficients);
        this.plans = plans;
    }

    Plans plans() {
        return plans;
    }
}
