package org.clnorm.plan;

import java.util.List;
import java.util.function.Function;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.view.View;

/**
 * How a device does a pass: a pure function of the pass and of what is known of the device. {@link Passes} makes it.
 *
 * @param view what the pass goes over
 * @param strategy how, where its operands are aligned
 * @param byElement whether γ and β go by the element of a row
 * @param operands which there are, and of which types
 * @param tensors those whose alignment decides how the elements are gone over
 * @param steps the launches
 * @param afterLook those that wait until the host has looked at the statistics; null where it does not look
 */
public record PassPlan(
        View view,
        Strategy strategy,
        DeviceFacts facts,
        boolean byElement,
        OperandTypes operands,
        List<Role> tensors,
        Function<ReduceFoldApply, Steps> steps,
        Function<ReduceFoldApply, Steps> afterLook) {

    /** Whether the host looks for what is not finite before anything else is changed. */
    public boolean isLookedAt() {
        return afterLook != null;
    }

    /** Whether operands lie as the strategy needs them; asked in each call, it allocates nothing. */
    public boolean isAligned(Operands operands) {
        return ReduceFoldApply.isAligned(view, strategy, tensors, operands);
    }

    /** The launches, over operands that are aligned or not. */
    public Steps steps(boolean aligned) {
        return steps.apply(over(aligned)).storing(operands);
    }

    /** The launches after the host has looked; none where it does not look. */
    public Steps stepsAfterLook(boolean aligned) {
        return isLookedAt() ? afterLook.apply(over(aligned)).storing(operands) : new Steps();
    }

    private ReduceFoldApply over(boolean aligned) {
        return new ReduceFoldApply(
                view, aligned ? strategy : strategy.unaligned(facts, view), facts.computeUnits(), byElement, operands);
    }
}
