package org.clnorm.testing;

import java.util.Arrays;
import java.util.Objects;
import org.assertj.core.api.AbstractFloatArrayAssert;
import org.clnorm.DataType;

/** AssertJ's assertion on a {@code float[]}, which can also be asserted to be what a normalization makes of another. */
public final class NormalizedArrayAssert extends AbstractFloatArrayAssert<NormalizedArrayAssert>
        implements NormalizationAssert<NormalizedArrayAssert> {
    NormalizedArrayAssert(float[] actual) {
        super(actual, NormalizedArrayAssert.class);
    }

    @Override
    public NormalizedArrayAssert is(ExpectedNormalization expected) {
        Objects.requireNonNull(expected, "expected");
        isNotNull();
        expected.failure(actual, DataType.FLOAT32).ifPresent(text -> failWithMessage("%s", text));
        return this;
    }

    /** The array. */
    @Override
    public String toString() {
        return "An assertion on " + Arrays.toString(actual);
    }
}
