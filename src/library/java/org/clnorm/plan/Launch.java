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
        List<Argument> tensors = arguments.stream()
                .filter(argument -> nameOfStorage(argument) != null)
                .toList();
        List<DataType> there = tensors.stream()
                .map(tensor -> typeOf(tensor, types))
                .filter(Objects::nonNull)
                .distinct()
                .toList();
        StringBuilder all = new StringBuilder(macros);
        for (Argument tensor : tensors) {
            DataType own = typeOf(tensor, types);
            DataType type = own == null && there.size() == 1 ? there.get(0) : own;
            if (type != null && type != DataType.FLOAT32) {
                all.append(" -D").append(nameOfStorage(tensor)).append("_T=").append(type.ordinal());
            }
        }
        return new Launch(kernel, strategy, all.toString(), workGroups, arguments);
    }

    /** Null for what is not there. */
    private static DataType typeOf(Argument tensor, OperandTypes types) {
        return tensor.value() instanceof Role role ? types.of(role) : null;
    }

    /** What storage.clh calls the way in which an argument is stored; null where it is no tensor. */
    private static String nameOfStorage(Argument argument) {
        return switch (argument.name()) {
            case "x" -> "X";
            case "addend" -> "ADD";
            case "residual" -> "RES";
            case "y" -> "Y";
            case "dy" -> "DY";
            case "past" -> "PAST";
            case "dx" -> "DX";
            case "dresidual" -> "DRES";
            default -> null;
        };
    }

    /** The compiler's options, which together with the kernel's name tell its binary from all others. */
    public String options() {
        return KernelCatalogue.entry(kernel).options(strategy) + macros;
    }

    /** Work-items in all. */
    public long items() {
        return workGroups * strategy.items();
    }
}
