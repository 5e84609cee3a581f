package org.clnorm.backend;

import java.util.Arrays;

/**
 * The memory that a pass works on, by role. It is filled anew for each call, so that a steady step allocates nothing;
 * whoever runs a pass keeps none of it.
 */
public final class Operands {
    private final Operand[] byRole = new Operand[Role.values().length];
    private long types;
    private boolean areAbsorbed;

    /** None of any role. */
    public Operands() {}

    /**
     * Puts an operand in a role.
     *
     * @param operand or null for none
     * @return this
     */
    public Operands put(Role role, Operand operand) {
        if (byRole[role.ordinal()] != operand) { // a steady step has the same ones again
            byRole[role.ordinal()] = operand;
            types = OperandTypes.with(types, role, operand == null ? null : operand.type());
        }
        return this;
    }

    /** The operand in a role, or null. */
    public Operand get(Role role) {
        return byRole[role.ordinal()];
    }

    /** Takes all out of their roles. */
    public Operands clear() {
        Arrays.fill(byRole, null);
        types = 0;
        return this;
    }

    /** Which roles have operands, and of which types. */
    public OperandTypes types() {
        return new OperandTypes(types);
    }

    /**
     * Says whether a pass over these has come so far that the batch is in the running statistics, or will be: one that fails
     * after that is to be counted, too.
     */
    public void absorbed(boolean areAbsorbed) {
        this.areAbsorbed = areAbsorbed;
    }

    /** Whether it has. */
    public boolean areAbsorbed() {
        return areAbsorbed;
    }

    /**
     * Refuses to have a pass run on others than it was prepared for; where they are these, it allocates nothing.
     *
     * @throws IllegalArgumentException for other roles or types
     */
    public void checkAre(OperandTypes prepared) {
        if (!are(prepared)) {
            throw new IllegalArgumentException(
                    "The pass was prepared for the operands " + prepared + ", but given were " + types());
        }
    }

    /** Whether these are their types; it allocates nothing. */
    public boolean are(OperandTypes others) {
        return types == others.bits();
    }
}
