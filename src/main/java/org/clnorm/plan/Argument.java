package org.clnorm.plan;

import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * What a kernel is launched with, by the name that the kernel itself has for it, since many have the same type: a test
 * compares the names with the kernels' own.
 *
 * @param value an Integer, Long or Float is the value of an int, long or float; a {@link Place} is a buffer, and its offset
 *     where it has one
 */
public record Argument(String name, Object value) {
    /** Throws an IllegalArgumentException where no kernel can have such a value. */
    public Argument {
        if (!(value instanceof Integer || value instanceof Long || value instanceof Float || value instanceof Place)) {
            throw new IllegalArgumentException(name + " is " + value + ", which is no argument of a kernel");
        }
    }

    static Argument named(String name, Object value) {
        return new Argument(name, value);
    }

    /** A place that the kernel calls as we do. */
    static Argument of(Place place) {
        return new Argument(place.name().toLowerCase(Locale.ROOT), place);
    }

    /** Arguments, places and lists of them, in the place where they stand. */
    static List<Argument> arguments(Object... parts) {
        return Stream.of(parts)
                .flatMap(part -> part instanceof List<?> list ? list.stream() : Stream.of(part))
                .map(part -> part instanceof Place place ? of(place) : (Argument) part)
                .toList();
    }

    /** What the kernel calls its parameters: a buffer and an offset, or one. */
    Stream<String> parameters() {
        return value instanceof Place place && place.hasOffset()
                ? Stream.of(name + "_buffer", name + "_offset")
                : Stream.of(name);
    }
}
