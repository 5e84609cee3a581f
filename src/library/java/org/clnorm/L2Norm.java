package org.clnorm;

import java.util.Objects;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;

/**
 * Scales each row of a tensor of 2 to 5 dimensions to length 1, as PyTorch's {@code torch.nn.functional.normalize}:
 *
 * <pre>y = x/max(‖x‖, ε) + residual</pre>
 *
 * A row is the last dimensions in the order of memory, and ‖x‖ its Euclidean length; see {@link LayerNorm} on rows.
 * There are no parameters, and training and evaluation are the same.
 */
public final class L2Norm extends Normalizer {
    private static final Options DEFAULTS =
            new Options().gamma(false).beta(false).epsilon(1e-12);

    /** The settings of a layer. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final int dimensions;
        private final Options options;

        private Builder(int dimensions, Options options) {
            this.dimensions = dimensions;
            this.options = options;
        }

        /**
         * Says how many dimensions a row has, the last ones in the order of memory; 1 unless said.
         *
         * @param dimensions 1 to 5
         * @throws IllegalArgumentException for fewer than 1 or more than 5
         */
        public Builder dimensions(int dimensions) {
            if (dimensions < 1 || dimensions > 5) {
                throw new IllegalArgumentException("dimensions must be 1 to 5, but given was " + dimensions);
            }
            return new Builder(dimensions, options);
        }

        /**
         * Sets ε, the least number that is divided by; 1e-12 unless said.
         *
         * @param epsilon 0, or a number from {@link Float#MIN_NORMAL} to {@link Float#MAX_VALUE}
         * @throws IllegalArgumentException for any other number
         */
        public Builder epsilon(double epsilon) {
            return new Builder(dimensions, options.epsilon(epsilon));
        }

        /**
         * Makes a layer.
         *
         * @param device the device that the layer works on
         * @throws IllegalStateException when the device is closed
         */
        public L2Norm build(Device device) {
            return new L2Norm(this, Objects.requireNonNull(device, "device"));
        }
    }

    private final Builder builder;
    private final int dimensions;
    private final Normalization own;

    private L2Norm(Builder builder, Device device) {
        super(
                device,
                builder.options,
                null,
                "normalization of the lengths of rows of " + builder.dimensions + " dimensions");
        this.builder = builder;
        this.dimensions = builder.dimensions;
        this.own = new Normalization(new Grouping.Rows(dimensions, true), Statistic.LENGTH);
    }

    @Override
    Normalizer twin() {
        return new L2Norm(builder, device());
    }

    /** A builder of a layer over rows of one dimension, with the defaults that the setters state. */
    public static Builder builder() {
        return new Builder(1, DEFAULTS);
    }

    @Override
    Normalization normalization(Shape shape, Layout layout, boolean perSample) {
        return own;
    }

    @Override
    void checkShape(Tensor x) {
        int rank = x.shape().rank();
        if (!RowShape.isLayerRank(rank) || rank < dimensions) {
            throw new IllegalArgumentException("x must have " + Math.max(2, dimensions)
                    + " to 5 dimensions, of which the last " + dimensions + " are a row, but given was " + x.shape());
        }
    }
}
