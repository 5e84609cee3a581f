package org.clnorm.opencl;

import java.util.List;
import java.util.stream.Stream;
import org.clnorm.DataType;

/**
 * A kernel and what it is launched with, before any device is asked.
 *
 * @param kernel its name in the catalogue
 * @param macros those of the pass, besides the strategy's
 * @param arguments in the kernel's order: an Integer, Long or Float is the value of an int, long or float; a
 *     {@link Place} is a buffer, and its offset where it has one
 */
record Launch(String kernel, Strategy strategy, String macros, long workGroups, List<Object> arguments) {
    /** Arguments, the lists among them in the place where they stand. */
    static List<Object> arguments(Object... parts) {
        return Stream.of(parts)
                .flatMap(part -> part instanceof List<?> list ? list.stream() : Stream.of(part))
                .map(Object.class::cast)
                .toList();
    }

    /** The same with the macros that say how its tensors are stored; the most usual way needs none. */
    Launch storing(DataType[] types) {
        StringBuilder all = new StringBuilder(macros);
        for (Object argument : arguments) {
            if (argument instanceof Place place && place.storage() != null) {
                DataType type = types[place.ordinal()];
                if (type != null && type != DataType.FLOAT32) {
                    all.append(" -D").append(place.storage()).append("_T=").append(type.ordinal());
                }
            }
        }
        return new Launch(kernel, strategy, all.toString(), workGroups, arguments);
    }

    /** The compiler's options, which together with the kernel's name tell its binary from all others. */
    String options() {
        return strategy.options(KernelCatalogue.entry(kernel).geometry()) + macros;
    }

    /** Work-items in all. */
    long items() {
        return workGroups * strategy.items();
    }
}
