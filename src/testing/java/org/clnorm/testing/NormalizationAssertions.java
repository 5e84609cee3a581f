package org.clnorm.testing;

import java.util.Objects;
import org.assertj.core.api.Assertions;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Assertions on what a forward pass computed, in the place of AssertJ's own {@code Assertions}, whose methods it has, too:
 *
 * <pre>{@code
 * import static org.clnorm.testing.NormalizationAssertions.*;
 *
 * assertThat(y).isBatchNormOf(x, shape, layout);
 * assertThat(y).is(batchNormOf(x, shape, layout).gamma(gamma).beta(beta).epsilon(1e-3));
 * }</pre>
 *
 * <p>Do not import {@code assertThat} from both classes: to the compiler a call with a {@code float[]} would be ambiguous.
 *
 * <p>x, y, γ and β are float32 arrays in the order of memory. x and y have the elements of a shape (N, C, spatial...) of 2 to 5
 * dimensions, at least one element, in a layout.
 */
public final class NormalizationAssertions extends Assertions {
    /** The distance from 1 to the next float32, as PyTorch has it and {@link org.clnorm.RmsNorm} too. */
    private static final double RMS_EPSILON = 0x1p-23;

    private static final double EPSILON = 1e-5;

    private NormalizationAssertions() {}

    /**
     * Begins an assertion on an array.
     *
     * @param actual the array, may be null
     */
    public static NormalizedArrayAssert assertThat(float[] actual) {
        return new NormalizedArrayAssert(actual);
    }

    /**
     * Begins an assertion on a tensor, which is read back when it is compared. Its shape and layout must be those of x.
     *
     * @param actual the tensor, may be null
     */
    public static NormalizedTensorAssert assertThat(Tensor actual) {
        return new NormalizedTensorAssert(actual);
    }

    /**
     * What batch normalization makes of x: one mean and variance for each channel, γ and β of C elements. ε is 1e-5 unless said.
     *
     * @param x in the order of memory; the array may be changed at once
     * @param shape of x, (N, C, spatial...)
     * @param layout of x
     * @throws IllegalArgumentException when x has other than the shape's elements, or none, or the shape not 2 to 5 dimensions
     */
    public static ExpectedNormalization batchNormOf(float[] x, Shape shape, Layout layout) {
        return ExpectedNormalization.of("batch norm", Normalization.BATCH, EPSILON, x, shape, layout);
    }

    /**
     * What instance normalization makes of x: one mean and variance for each channel of each sample, γ and β of C elements. ε is
     * 1e-5 unless said.
     *
     * @param x in the order of memory; the array may be changed at once
     * @param shape of x, (N, C, spatial...)
     * @param layout of x
     * @throws IllegalArgumentException as {@link #batchNormOf(float[], Shape, Layout)} says
     */
    public static ExpectedNormalization instanceNormOf(float[] x, Shape shape, Layout layout) {
        ExpectedNormalization.check(x, shape, layout);
        return ExpectedNormalization.of(
                "instance norm", ofChannels(Math.toIntExact(shape.channels())), EPSILON, x, shape, layout);
    }

    /**
     * What group normalization makes of x: one mean and variance for each run of C/groups neighbouring channels of each sample, γ
     * and β of C elements. ε is 1e-5 unless said.
     *
     * @param x in the order of memory; the array may be changed at once
     * @param shape of x, (N, C, spatial...)
     * @param layout of x
     * @param groups of the channels of a sample; divides C
     * @throws IllegalArgumentException when the groups do not divide C, and as {@link #batchNormOf(float[], Shape, Layout)} says
     */
    public static ExpectedNormalization groupNormOf(float[] x, Shape shape, Layout layout, int groups) {
        ExpectedNormalization.check(x, shape, layout);
        if (groups < 1 || shape.channels() % groups != 0) {
            throw new IllegalArgumentException(
                    "groups must divide the " + shape.channels() + " channels, but is " + groups);
        }
        return ExpectedNormalization.of(
                "group norm of " + groups + " groups", ofChannels(groups), EPSILON, x, shape, layout);
    }

