package org.clnorm.backend;

/** A run of elements of one type in a backend's memory. Closing it twice is harmless. */
public interface Memory extends AutoCloseable {
    /** How many elements it holds. */
    long elements();

    @Override
    void close();
}
