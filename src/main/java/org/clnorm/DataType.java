package org.clnorm;

/** How an element of x, y and their gradients is stored. Statistics and parameters are float32 whatever this is. */
public enum DataType {
    /** IEEE 754 binary32. */
    FLOAT32(Float.BYTES);

    private final int bytes;

    DataType(int bytes) {
        this.bytes = bytes;
    }

    /** The size of one element. */
    public int bytes() {
        return bytes;
    }
}
