package org.clnorm.plan;

/** Memory that a kernel works on and that is no operand of a pass. */
public enum Place {
    /** Where there is never anything: an operand that this launch does without. */
    NONE,
    /** What a pass leaves to the next, as {@link CoefficientRows} says. */
    COEFFICIENTS,
    /** What the reduce step leaves to the fold step. */
    PARTIALS
}
