package org.clnorm.plan;

import java.util.List;
import java.util.Objects;
import org.clnorm.DataType;

/**
 * A kernel and what it is launched with, before any device is asked.
 *
 * @param kernel its name in the catalogue
 * @param macros those of the pass, besides the strategy's
 * @param arguments in the kernel's order
 */
public record Launch(String kernel, Strategy strategy, String macros, long workGroups, List<Argument> arguments) {
    /**
     * The same with the macros that say how its tensors are stored; the most usual way needs none. A tensor that is not
     * there is as those are that are, where these are alike: whether it is there makes no binary more.
     *
     * @param types by place; null where there is no tensor
     */
    public Launch storing(DataType[] types) {
        List<Place> tensors = arguments.stream()
                .map(Argument::value)
                .filter(value -> value instanceof Place place && place.storage() != null)
                .map(Place.class::cast)
                .toList();
        List<DataType> there = tensors.stream()
                .map(place -> types[place.ordinal()])
                .filter(Objects::nonNull)
                .distinct()
                .toList();
        StringBuilder all = new StringBuilder(macros);
        for (Place place : tensors) {
            DataType type = types[place.ordinal()] != null || there.size() != 1 ? types[place.ordinal()] : there.get(0);
            if (type != null && type != DataType.FLOAT32) {
                all.append(" -D").append(place.storage()).append("_T=").append(type.ordinal());
            }
        }
        return new Launch(kernel, strategy, all.toString(), workGroups, arguments);
    }

    /** The compiler's options, which together with the kernel's name tell its binary from all others. */
    public String options() {
        return strategy.options(KernelCatalogue.entry(kernel).geometry()) + macros;
    }

    /** Work-items in all. */
    public long items() {
        return workGroups * strategy.items();
    }
}
