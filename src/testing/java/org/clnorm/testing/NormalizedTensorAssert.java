package org.clnorm.testing;

import java.util.Objects;
import org.assertj.core.api.AbstractAssert;
import org.clnorm.Tensor;

/**
 * AssertJ's assertion on any object, which can also be asserted to be what a normalization makes of a tensor. Of one that is stored in
 * 16 bits an element may be one rounding to them further off.
 */
public final class NormalizedTensorAssert extends AbstractAssert<NormalizedTensorAssert, Tensor>
        implements NormalizationAssert<NormalizedTensorAssert> {
    NormalizedTensorAssert(Tensor actual) {
        super(actual, NormalizedTensorAssert.class);
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException when the tensor or its device is closed
     */
    @Override
    public NormalizedTensorAssert is(ExpectedNormalization expected) {
        Objects.requireNonNull(expected, "expected");
        isNotNull();
        expected.otherThan(actual.shape(), actual.layout()).ifPresent(text -> failWithMessage("%s", text));
        expected.failure(actual.download(), actual.type()).ifPresent(text -> failWithMessage("%s", text));
        return this;
    }

    /** The tensor. */
    @Override
    public String toString() {
        return "An assertion on " + actual;
    }
}
