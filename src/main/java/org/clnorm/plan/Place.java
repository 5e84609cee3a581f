package org.clnorm.plan;

import org.clnorm.backend.Operand;

/**
 * What kernels call the memory that they work on. Which memory it is may change from one call of a pass to the next.
 * {@link #COEFFICIENTS} are what a pass leaves to the next ({@link Coefficients}), {@link #PARTIALS} what the
 * reduce step leaves to the fold step.
 */
public enum Place {
    X("X"),
    RESIDUAL("RES"),
    Y("Y"),
    DY("DY"),
    DX("DX"),
    DRESIDUAL("DRES"),
    GAMMA,
    BETA,
    /** γ and β that go by the element of a row. */
    ROW_GAMMA,
    ROW_BETA,
    DGAMMA,
    DBETA,
    MEAN,
    VARIANCE,
    RUNNING_MEAN,
    RUNNING_VARIANCE,
    ABSORBED,
    FROM,
    TO,
    /** Where there is never anything. */
    NONE,
    COEFFICIENTS,
    PARTIALS;

    private final String storage;

    Place() {
        this(null);
    }

    Place(String storage) {
        this.storage = storage;
    }

    /** What the kernels' macros call it that say how it is stored, as storage.clh has them; null where it is float32. */
    String storage() {
        return storage;
    }

    /** Whether kernels take a buffer and an offset; else they take a buffer. */
    public boolean hasOffset() {
        return this != COEFFICIENTS && this != PARTIALS;
    }

    /** Puts an operand there; null when it is absent. */
    public void put(Operand operand, Operand[] places) {
        places[ordinal()] = operand;
    }

    /** The operand there, or null. */
    public Operand of(Operand[] places) {
        return places[ordinal()];
    }
}
