package org.clnorm.plan;

import org.clnorm.view.View;

/**
 * Which strategy a pass takes on a device: a pure function of its facts.
 *
 * @param fixed the one that a user asked for, or null
 * @param table what is chosen by where none was asked for
 */
public record StrategyChoice(DeviceFacts facts, Strategy fixed, StrategyTable table) {
    /** For a pass over a view. */
    public Strategy forPass(Pass pass, View view) {
        if (fixed == null) {
            return Strategy.choose(facts, pass, view, table);
        }
        Strategy strategy = fixed.forView(facts, view);
        return pass == Pass.INFERENCE ? strategy.forApply() : strategy;
    }

    /** For a pass over a view, one whose steps are launches of their own. */
    public Strategy split(Pass pass, View view) {
        Strategy strategy = forPass(pass, view);
        return strategy.fused() ? strategy.split(facts) : strategy;
    }

    /** For work that has no groups. */
    public Strategy forCopies() {
        return fixed != null ? fixed : Strategy.forCopies(facts);
    }
}
