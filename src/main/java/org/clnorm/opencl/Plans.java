package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.plan.PassKind;

/** The plans of a layer, the last used first. Used under the backend's lock. */
final class Plans {
    /**
     * How many are kept. A layer that trains and is evaluated, on whole batches and a smaller last one, has six; past
     * these, shapes come in such number that finding a plan would cost as much as making one.
     */
    static final int MOST = 16;

    private final List<Plan<?>> plans = new ArrayList<>(MOST);

    /** The plan that serves a pass with a backend's kernels, or null. */
    Plan<?> find(Kernels kernels, PassKind<?> kind, Object pass, Operand[] places) {
        for (int i = 0; i < plans.size(); i++) {
            Plan<?> plan = plans.get(i);
            if (plan.serves(kernels, kind, pass, places)) {
                plans.remove(i);
                plans.add(0, plan);
                return plan;
            }
        }
        return null;
    }

    /** Keeps a plan in the place of the one that was not used for longest. */
    void add(Plan<?> plan) {
        if (plans.size() == MOST) {
            plans.remove(MOST - 1).release();
        }
        plans.add(0, plan);
    }

    int size() {
        return plans.size();
    }

    void release() {
        plans.forEach(Plan::release);
        plans.clear();
    }
}
