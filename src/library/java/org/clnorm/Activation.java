package org.clnorm;

import java.util.Locale;

/** What is applied to the normalized value, in the same pass; a residual is added before it. */
public enum Activation {
    /** y = v. */
    NONE,
    /** y = v where v > 0, else 0; NaN stays NaN. The gradient at v = 0 is 0. */
    RELU;

    /** The name used in files and on the command line: {@code none} or {@code relu}. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
