package org.clnorm.study;

/** A layer of a small network. Arrays are (rows, units). */
interface Stage extends AutoCloseable {
    /** y of x; what {@link #backward} needs is kept. */
    float[] forward(float[] x, Mode mode);

    /** dx of dy, for the last {@link #forward}; gradients of parameters are set. */
    float[] backward(float[] dy);

    /** How many parameters it has. */
    default int size() {
        return 0;
    }

    /** Copies its parameters into an array, from an index on. */
    default void read(float[] to, int at) {}

    /** Sets its parameters. */
    default void write(float[] from, int at) {}

    /** Copies their gradients. */
    default void gradient(float[] to, int at) {}

    @Override
    default void close() {}
}
