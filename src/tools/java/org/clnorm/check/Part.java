package org.clnorm.check;

import java.util.Locale;
import org.clnorm.check.Binding.Direction;

/** What an array of a kernel is. Its name in bindings and reports is the constant's in small letters. */
public enum Part {
    /** Input of the normalization, of the tensor's shape. */
    X(Size.TENSOR, "x"),
    /** Its output. */
    Y(Size.TENSOR, "expected_y"),
    /** Gradient by y. */
    DY(Size.TENSOR, "grad_y"),
    /** Gradient by x. */
    DX(Size.TENSOR, "expected_grad_x"),
    /** Scale: by channel, or by element of a row. */
    GAMMA(Size.AFFINE, "weight"),
    /** Shift. */
    BETA(Size.AFFINE, "bias"),
    /** Gradient by γ. */
    DGAMMA(Size.AFFINE, "expected_grad_weight"),
    /** Gradient by β. */
    DBETA(Size.AFFINE, "expected_grad_bias"),
    /** Mean of each group: an output of a training forward pass, else an input. */
    MEAN(Size.GROUP, "expected_save_mean"),
    /** Biased variance of each group, likewise; of RMS normalization the mean square. */
    VARIANCE(Size.GROUP, null),
    /** 1/√(variance + ε) of each group, likewise. */
    INVSTD(Size.GROUP, "expected_save_invstd"),
    /** Running mean of each channel, which a training forward pass updates. */
    RUNNING_MEAN(Size.GROUP, "expected_running_mean"),
    /** Running variance of each channel, likewise. */
    RUNNING_VARIANCE(Size.GROUP, "expected_running_var");

    enum Size {
        TENSOR,
        AFFINE,
        GROUP
    }

    final Size size;
    /** Its name in a case file, or null where cases have no such array. */
    final String inCase;

    Part(Size size, String inCase) {
        this.size = size;
        this.inCase = inCase;
    }

    /** Whether a kernel of that direction can have such an argument. */
    boolean isOf(Direction direction) {
        return switch (this) {
            case X -> true;
            case Y, BETA -> direction != Direction.BACKWARD;
            case DY, DX, DGAMMA, DBETA -> direction == Direction.BACKWARD;
            case RUNNING_MEAN, RUNNING_VARIANCE -> direction == Direction.FORWARD;
            default -> true;
        };
    }

    /** Whether a kernel of that direction writes it. */
    boolean isWritten(Direction direction) {
        return switch (this) {
            case Y, DX, DGAMMA, DBETA -> true;
            case MEAN, VARIANCE, INVSTD -> direction == Direction.FORWARD;
            default -> isUpdated();
        };
    }

    /** Whether it is read and written. */
    boolean isUpdated() {
        return this == RUNNING_MEAN || this == RUNNING_VARIANCE;
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
