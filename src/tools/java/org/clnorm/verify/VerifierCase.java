package org.clnorm.verify;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.reference.ReferenceNormalization;

/**
 * A forward pass and its backward pass, with all that may make a difference to a kernel.
 *
 * @param seed of the input data
 * @param type of x, y, the residual and their gradients
 * @param average how the batch enters the running statistics; of no kind for a training pass without them
 */
record VerifierCase(
        long seed,
        Normalization normalization,
        Shape shape,
        Layout layout,
        Mode mode,
        Data data,
        Affine affine,
        Fusion fusion,
        RunningAverage average,
        RunningVariance estimate,
        NonFinitePolicy policy,
        InPlace inPlace,
        Placement placement,
        DataType type) {

    /** Whose statistics normalize, and what happens to the gradients of γ and β that are there. */
    enum Mode {
        TRAINING(true, false),
        TRAINING_ACCUMULATING(true, true),
        INFERENCE(false, false),
        INFERENCE_ACCUMULATING(false, true);

        final boolean training;
        final boolean accumulates;

        Mode(boolean training, boolean accumulates) {
            this.training = training;
            this.accumulates = accumulates;
        }

        /** The same with the batch's own statistics, or given ones. */
        Mode with(boolean own) {
            return own
                    ? accumulates ? TRAINING_ACCUMULATING : TRAINING
                    : accumulates ? INFERENCE_ACCUMULATING : INFERENCE;
        }
    }

    /** What x looks like. */
    enum Data {
        NORMAL("normal data", 0),
        MEAN_1E3("mean 1e3 sigma", 1e3),
        MEAN_1E4("mean 1e4 sigma", 1e4),
        MEAN_1E5("mean 1e5 sigma", 1e5),
        /** Every third group has one value only. */
        CONSTANT("constant groups", 0),
        /** Everything is an integer or a power of two, the mean is one of the former, and so the results are floats. */
        EXACT("exact data", 0),
        /** One group has a NaN, another an infinity. */
        NON_FINITE("a NaN and an infinity", 0),
        /** Of which the squares are no float32, though what comes of them is. */
        LARGE("values of 1e30", 0),
        /** Of which the squares are 0 as float32, and so it is without ε. */
        SMALL("values of 1e-30", 0);

        /** Those that come in turn with all other options. */
        static final List<Data> USUAL = List.of(values()).subList(0, LARGE.ordinal());

        /** Those near the ends of float32. */
        static final List<Data> ENDS = List.of(LARGE, SMALL);

        final String label;
        /** In standard deviations. */
        final double mean;

        Data(String label, double mean) {
            this.label = label;
            this.mean = mean;
        }
    }

    /** Which of γ and β there are. */
    enum Affine {
        NONE("no affine", false, false),
        GAMMA("gamma", true, false),
        BETA("beta", false, true),
        BOTH("gamma and beta", true, true);

        final String label;
        final boolean gamma;
        final boolean beta;

        Affine(String label, boolean gamma, boolean beta) {
            this.label = label;
            this.gamma = gamma;
            this.beta = beta;
        }
    }

    /** What is fused, and what of it a backward pass gets and gives: each combination is a binary of its own. */
    enum Fusion {
        PLAIN("", Activation.NONE, false, false, false),
        RELU("relu", Activation.RELU, false, false, false),
        RELU_OF_Y("relu, y given back", Activation.RELU, false, true, false),
        RESIDUAL("residual", Activation.NONE, true, false, true),
        RESIDUAL_WITHOUT_GRADIENT("residual without gradient", Activation.NONE, true, false, false),
        RESIDUAL_RELU("residual and relu", Activation.RELU, true, true, true),
        RESIDUAL_RELU_WITHOUT_GRADIENT("residual without gradient and relu", Activation.RELU, true, true, false),
        LEAKY_RELU("leaky-relu", Activation.leakyRelu(0.125), false, false, false),
        RESIDUAL_LEAKY_RELU("residual and leaky-relu", Activation.LEAKY_RELU, true, true, true),
        RELU6("relu6", Activation.RELU6, false, false, false),
        RESIDUAL_RELU6("residual and relu6", Activation.RELU6, true, true, true),
        SIGMOID("sigmoid", Activation.SIGMOID, false, false, false),
        RESIDUAL_SIGMOID("residual and sigmoid", Activation.SIGMOID, true, true, true),
        TANH("tanh", Activation.TANH, false, false, false),
        RESIDUAL_TANH("residual and tanh", Activation.TANH, true, true, true),
        SILU("silu", Activation.SILU, false, false, false),
        RESIDUAL_SILU("residual and silu", Activation.SILU, true, false, true),
        GELU("gelu", Activation.GELU, false, false, false),
        RESIDUAL_GELU("residual and gelu", Activation.GELU, true, false, true),
        GELU_TANH("gelu-tanh", Activation.GELU_TANH, false, false, false),
        RESIDUAL_GELU_TANH("residual and gelu-tanh", Activation.GELU_TANH, true, false, true),
        HARD_SWISH("hard-swish", Activation.HARD_SWISH, false, false, false),
        RESIDUAL_HARD_SWISH("residual and hard-swish", Activation.HARD_SWISH, true, false, true),
        /** The residual is added to x before anything else, and something comes past in the backward pass. */
        ADDED("residual added before", Activation.NONE, true, false, false),
        ADDED_RELU("residual added before, and relu", Activation.RELU, true, false, false),
        /** Something comes past in the backward pass. */
        PAST("a gradient that came past", Activation.NONE, false, false, false),
        PAST_RESIDUAL_RELU("residual and relu and a gradient that came past", Activation.RELU, true, true, true),
        /** Some steps take no part. */
        MASKED("masked", Activation.NONE, false, false, false),
        MASKED_RELU("masked, relu", Activation.RELU, false, false, false),
        MASKED_RESIDUAL_RELU("masked, residual and relu", Activation.RELU, true, true, true),
        MASKED_RESIDUAL_SILU("masked, residual and silu", Activation.SILU, true, false, true);

        final String label;
        final Activation activation;
        final boolean residual;
        final boolean givesY;
        final boolean residualGradient;

        /** Those that most layers have. */
        static final List<Fusion> COMMON = List.of(PLAIN, RELU, RESIDUAL_RELU);

        /** Those that are said by arguments, or a mask. */
        static final List<Fusion> USUAL = List.of(values()).subList(0, LEAKY_RELU.ordinal());

        /** Those of {@code activations.clh}. */
        static final List<Fusion> OTHERS = List.of(values()).subList(LEAKY_RELU.ordinal(), ADDED.ordinal());

        /** Those that add to x, or to its gradient. */
        static final List<Fusion> ADDITIONS = List.of(values()).subList(ADDED.ordinal(), MASKED.ordinal());

        /** Those where some steps take no part. */
        static final List<Fusion> MASKS = List.of(values()).subList(MASKED.ordinal(), values().length);

        Fusion(String label, Activation activation, boolean residual, boolean givesY, boolean residualGradient) {
            this.label = label;
            this.activation = activation;
            this.residual = residual;
            this.givesY = givesY;
            this.residualGradient = residualGradient;
        }

        /** Whether a backward pass gets the residual, in y's place. */
        boolean givesResidual() {
            return residual && !activation.kind().isByOutput();
        }

        /** Whether what is normalized is the sum of x and the residual. */
        boolean addsBefore() {
            return this == ADDED || this == ADDED_RELU;
        }

        /** Whether the residual is added to what was normalized. */
        boolean addsAfter() {
            return residual && !addsBefore();
        }

        boolean hasPast() {
            return ADDITIONS.contains(this);
        }

        boolean isMasked() {
            return MASKS.contains(this);
        }
    }

    /** Which output takes the place of an input, where the case has both. */
    enum InPlace {
        NOTHING("", false, false, false, false),
        /** Or the sum, where there is one. */
        Y_IS_X("y in place of x", true, false, false, false),
        Y_IS_RESIDUAL("y in place of the residual", false, true, false, false),
        DX_IS_DY("dx in place of dy", false, false, true, false),
        DRESIDUAL_IS_DY("dresidual in place of dy", false, false, false, true),
        Y_IS_X_AND_DX_IS_DY("y in place of x, dx of dy", true, false, true, false),
        /** Of which the backward pass has x again. */
        Y_IS_X_FOR_GOOD("y in place of x, which is had from it", true, false, false, false);

        final String label;
        final boolean yIsX;
        final boolean yIsResidual;
        final boolean dxIsDy;
        final boolean dresidualIsDy;

        InPlace(String label, boolean yIsX, boolean yIsResidual, boolean dxIsDy, boolean dresidualIsDy) {
            this.label = label;
            this.yIsX = yIsX;
            this.yIsResidual = yIsResidual;
            this.dxIsDy = dxIsDy;
            this.dresidualIsDy = dresidualIsDy;
        }
    }

    /**
     * Which arrays start at 64-byte lines; the others all start at different odd elements. Inputs are the last in their
     * memory where outputs are aligned.
     */
    enum Placement {
        ALIGNED("aligned", true, true),
        ODD("odd offsets", false, false),
        ODD_INPUTS("odd offsets of inputs", false, true),
        ODD_OUTPUTS("odd offsets of outputs", true, false);

        final String label;
        final boolean alignedInputs;
        final boolean alignedOutputs;

        Placement(String label, boolean alignedInputs, boolean alignedOutputs) {
            this.label = label;
            this.alignedInputs = alignedInputs;
            this.alignedOutputs = alignedOutputs;
        }
    }

    /** The same with one of the fusions that most layers have, for binaries that differ in how memory is gone over only. */
    VerifierCase withCommonFusion() {
        Fusion common =
                Fusion.USUAL.contains(fusion) ? Fusion.COMMON.get(fusion.ordinal() % Fusion.COMMON.size()) : fusion;
        return with(normalization, data, affine, common, average, estimate, policy);
    }

    /**
     * The same with elements of a type. Of 16 bits, none tell values apart that lie thousands of deviations from 0; and at a
     * thousand, x may be the mean, of which a y of 16 bits does not say on which side of 0 it came out, so it is given back; or,
     * with a mask or an addition before, the mean is 0.
     */
    VerifierCase storedAs(DataType other) {
        Data its = other == DataType.FLOAT32
                ? data
                : switch (data) {
                    case EXACT, LARGE, SMALL -> Data.NORMAL;
                    case MEAN_1E4, MEAN_1E5 -> Data.MEAN_1E3;
                    default -> data;
                };
        boolean far = its == Data.MEAN_1E3 && other != DataType.FLOAT32;
        its = far && (fusion == Fusion.MASKED_RELU || fusion == Fusion.ADDED_RELU) ? Data.NORMAL : its;
        boolean lost = far && fusion == Fusion.RELU;
        return with(normalization, its, affine, lost ? Fusion.RELU_OF_Y : fusion, average, estimate, policy, other);
    }

    /** Without running statistics, with no output in an input's place, of float32 at vectors' boundaries. */
    static VerifierCase usual(
            long seed,
            Normalization normalization,
            Shape shape,
            Layout layout,
            Mode mode,
            Data data,
            Affine affine,
            Fusion fusion) {
        return new VerifierCase(
                seed,
                normalization,
                shape,
                layout,
                mode,
                data,
                affine,
                fusion,
                RunningAverage.none(),
                RunningVariance.UNBIASED,
                NonFinitePolicy.PROPAGATE,
                InPlace.NOTHING,
                Placement.ALIGNED,
                DataType.FLOAT32);
    }

    /** The same as another normalization, which some options are not for. */
    VerifierCase with(
            Normalization other,
            Data itsData,
            Affine itsAffine,
            Fusion itsFusion,
            RunningAverage itsAverage,
            RunningVariance itsEstimate,
            NonFinitePolicy itsPolicy) {
        return with(other, itsData, itsAffine, itsFusion, itsAverage, itsEstimate, itsPolicy, type);
    }

    /** The same, stored as another type. */
    VerifierCase with(
            Normalization other,
            Data itsData,
            Affine itsAffine,
            Fusion itsFusion,
            RunningAverage itsAverage,
            RunningVariance itsEstimate,
            NonFinitePolicy itsPolicy,
            DataType itsType) {
        return new VerifierCase(
                seed,
                other,
                shape,
                layout,
                mode,
                itsData,
                itsAffine,
                itsFusion,
                itsAverage,
                itsEstimate,
                itsPolicy,
                inPlace,
                placement,
                itsType);
    }

    /** Equal for cases that have most of their binaries in common, and near for those that have many. */
    String family() {
        boolean rows = normalization.grouping() instanceof Grouping.Rows;
        boolean positions = normalization.grouping() instanceof Grouping.Positions;
        boolean columns = !rows && (layout == Layout.CHANNELS_LAST || shape.spatial() == 1);
        long values = rows ? elements() / groups().groups() : valuesPerChannel();
        return String.format(
                Locale.ROOT,
                "%s %s %s %s %02d",
                rows ? "rows" : positions ? "positions" : columns ? "columns" : "runs",
                fusion,
                rows ? affine : mode.training,
                placement == Placement.ALIGNED,
                Long.numberOfTrailingZeros(Long.highestOneBit(Math.max(1, values))));
    }

    int channels() {
        return (int) shape.channels();
    }

    int elements() {
        return (int) shape.elements();
    }

    /** m. */
    long valuesPerChannel() {
        return shape.batch() * shape.spatial();
    }

    /** The channel of the element at a place in memory. */
    int channelOf(int element) {
        return (int)
                (layout == Layout.CHANNELS_FIRST
                        ? element / shape.spatial() % shape.channels()
                        : element % shape.channels());
    }

    /** Which elements share x's own statistics, and which γ and β they have. */
    ReferenceNormalization groups() {
        return new ReferenceNormalization(normalization, shape, layout);
    }

    /** How many steps there are for a mask: positions of samples, or rows. */
    int steps() {
        return (int)
                (normalization.grouping() instanceof Grouping.Rows rows
                        ? rows.groups(shape, layout)
                        : shape.batch() * shape.spatial());
    }

    /** Of how many steps a mask says the number: of each sample, where those have statistics of their own. */
    boolean countsBySample() {
        return mode.training && normalization.grouping() instanceof Grouping.Channels;
    }

    /** Whether statistics and sums go by way of the host, as those of several devices do; a few cases' do. */
    boolean isCombined() {
        return seed % 8 == 3
                && isPlain()
                && !fusion.hasPast()
                && inPlace != InPlace.Y_IS_X_FOR_GOOD
                && mode.training
                && policy != NonFinitePolicy.THROW
                && data != Data.NON_FINITE;
    }

    /** Whether it is batch normalization and nothing more. */
    boolean isPlain() {
        return normalization.equals(Normalization.BATCH);
    }

    /** How many elements γ and β have each. */
    int affineElements() {
        long samples = normalization.perSample() ? shape.batch() : 1;
        return (int) (samples * normalization.grouping().affine(shape, layout));
    }

    /** How many means the forward pass shows; 0 where groups are neither rows nor channels over the whole batch. */
    int shownGroups() {
        return normalization.grouping() instanceof Grouping.Rows rows
                ? (int) rows.groups(shape, layout)
                : normalization.grouping() instanceof Grouping.Batch batch && !batch.isVirtual() ? channels() : 0;
    }

    /** Whether the forward pass is given statistics of its own that it does not update. */
    boolean takesStatistics() {
        return !mode.training || normalization.grouping().givenSamples(shape) > 0 && !updatesRunning();
    }

    boolean updatesRunning() {
        return mode.training && average.isTracked();
    }

    /** Exact data is so without ε only, and small data would be nothing beside it. Of a length it is the least, which a row of zeros does not have. */
    double epsilon() {
        if (normalization.statistic() == Statistic.LENGTH) {
            return data == Data.SMALL ? 1e-29 : seed % 2 == 0 ? 0 : 1e-12; // of small rows about twice the length
        }
        return data == Data.EXACT || data == Data.SMALL ? 0 : seed % 2 == 0 ? 1e-5 : 1e-3;
    }

    private String label() {
        List<String> words = new ArrayList<>();
        if (normalization.grouping() instanceof Grouping.Rows rows) {
            words.add("rows of " + rows.dimensions() + " dimensions with affine by "
                    + (rows.affineByElement() ? "element" : "row"));
        } else if (normalization.grouping() instanceof Grouping.Channels channels) {
            words.add(channels.groups() + " groups of channels");
        } else if (normalization.grouping() instanceof Grouping.Positions) {
            words.add("positions");
        } else if (((Grouping.Batch) normalization.grouping()).isVirtual()) {
            Grouping.Batch batch = (Grouping.Batch) normalization.grouping();
            words.add("virtual batches of " + batch.samples()
                    + switch (batch.rest()) {
                        case OWN -> "";
                        case MERGED -> " with the rest in the last";
                        case GIVEN -> " and given statistics for the rest";
                    });
        }
        if (normalization.statistic() != Statistic.CENTERED) {
            words.add(normalization.statistic().name().toLowerCase(Locale.ROOT).replace('_', ' '));
        }
        if (normalization.perSample()) {
            words.add("affine per sample");
        }
        if (normalization.renormalization() != null) {
            words.add("renormalized within r " + normalization.renormalization().rMax() + " and d "
                    + normalization.renormalization().dMax());
        }
        return String.join(", ", words);
    }

    /** Whether a group of zeros would be divided by its length. */
    boolean dividesByZero() {
        return normalization.statistic() == Statistic.LENGTH && epsilon() == 0;
    }

    /** In words, with all that it takes to find it again. */
    String describe() {
        List<String> words = new ArrayList<>();
        words.add((mode.training ? "training " : "inference ") + shape + " " + layout);
        words.add(isPlain() ? "" : label());
        words.add(isCombined() ? "by way of the host" : "");
        words.add(type == DataType.FLOAT32 ? "" : type.toString());
        words.add(data.label);
        words.add(affine.label);
        words.add(fusion.label);
        if (updatesRunning()) {
            words.add(average.kind().name().toLowerCase(Locale.ROOT).replace('_', ' ') + " " + estimate
                    + " running statistics");
        }
        if (mode.training) {
            words.add("policy " + policy.name().toLowerCase(Locale.ROOT).replace('_', ' '));
        }
        words.add(mode.accumulates ? "accumulating" : "");
        words.add(inPlace.label);
        words.add(placement.label);
        words.add("seed " + seed);
        words.removeIf(String::isEmpty);
        return String.join(", ", words);
    }
}
