package org.clnorm.backend;

/** A run of elements of one type in a backend's memory. Closing it twice is harmless. */
public interface Memory extends AutoCloseable {
    /** Something that can be done with memory. */
    enum Access {
        /** A pass reads it. */
        INPUT,
        /** A pass writes it. */
        OUTPUT,
        /** The host reads it. */
        DOWNLOAD,
        /** The host writes it. */
        UPLOAD
    }

    /** How many elements it holds. */
    long elements();

    /** What stands against an access, in words; null where nothing does, as for all memory that a backend allocated. */
    default String objection(Access access) {
        return null;
    }

    /**
     * Whether bytes of this memory are bytes of another.
     *
     * @param from the first byte here, counted from this memory's first
     * @param to the end of the bytes here
     * @param otherFrom the first byte there
     * @param otherTo the end of the bytes there
     */
    default boolean overlaps(long from, long to, Memory other, long otherFrom, long otherTo) {
        return equals(other) && from < otherTo && otherFrom < to;
    }

    @Override
    void close();
}
