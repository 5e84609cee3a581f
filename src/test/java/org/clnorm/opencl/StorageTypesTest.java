package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.DataType.BFLOAT16;
import static org.clnorm.DataType.FLOAT16;
import static org.clnorm.DataType.FLOAT32;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.TestDevice;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.reference.ReferenceBackend;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Tensors of 16-bit elements under every strategy, a training step and an evaluation, held against the reference. */
final class StorageTypesTest {
    /** Of the largest magnitude of an array, or of what it is the sum of. */
    private static final double BOUND = 1e-6;

    /**
     * What is computed.
     *
     * @param input of x and dx
     * @param output of y and dy
     */
    private record Case(Normalization normalization, Shape shape, Layout layout, DataType input, DataType output) {
        DataType typeOf(String result) {
            return result.endsWith("dx") ? input : result.endsWith("y") ? output : FLOAT32;
        }
    }

    private record Result(Map<String, float[]> arrays) {}

    /**
     * One type for each strategy, since a type is the loads and stores of it, the same in all of them, and compiling takes
     * far longer than running; and a mixed pass for one of each family.
     */
    private static Stream<Case> cases(TestDevice strategy) {
        DataType type =
                switch (strategy) {
                    case CPU_SPLIT, GPU_FUSED -> BFLOAT16;
                    default -> FLOAT16;
                };
        boolean mixes = strategy == TestDevice.CPU_SPLIT || strategy == TestDevice.GPU_SPLIT;
        List<Case> cases = new ArrayList<>();
        Normalization layer = new Normalization(new Grouping.Rows(1, true), Statistic.CENTERED);
        for (Shape shape : List.of(Shape.of(5, 12, 7, 7), Shape.of(2, 8, 33, 31), Shape.of(8, 24))) {
            for (Layout layout : Layout.values()) {
                cases.add(new Case(Normalization.BATCH, shape, layout, type, type));
                cases.add(new Case(layer, shape, layout, type, type));
            }
        }
        Normalization group = new Normalization(new Grouping.Channels(2), Statistic.CENTERED);
        for (Layout layout : Layout.values()) {
            cases.add(new Case(group, Shape.of(2, 8, 33, 31), layout, type, type));
        }
        if (mixes) {
            // What a kernel does with two types is the loads and stores of each: one shape shows it.
            cases.add(new Case(layer, Shape.of(2, 8, 33, 31), Layout.CHANNELS_FIRST, BFLOAT16, FLOAT32));
        }
        return cases.stream();
    }

    @ParameterizedTest
    @EnumSource(value = TestDevice.class, names = "REFERENCE", mode = EnumSource.Mode.EXCLUDE)
    void step_of16BitElements_isTheReferencesRounded(TestDevice strategy) {
        check(strategy, cases(strategy));
    }

    private static void check(TestDevice strategy, Stream<Case> cases) {
        try (OpenClBackend backend = DefaultDevice.open(strategy.strategy());
                ReferenceBackend reference = new ReferenceBackend()) {
            List<String> wrong = new ArrayList<>();
            cases.forEach(c -> {
                Map<String, float[]> got = run(backend, c).arrays();
                Map<String, float[]> expected = run(reference, c).arrays();
                expected.forEach((name, values) -> {
                    // Gradients of gamma are sums of terms of either sign, which may all come out small by chance.
                    double sums = name.endsWith("gamma") ? Math.sqrt((double) c.shape.elements() / values.length) : 0;
                    double error = error(values, got.get(name), sums, c.typeOf(name));
                    if (!(error <= BOUND)) {
                        wrong.add(c + " " + name + ": " + error);
                    }
                });
            });
            assertThat(wrong).as("results that are not the reference's").isEmpty();
        }
    }

    private static double error(float[] expected, float[] got, double least, DataType type) {
        // Where a result lies next to the middle between two elements, the two may take one each.
        double step = type == FLOAT16 ? 0x1p-10 : type == BFLOAT16 ? 0x1p-7 : 0;
        double scale = Math.max(least, 1e-3);
        double worst = 0;
        for (float value : expected) {
            scale = Math.max(scale, Math.abs(value));
        }
        for (int i = 0; i < expected.length; i++) {
            double error = Math.abs((double) expected[i] - got[i]) - step * Math.abs((double) expected[i]);
            worst = error <= worst ? worst : error; // NaN is the worst
        }
        return worst / scale;
    }

