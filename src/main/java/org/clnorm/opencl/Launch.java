package org.clnorm.opencl;

import java.util.List;
import org.clnorm.DataType;

/**
 * A kernel and what it is launched with, before any device is asked.
 *
 * @param kernel its name in the catalogue
 * @param macros those of the pass, besides the strategy's
 * @param arguments in the kernel's order
 */
record Launch(String kernel, Strategy strategy, String macros, long workGroups, List<Argument> arguments) {
    /** The same with the macros that say how its tensors are stored; the most usual way needs none. */
    Launch storing(DataType[] types) {
        StringBuilder all = new StringBuilder(macros);
        for (Argument argument : arguments) {
            if (argument.value() instanceof Place place && place.storage() != null) {
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
