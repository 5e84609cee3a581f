package org.clnorm.testing;

import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;

/**
 * What is asserted of the y of a forward pass. It is compared with the CPU reference, in double precision, element by element. Each
 * may be as far off as float32 rounding explains for these numbers: 10⁻⁵ to 10⁻⁴ for groups of a dozen to some thousand values about
 * 0, and more where means are many deviations from 0; docs/check.md has the formula. {@link ExpectedNormalization#tolerance} and
 * {@link ExpectedNormalization#within} change that.
 *
 * <p>The methods without an {@link ExpectedNormalization} are for a γ of 1, a β of 0 and the usual ε.
 *
 * <p>A failure is an {@link AssertionError} that says how many elements are off, which one is the furthest off, what it is and should
 * be, and what the mistake likely is where the wrong values tell it.
 *
 * @param <S> the type of the assertion itself
 */
public interface NormalizationAssert<S extends NormalizationAssert<S>> {
    /**
     * Asserts that y is what a normalization makes of x.
     *
     * @param expected which normalization, of what; see {@link NormalizationAssertions}
     * @throws AssertionError when it is not
     * @throws IllegalArgumentException when γ, β or a running statistic has not as many elements as it must
     */
    S is(ExpectedNormalization expected);

    /** Asserts that y is {@link NormalizationAssertions#batchNormOf(float[], Shape, Layout)}. */
    default S isBatchNormOf(float[] x, Shape shape, Layout layout) {
        return is(NormalizationAssertions.batchNormOf(x, shape, layout));
    }

    /** Asserts that y is {@link NormalizationAssertions#batchNormOf(Tensor)}. */
    default S isBatchNormOf(Tensor x) {
        return is(NormalizationAssertions.batchNormOf(x));
    }

    /** Asserts that y is {@link NormalizationAssertions#instanceNormOf(float[], Shape, Layout)}. */
    default S isInstanceNormOf(float[] x, Shape shape, Layout layout) {
        return is(NormalizationAssertions.instanceNormOf(x, shape, layout));
    }

    /** Asserts that y is {@link NormalizationAssertions#instanceNormOf(Tensor)}. */
    default S isInstanceNormOf(Tensor x) {
        return is(NormalizationAssertions.instanceNormOf(x));
    }

    /** Asserts that y is {@link NormalizationAssertions#groupNormOf(float[], Shape, Layout, int)}. */
    default S isGroupNormOf(float[] x, Shape shape, Layout layout, int groups) {
        return is(NormalizationAssertions.groupNormOf(x, shape, layout, groups));
    }

    /** Asserts that y is {@link NormalizationAssertions#groupNormOf(Tensor, int)}. */
    default S isGroupNormOf(Tensor x, int groups) {
        return is(NormalizationAssertions.groupNormOf(x, groups));
    }

    /** Asserts that y is {@link NormalizationAssertions#layerNormOf(float[], Shape, Layout, long...)}. */
    default S isLayerNormOf(float[] x, Shape shape, Layout layout, long... normalizedDimensions) {
        return is(NormalizationAssertions.layerNormOf(x, shape, layout, normalizedDimensions));
    }

    /** Asserts that y is {@link NormalizationAssertions#layerNormOf(Tensor, long...)}. */
    default S isLayerNormOf(Tensor x, long... normalizedDimensions) {
        return is(NormalizationAssertions.layerNormOf(x, normalizedDimensions));
    }

    /** Asserts that y is {@link NormalizationAssertions#rmsNormOf(float[], Shape, Layout, long...)}. */
    default S isRmsNormOf(float[] x, Shape shape, Layout layout, long... normalizedDimensions) {
        return is(NormalizationAssertions.rmsNormOf(x, shape, layout, normalizedDimensions));
    }

    /** Asserts that y is {@link NormalizationAssertions#rmsNormOf(Tensor, long...)}. */
    default S isRmsNormOf(Tensor x, long... normalizedDimensions) {
        return is(NormalizationAssertions.rmsNormOf(x, normalizedDimensions));
    }
}
