package org.clnorm.plan;

import java.util.List;
import java.util.Objects;
import org.clnorm.DataType;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Role;

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
     */
    public Launch storing(OperandTypes types) {
        List<Role> tensors = arguments.stream()
                .map(Argument::value)
                .filter(value -> value instanceof Role role && nameOfStorage(role) != null)
                .map(Role.class::cast)
                .toList();
        List<DataType> there = tensors.stream()
                .map(types::of)
                .filter(Objects::nonNull)
                .distinct()
                .toList();
        StringBuilder all = new StringBuilder(macros);
        for (Role role : tensors) {
            DataType type = types.has(role) || there.size() != 1 ? types.of(role) : there.get(0);
            if (type != null && type != DataType.FLOAT32) {
                all.append(" -D").append(nameOfStorage(role)).append("_T=").append(type.ordinal());
            }
        }
        return new Launch(kernel, strategy, all.toString(), workGroups, arguments);
    }

    /** What storage.clh calls the way in which an operand is stored; null where it is always float32. */
    private static String nameOfStorage(Role role) {
        return switch (role) {
            case X -> "X";
            case RESIDUAL -> "RES";
            case Y -> "Y";
            case DY -> "DY";
            case DX -> "DX";
            case DRESIDUAL -> "DRES";
            default -> null;
        };
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
