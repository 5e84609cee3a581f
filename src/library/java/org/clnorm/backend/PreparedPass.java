package org.clnorm.backend;

/** A pass that a backend is ready to do again and again, each time on other memory if need be. */
public interface PreparedPass extends AutoCloseable {
    /**
     * Does it. May return before the work is done; see {@link Backend}. One that updates running statistics says so to the
     * operands ({@link Operands#absorbed}) once that cannot fail any more, and what fails afterwards does not take it back.
     *
     * @param operands of the roles and types that the specification says; read before this returns
     * @param coefficients what a forward pass leaves and a backward pass finds
     * @throws IllegalArgumentException for other roles or types
     * @throws org.clnorm.NonFiniteException from a training pass under that policy, before any running statistics changed
     */
    void run(Operands operands, Coefficients coefficients);

    /** Frees what was made ready; what was asked for is still done. Closing twice is harmless. */
    @Override
    void close();
}
