package org.clnorm.bench;

/**
 * A backend's calls of what is timed, one for each set of tensors. A call is below a layer's or an optimizer's checks of its
 * arguments, and nothing is made for it: what can be prepared is.
 */
public interface Calls extends AutoCloseable {
    /** The next call; they take turns with the sets. */
    void make(int i);

    @Override
    void close();
}
