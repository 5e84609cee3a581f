package org.clnorm.check;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.IntToDoubleFunction;
import org.clnorm.Layout;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Operation;
import org.clnorm.reference.ReferenceBatchNorm;
import org.clnorm.reference.ReferenceNormalization;
import org.clnorm.reference.ReferenceNormalization.Statistics;

/**
 * One call of a kernel: how large its tensors are, and what is in them. The same each time.
 *
 * @param binding what the kernel computes
 * @param dimensions of its tensors
 * @param data what its numbers are like
 */
public record CheckCase(Binding binding, Dimensions dimensions, Data data) {
    /** Beyond so many elements there are two cases of a shape, so that all together take a minute. */
    private static final long LARGE = 100_000;

    private static final float[] CONSTANTS = {0.1f, 7, 0, -33};

    /**
     * All cases of a binding, those of small tensors first.
     *
     * @param quick whether those of the largest shapes are left out
     * @throws IllegalArgumentException where no shape goes with the binding's groups
     */
    public static List<CheckCase> all(Binding binding, boolean quick) {
        List<CheckCase> cases = new ArrayList<>();
        for (Dimensions dimensions : shapes(binding)) {
            boolean large = dimensions.elements() > LARGE;
            for (Data data : Data.values()) {
                if (!large || isOfLarge(data) && !(quick && binding.shapes().isEmpty())) {
                    cases.add(new CheckCase(binding, dimensions, data));
                }
            }
        }
        if (cases.isEmpty()) {
            throw new IllegalArgumentException("no shape has channels that groups = " + binding.groups()
                    + " divides; name some with the key shapes");
        }
        return cases;
    }

    private static boolean isOfLarge(Data data) {
        return data == Data.NORMAL || data == Data.OFFSET;
    }

    private static List<Dimensions> shapes(Binding binding) {
        Set<Dimensions> shapes = new LinkedHashSet<>(); // rounded up, some are the same
        if (!binding.shapes().isEmpty()) {
            binding.shapes().forEach(shape -> addGrouped(binding, shape, false, shapes));
        } else {
            boolean rows = binding.operation().isOfRows();
            for (int[] sizes : Dimensions.all(rows)) {
                Dimensions shape = rows ? Dimensions.ofRows(sizes[0], sizes[1]) : Dimensions.ofChannels(sizes, 1);
                addGrouped(binding, shape.roundedUp(binding.multiples(), rows), true, shapes);
            }
            // Of a single value, normalizing leaves nothing, and frameworks refuse it.
            boolean own = !rows && binding.direction() != Direction.INFERENCE;
            shapes.removeIf(shape -> own && shape.names(binding.operation()).get("M") < 2);
        }
        return List.copyOf(shapes);
    }

    private static void addGrouped(Binding binding, Dimensions shape, boolean mayGrow, Set<Dimensions> shapes) {
        if (binding.operation() != Operation.GROUP_NORM) {
            shapes.add(shape);
            return;
        }
        Map<String, Double> names = new TreeMap<>(shape.names(binding.operation()));
        names.putAll(binding.constants());
        long groups = binding.groups().whole(names);
        int channels = shape.channels();
        if (groups > 0
                && groups <= 1 << 20
                && mayGrow
                && binding.groups().names().stream().noneMatch("C"::equals)) {
            long step = groups;
            while (step % binding.multiples().getOrDefault("C", 1) != 0) {
                step += groups;
            }
            channels = (int) ((channels + step - 1) / step * step);
        }
        if (groups > 0 && channels % groups == 0) {
            shapes.add(new Dimensions(shape.samples(), channels, shape.spatial(), (int) groups));
        }
    }

    /** What names in the binding's expressions stand for here. */
    Map<String, Double> names() {
        Map<String, Double> names = new TreeMap<>(dimensions.names(binding.operation()));
        names.putAll(binding.constants());
        names.put("epsilon", binding.epsilon());
        names.put("momentum", binding.momentum());
        return names;
    }

    Layout layout() {
        return binding.operation().isOfRows() ? Layout.CHANNELS_FIRST : binding.layout();
    }

    /** How elements are grouped, and what γ and β each has. */
    ReferenceNormalization reference() {
        Normalization normalization =
                switch (binding.operation()) {
                    case BATCH_NORM -> Normalization.BATCH;
                    case LAYER_NORM -> new Normalization(new Grouping.Rows(1, true), Statistic.CENTERED);
                    case RMS_NORM -> new Normalization(new Grouping.Rows(1, true), Statistic.ROOT_MEAN_SQUARE);
                    case GROUP_NORM ->
                        new Normalization(new Grouping.Channels(dimensions.groups()), Statistic.CENTERED);
                    case INSTANCE_NORM ->
                        new Normalization(new Grouping.Channels(dimensions.channels()), Statistic.CENTERED);
                };
        return new ReferenceNormalization(normalization, dimensions.shape(), layout());
    }

