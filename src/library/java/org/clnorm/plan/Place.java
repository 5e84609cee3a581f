package org.clnorm.plan;

/** Memory that a kernel works on and that is no operand of a pass. */
public enum Place {
    /** Where there is never anything: an operand that this launch does without. */
    NONE,
    /** One of many tensors, which whoever has the kernel gives by the argument's name. */
    MEMBER,
    /** What a pass leaves to the next, as {@link CoefficientRows} says. */
    COEFFICIENTS,
    /** What the reduce step leaves to the fold step. */
    PARTIALS,
    /** What is kept beside the tensors, which whoever has the kernel gives by the argument's name. */
    ROOM
}
