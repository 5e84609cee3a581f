package org.clnorm.plan;

import static org.clnorm.backend.Role.ADDEND;
import static org.clnorm.backend.Role.DRESIDUAL;
import static org.clnorm.backend.Role.DX;
import static org.clnorm.backend.Role.DY;
import static org.clnorm.backend.Role.PAST;
import static org.clnorm.backend.Role.RESIDUAL;
import static org.clnorm.backend.Role.X;
import static org.clnorm.backend.Role.Y;

import java.util.List;
import org.clnorm.backend.Role;

/** The kernels of a direction, and what they go over. */
enum Direction {
    FORWARD("normalize", "moments", "fold_moments", "join_moments", "apply", 5, List.of(X), List.of(X, RESIDUAL, Y)),
    BACKWARD(
            "gradient",
            "gradient_sums",
            "fold_gradients",
            "join_gradients",
            "gradient_apply",
            2,
            List.of(DY, X, Y),
            List.of(DY, X, Y, PAST, DX, DRESIDUAL));

    final String fused;
    final String reduce;
    final String fold;
    /** Of the slices alone, for the host. */
    final String join;

    final String apply;
    /** Floats of a partial result. */
    final int numbers;
    /** What the reduce step reads. */
    final List<Role> reduced;
    /** What the apply step, and all three in one, read and write. */
    final List<Role> tensors;

    Direction(
            String fused,
            String reduce,
            String fold,
            String join,
            String apply,
            int numbers,
            List<Role> reduced,
            List<Role> tensors) {
        this.fused = fused;
        this.reduce = reduce;
        this.fold = fold;
        this.join = join;
        this.apply = apply;
        this.numbers = numbers;
        this.reduced = reduced;
        this.tensors = tensors;
    }

    /** All tensors that a pass reads and writes. */
    List<Role> tensors() {
        return this == FORWARD ? List.of(X, RESIDUAL, Y, ADDEND) : tensors;
    }
}
