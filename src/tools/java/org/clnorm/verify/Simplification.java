package org.clnorm.verify;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import org.clnorm.DataType;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.InPlace;
import org.clnorm.verify.VerifierCase.Mode;
import org.clnorm.verify.VerifierCase.Placement;

/** A way in which a case that fails may be made a simpler one, that is a case too. */
enum Simplification {
    /** Batch normalization, where it was another over channels. */
    BATCH(c -> c.normalization().grouping() instanceof Grouping.Rows
                    || c.normalization().grouping() instanceof Grouping.Positions
            ? c
            : with(c, Normalization.BATCH, c.data(), c.affine(), c.fusion(), c.average(), c.policy(), c.type())),
    FLOAT32(c ->
            with(c, c.normalization(), c.data(), c.affine(), c.fusion(), c.average(), c.policy(), DataType.FLOAT32)),
    /** Nothing fused, and no mask. */
    PLAIN(c -> c.inPlace() == InPlace.Y_IS_RESIDUAL || c.inPlace() == InPlace.DRESIDUAL_IS_DY
            ? c
            : with(c, c.normalization(), c.data(), c.affine(), Fusion.PLAIN, c.average(), c.policy(), c.type())),
    NOT_IN_PLACE(c -> with(c, c.shape(), c.mode(), InPlace.NOTHING, c.placement())),
    ALIGNED(c -> with(c, c.shape(), c.mode(), c.inPlace(), Placement.ALIGNED)),
    NOT_ACCUMULATING(c -> with(c, c.shape(), Mode.TRAINING.with(c.mode().training), c.inPlace(), c.placement())),
    NO_AFFINE(c -> with(c, c.normalization(), c.data(), Affine.NONE, c.fusion(), c.average(), c.policy(), c.type())),
    /** Without running statistics, unless what they are is needed. */
    UNTRACKED(c -> c.normalization().renormalization() != null
            ? c
            : with(
                    c,
                    c.normalization(),
                    c.data(),
                    c.affine(),
                    c.fusion(),
                    RunningAverage.none(),
                    NonFinitePolicy.PROPAGATE,
                    c.type())),
    NORMAL_DATA(
            c -> with(c, c.normalization(), Data.NORMAL, c.affine(), c.fusion(), c.average(), c.policy(), c.type())),
    HALF_0(c -> smaller(c, 0, true)),
    HALF_1(c -> smaller(c, 1, true)),
    HALF_2(c -> smaller(c, 2, true)),
    HALF_3(c -> smaller(c, 3, true)),
    HALF_4(c -> smaller(c, 4, true)),
    LESS_0(c -> smaller(c, 0, false)),
    LESS_1(c -> smaller(c, 1, false)),
    LESS_2(c -> smaller(c, 2, false)),
    LESS_3(c -> smaller(c, 3, false)),
    LESS_4(c -> smaller(c, 4, false));

    private final UnaryOperator<VerifierCase> to;

    Simplification(UnaryOperator<VerifierCase> to) {
        this.to = to;
    }

    /** The simpler case; empty where it is the same. */
    Optional<VerifierCase> of(VerifierCase c) {
        VerifierCase simpler = to.apply(c);
        return simpler.equals(c) ? Optional.empty() : Optional.of(simpler);
    }

    String word() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** A case with some of these made to it, one after the other. */
    static VerifierCase all(VerifierCase c, List<String> words) {
        VerifierCase simpler = c;
        for (String word : words) {
            simpler = of(word).to.apply(simpler);
        }
        return simpler;
    }

    private static Simplification of(String word) {
        return Arrays.stream(values())
                .filter(each -> each.word().equals(word))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("--simplified must be of "
                        + Arrays.stream(values()).map(Simplification::word).collect(Collectors.joining(", "))
                        + ", but given was '" + word + "'"));
    }

    private static VerifierCase with(
            VerifierCase c,
            Normalization normalization,
            Data data,
            Affine affine,
            Fusion fusion,
            RunningAverage average,
            NonFinitePolicy policy,
            DataType type) {
        return c.with(normalization, data, affine, fusion, average, c.estimate(), policy, type);
    }

    private static VerifierCase with(VerifierCase c, Shape shape, Mode mode, InPlace inPlace, Placement placement) {
        return new VerifierCase(
                c.seed(),
                c.normalization(),
                shape,
                c.layout(),
                mode,
                c.data(),
                c.affine(),
                c.fusion(),
                c.average(),
                c.estimate(),
                c.policy(),
                inPlace,
                placement,
                c.type());
    }

    /** With a dimension less, where that leaves what is normalized as it is: not the channels of groups, nor virtual batches. */
    private static VerifierCase smaller(VerifierCase c, int dimension, boolean half) {
        boolean fixed = dimension == 1 && c.normalization().grouping() instanceof Grouping.Channels
                || dimension == 0 && c.normalization().grouping() instanceof Grouping.Batch batch && batch.isVirtual();
        if (fixed || dimension >= c.shape().rank() || c.shape().dimension(dimension) < 2) {
            return c;
        }
        long[] dimensions = new long[c.shape().rank()];
        Arrays.setAll(dimensions, d -> c.shape().dimension(d));
        dimensions[dimension] = half ? (dimensions[dimension] + 1) / 2 : dimensions[dimension] - 1;
        Shape shape = Shape.of(dimensions);
        boolean enough = shape.batch() * shape.spatial() > 1
                && (!(c.normalization().grouping() instanceof Grouping.Positions) || shape.channels() > 1)
                && (!(c.normalization().grouping() instanceof Grouping.Channels run)
                        || shape.channels() / run.groups() * shape.spatial() > 1);
        return enough ? with(c, shape, c.mode(), c.inPlace(), c.placement()) : c;
    }
}
