package org.clnorm.mpi;

import java.io.Serial;

/**
 * Ranks of a group are not at one: one did not come in time, left, failed, or came with something else than the others.
 * The message says which rank and what. The group is of no more use after that.
 */
public final class GroupException extends IllegalStateException {
    @Serial
    private static final long serialVersionUID = 1;

    /** Whether ranks gave different numbers of numbers, and can still tell each other why. */
    private final boolean isOfLengths;

    GroupException(String message) {
        this(message, false);
    }

    private GroupException(String message, boolean isOfLengths) {
        super(message);
        this.isOfLengths = isOfLengths;
    }

    /** One for messages of different lengths. */
    static GroupException ofLengths(String message) {
        return new GroupException(message, true);
    }

    boolean isOfLengths() {
        return isOfLengths;
    }
}