    /**
     * What layer normalization makes of x: one mean and variance for each row, that is over the last dimensions in the order of
     * memory, γ and β of a row's elements. ε is 1e-5 unless said.
     *
     * @param x in the order of memory; the array may be changed at once
     * @param shape of x, (N, C, spatial...)
     * @param layout of x
     * @param normalizedDimensions those of a row, in the order of memory, as {@link org.clnorm.LayerNorm#builder} takes them; none for
     *     the last one only
     * @throws IllegalArgumentException when x does not end in these dimensions, and as {@link #batchNormOf(float[], Shape, Layout)}
     *     says
     */
    public static ExpectedNormalization layerNormOf(
            float[] x, Shape shape, Layout layout, long... normalizedDimensions) {
        int dimensions = ExpectedNormalization.rowDimensions(x, shape, layout, normalizedDimensions);
        return ExpectedNormalization.of(
                "layer norm", ofRows(dimensions, Statistic.CENTERED), EPSILON, x, shape, layout);
    }

    /**
     * What layer normalization over channels makes of x: one mean and variance for each position of each sample, γ and β of C
     * elements, as {@link org.clnorm.LayerNorm#overChannels} has it. ε is 1e-5 unless said.
     *
     * @param x in the order of memory; the array may be changed at once
     * @param shape of x, (N, C, spatial...)
     * @param layout of x
     * @throws IllegalArgumentException as {@link #batchNormOf(float[], Shape, Layout)} says
     */
    public static ExpectedNormalization layerNormOverChannelsOf(float[] x, Shape shape, Layout layout) {
        Normalization positions = new Normalization(new Grouping.Positions(), Statistic.CENTERED);
        return ExpectedNormalization.of("layer norm over channels", positions, EPSILON, x, shape, layout);
    }

    /**
     * What RMS normalization makes of x: each row, as of layer normalization, over the root of its mean square + ε, γ of a row's
     * elements. ε is 2⁻²³ unless said.
     *
     * @param x in the order of memory; the array may be changed at once
     * @param shape of x, (N, C, spatial...)
     * @param layout of x
     * @param normalizedDimensions those of a row, in the order of memory, as {@link org.clnorm.RmsNorm#builder} takes them; none for the
     *     last one only
     * @throws IllegalArgumentException when x does not end in these dimensions, and as {@link #batchNormOf(float[], Shape, Layout)}
     *     says
     */
    public static ExpectedNormalization rmsNormOf(float[] x, Shape shape, Layout layout, long... normalizedDimensions) {
        int dimensions = ExpectedNormalization.rowDimensions(x, shape, layout, normalizedDimensions);
        return ExpectedNormalization.of(
                "RMS norm", ofRows(dimensions, Statistic.ROOT_MEAN_SQUARE), RMS_EPSILON, x, shape, layout);
    }

    /** The same of a tensor, as {@link #batchNormOf(float[], Shape, Layout)}; it is read back at once. */
    public static ExpectedNormalization batchNormOf(Tensor x) {
        return batchNormOf(values(x), x.shape(), x.layout());
    }

    /** The same of a tensor, as {@link #instanceNormOf(float[], Shape, Layout)}; it is read back at once. */
    public static ExpectedNormalization instanceNormOf(Tensor x) {
        return instanceNormOf(values(x), x.shape(), x.layout());
    }

    /** The same of a tensor, as {@link #groupNormOf(float[], Shape, Layout, int)}; it is read back at once. */
    public static ExpectedNormalization groupNormOf(Tensor x, int groups) {
        return groupNormOf(values(x), x.shape(), x.layout(), groups);
    }

    /** The same of a tensor, as {@link #layerNormOf(float[], Shape, Layout, long...)}; it is read back at once. */
    public static ExpectedNormalization layerNormOf(Tensor x, long... normalizedDimensions) {
        return layerNormOf(values(x), x.shape(), x.layout(), normalizedDimensions);
    }

    /** The same of a tensor, as {@link #layerNormOverChannelsOf(float[], Shape, Layout)}; it is read back at once. */
    public static ExpectedNormalization layerNormOverChannelsOf(Tensor x) {
        return layerNormOverChannelsOf(values(x), x.shape(), x.layout());
    }

    /** The same of a tensor, as {@link #rmsNormOf(float[], Shape, Layout, long...)}; it is read back at once. */
    public static ExpectedNormalization rmsNormOf(Tensor x, long... normalizedDimensions) {
        return rmsNormOf(values(x), x.shape(), x.layout(), normalizedDimensions);
    }

    private static float[] values(Tensor x) {
        return Objects.requireNonNull(x, "x").download();
    }

    private static Normalization ofChannels(int groups) {
        return new Normalization(new Grouping.Channels(groups), Statistic.CENTERED);
    }

    private static Normalization ofRows(int dimensions, Statistic statistic) {
        return new Normalization(new Grouping.Rows(dimensions, true), statistic);
    }
}
