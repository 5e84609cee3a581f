package org.clnorm.plan;

import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.clnorm.backend.Role;

/**
 * What a kernel is launched with, by the name that the kernel itself has for it, since many have the same type: a test
 * compares the names with the kernels' own.
 *
 * @param value an Integer, Long or Float is the value of an int, long or float; a {@link Role} or {@link Place} is a
 *     buffer, and its offset where it has one
 */
public record Argument(String name, Object value) {
    /** Throws an IllegalArgumentException where no kernel can have such a value. */
    public Argument {
        if (!(value instanceof Integer
                || value instanceof Long
                || value instanceof Float
                || value instanceof Role
                || value instanceof Place)) {
            throw new IllegalArgumentException(name + " is " + value + ", which is no argument of a kernel");
        }
    }

    static Argument named(String name, Object value) {
        return new Argument(name, value);
    }

    /** A buffer that the kernel calls as we do. */
    private static Argument of(Enum<?> buffer) {
        return new Argument(buffer.name().toLowerCase(Locale.ROOT), buffer);
    }

    /** Arguments, roles and places, and lists of them, in the order in which they stand. */
    static List<Argument> arguments(Object... parts) {
        return Stream.of(parts)
                .flatMap(part -> part instanceof List<?> list ? list.stream() : Stream.of(part))
                .map(part -> part instanceof Enum<?> buffer ? of(buffer) : (Argument) part)
                .toList();
    }

    /** Whether it is memory. */
    public boolean isBuffer() {
        return value instanceof Role || value instanceof Place;
    }

    /** Whether kernels take an offset after the buffer. */
    public boolean hasOffset() {
        return value instanceof Role || value == Place.NONE || value == Place.MEMBER;
    }
}