    /** How many elements an array has. */
    int elements(Part part, ReferenceNormalization reference) {
        return switch (part.size) {
            case TENSOR -> reference.elements();
            case AFFINE -> reference.affineElements();
            case GROUP -> reference.groups();
        };
    }

    /** What is in the arrays that the kernel reads, and that are updated, as they are stored. */
    Map<Part, float[]> inputs(ReferenceNormalization reference) {
        SplittableRandom random = new SplittableRandom(dimensions.hashCode() * 31L + data.ordinal());
        double sigma = data.sigma(binding.type());
        double far = data.mean(binding.type()) * sigma;
        double[] means = new double[reference.groups()];
        for (int g = 0; g < means.length; g++) {
            means[g] = (g % 2 == 0 ? 1 : -1) * far * (1 + 0.1 * (g % 3));
        }
        Map<Part, float[]> inputs = new EnumMap<>(Part.class);
        float[] x = floats(reference.elements(), i -> {
            int g = reference.groupOf(i);
            double value = means[g] + sigma * random.nextGaussian();
            return data == Data.CONSTANT && g % 2 == 0 ? CONSTANTS[g / 2 % CONSTANTS.length] : value;
        });
        if (data == Data.NAN) {
            putNan(x, reference, random);
        }
        inputs.put(Part.X, stored(x));
        for (Part part : binding.parts()) {
            if (part != Part.X && (!part.isWritten(binding.direction()) || part.isUpdated())) {
                int count = elements(part, reference);
                inputs.put(
                        part,
                        switch (part) {
                            case DY -> stored(floats(count, i -> 0.25 + random.nextGaussian()));
                            case GAMMA -> floats(count, i -> (i % 5 == 4 ? -1 : 1) * random.nextDouble(0.5, 1.5));
                            case BETA -> floats(count, i -> (i % 2 == 0 ? 1 : -1) * random.nextDouble(0.5, 2));
                            case RUNNING_MEAN -> floats(count, i -> means[i] + sigma * random.nextGaussian());
                            case RUNNING_VARIANCE -> floats(count, i -> sigma * sigma * random.nextDouble(0.5, 1.5));
                            default -> floats(count, i -> 0); // statistics: below
                        });
            }
        }
        putStatistics(inputs, means, sigma, reference, random);
        return inputs;
    }

    /** Statistics that are handed in: of inference any, of a backward pass those of x. */
    private void putStatistics(
            Map<Part, float[]> inputs,
            double[] means,
            double sigma,
            ReferenceNormalization reference,
            SplittableRandom random) {
        if (binding.direction() == Direction.FORWARD) {
            return;
        }
        double[] mean;
        double[] variance;
        if (binding.direction() == Direction.INFERENCE) {
            mean = new double[means.length];
            variance = new double[means.length];
            for (int g = 0; g < means.length; g++) {
                mean[g] = (float) (means[g] + 0.3 * sigma * random.nextGaussian());
                variance[g] = (float) (sigma * sigma * random.nextDouble(0.5, 1.5));
            }
        } else {
            Statistics own = reference.statistics(widen(inputs.get(Part.X)), binding.epsilon(), null);
            mean = own.mean();
            variance = own.variance();
        }
        double[] invstd = ReferenceBatchNorm.inverseStandardDeviation(variance, binding.epsilon());
        inputs.replace(Part.MEAN, floats(mean.length, i -> mean[i]));
        inputs.replace(Part.VARIANCE, floats(mean.length, i -> variance[i]));
        inputs.replace(Part.INVSTD, floats(mean.length, i -> invstd[i]));
    }

    private static void putNan(float[] x, ReferenceNormalization reference, SplittableRandom random) {
        int group = reference.groups() / 2;
        long which = random.nextLong(reference.valuesOf(group));
        for (int i = 0; i < x.length; i++) {
            if (reference.groupOf(i) == group && which-- == 0) {
                x[i] = Float.NaN;
            }
        }
    }

    /** As the elements of tensors hold them. */
    private float[] stored(float[] values) {
        for (int i = 0; i < values.length; i++) {
            values[i] = binding.type().round(values[i]);
        }
        return values;
    }

    static double[] widen(float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    private static float[] floats(int count, IntToDoubleFunction value) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) value.applyAsDouble(i);
        }
        return values;
    }

    /** The shape and the data, in a few words. */
    @Override
    public String toString() {
        return dimensions.describe(binding.operation()) + " " + data;
    }
}
