package org.clnorm.check;

/**
 * What is wrong with a kernel in a case.
 *
 * @param kind which check found it
 * @param array the array's name; empty where it is of none
 * @param text what was found, in a sentence
 * @param mistake what is likely the cause, in a sentence; empty where nothing tells it
 */
public record Problem(Kind kind, String array, String text, String mistake) {
    /** Which check found it. */
    public enum Kind {
        /** It does not compile, or cannot be called as the binding says. */
        CALL,
        /** It ended its process. */
        CRASH,
        /** It did not come back. */
        HANG,
        /** It wrote beside its arrays. */
        OVERRUN,
        /** It wrote to what it may only read. */
        INPUT_CHANGED,
        /** It left elements of an output as they were. */
        NOT_WRITTEN,
        /** Values are off by more than rounding. */
        VALUES,
        /** Two runs gave different bits. */
        RUNS_DIFFER,
        /** The simulator reports an invalid access, a race or the use of what nobody has written. */
        SIMULATOR
    }
}