    private static Result run(Backend backend, Case c) {
        Map<String, float[]> results = new LinkedHashMap<>();
        List<Memory> memory = new ArrayList<>();
        SplittableRandom random = new SplittableRandom(7);
        Shape shape = c.shape;
        Normalization norm = c.normalization;
        long n = shape.elements();
        long affine = norm.grouping().affine(shape, c.layout) * (norm.perSample() ? shape.batch() : 1);
        long channels = shape.channels();
        Operand x = filled(backend, memory, random, n, 3, 1, c.input);
        Operand dy = filled(backend, memory, random, n, 0.3, 1, c.output);
        Operand gamma = filled(backend, memory, random, affine, 1, 0.4);
        Operand beta = norm.statistic() == Statistic.CENTERED ? filled(backend, memory, random, affine, 0, 0.5) : null;
        Operand mean = filled(backend, memory, random, channels, 3, 0.1);
        Operand variance = filled(backend, memory, random, channels, 1, 0.1);
        Operand absorbed = filled(backend, memory, random, channels, 5, 0);
        Operand y = room(backend, memory, n, c.output);
        Operand dx = room(backend, memory, n, c.input);
        Operand dgamma = filled(backend, memory, random, affine, 1, 1);
        Operand dbeta = beta == null ? null : filled(backend, memory, random, affine, 1, 1);
        boolean perChannel = norm.grouping() instanceof Grouping.Batch
                || norm.grouping() instanceof Grouping.Channels instance && instance.groups() == channels;
        boolean byElement = norm.grouping().affineByElement();
        RunningUpdate running =
                perChannel ? new RunningUpdate(RunningAverage.exponential(0.25), RunningVariance.UNBIASED) : null;
        Operands training = forward(x, y, gamma, beta);
        if (running != null) {
            training.put(Role.RUNNING_MEAN, mean)
                    .put(Role.RUNNING_VARIANCE, variance)
                    .put(Role.ABSORBED, absorbed);
        }
        Operands inference = forward(x, y, gamma, beta).put(Role.MEAN, mean).put(Role.VARIANCE, variance);
        Operands gradient = new Operands()
                .put(Role.DY, dy)
                .put(Role.X, x)
                .put(Role.GAMMA, byElement ? gamma : null)
                .put(Role.BETA, byElement ? beta : null)
                .put(Role.DX, dx)
                .put(Role.DGAMMA, dgamma)
                .put(Role.DBETA, dbeta);
        try (Coefficients coefficients = backend.newCoefficients(norm, shape, c.layout)) {
            backend.run(
                    new ForwardTraining(
                            norm,
                            shape,
                            c.layout,
                            training.types(),
                            Activation.NONE,
                            1e-5,
                            running,
                            NonFinitePolicy.PROPAGATE),
                    training,
                    coefficients);
            results.put("y", read(backend, y, n));
            if (running != null) {
                results.put("running mean", read(backend, mean, channels));
                results.put("running variance", read(backend, variance, channels));
            }
            for (boolean frozen : new boolean[] {false, true}) {
                if (frozen) {
                    if (running == null) {
                        break;
                    }
                    backend.fill(mean, channels, 3.1f); // not what the step left, which differs by a rounding
                    backend.fill(variance, channels, 0.9f);
                    backend.run(
                            new ForwardInference(norm, shape, c.layout, inference.types(), Activation.NONE, 1e-5),
                            inference,
                            coefficients);
                    results.put("frozen y", read(backend, y, n));
                }
                backend.run(
                        new Backward(norm, shape, c.layout, gradient.types(), frozen, Activation.NONE, 1e-5, false),
                        gradient,
                        coefficients);
                String prefix = frozen ? "frozen " : "";
                results.put(prefix + "dx", read(backend, dx, n));
                results.put(prefix + "dgamma", read(backend, dgamma, affine));
                if (dbeta != null) {
                    results.put(prefix + "dbeta", read(backend, dbeta, affine));
                }
            }
        }
        memory.forEach(Memory::close);
        return new Result(results);
    }

    private static Operands forward(Operand x, Operand y, Operand gamma, Operand beta) {
        return new Operands()
                .put(Role.X, x)
                .put(Role.Y, y)
                .put(Role.GAMMA, gamma)
                .put(Role.BETA, beta);
    }

    private static Operand room(Backend backend, List<Memory> memory, long elements, DataType type) {
        Memory one = backend.allocate(elements, type);
        memory.add(one);
        return new Operand(one, 0, type);
    }

    private static Operand filled(
            Backend backend, List<Memory> memory, SplittableRandom random, long elements, double mean, double sigma) {
        return filled(backend, memory, random, elements, mean, sigma, FLOAT32);
    }

    private static Operand filled(
            Backend backend,
            List<Memory> memory,
            SplittableRandom random,
            long elements,
            double mean,
            double sigma,
            DataType type) {
        float[] values = new float[(int) elements];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (mean + sigma * random.nextGaussian());
        }
        Operand operand = room(backend, memory, elements, type);
        if (type == FLOAT32) {
            backend.write(operand, FloatBuffer.wrap(values));
        } else {
            backend.write(operand, ShortBuffer.wrap(type.half().encode(values)));
        }
        return operand;
    }

    private static float[] read(Backend backend, Operand from, long elements) {
        if (from.type() != FLOAT32) {
            short[] bits = new short[(int) elements];
            backend.read(from, ShortBuffer.wrap(bits));
            return from.type().half().decode(bits);
        }
        float[] values = new float[(int) elements];
        backend.read(from, FloatBuffer.wrap(values));
        return values;
    }
}
