package org.clnorm.tune;

import java.util.Map;
import org.clnorm.plan.Pass;
import org.clnorm.plan.Strategy;

/**
 * What came of one pass over one shape.
 *
 * @param byDefault what the table has for it
 * @param candidates how many were tried
 * @param gains of those that are right and not much slower: how many times as fast as the default, in at least three
 *     rounds of four
 * @param wrong what was excluded, and why
 */
public record Heat(
        Rung rung,
        Pass pass,
        Strategy byDefault,
        int candidates,
        Map<Strategy, Double> gains,
        Map<Strategy, String> wrong) {
    /** Copies the maps. */
    public Heat {
        gains = Map.copyOf(gains);
        wrong = Map.copyOf(wrong);
    }
}
