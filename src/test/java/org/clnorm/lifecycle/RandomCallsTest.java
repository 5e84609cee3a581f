package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.ForwardPass;
import org.clnorm.Layout;
import org.clnorm.RunningAverage;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Calls by chance, sensible and not, on a device and on the CPU reference side by side: each ends alike on both, with the same
 * numbers or with the same exception, and nothing ends the process. The reference is the model: what is open, what was gone back
 * through, what may follow what.
 */
class RandomCallsTest {
    /** In all; more by {@code -Dclnorm.calls=100000}. */
    private static final int CALLS = Integer.getInteger("clnorm.calls", 6000);

    private static final int CHANNELS = 5;
    private static final List<Shape> SHAPES = List.of(
            Shape.of(4, CHANNELS), Shape.of(3, CHANNELS, 7), Shape.of(2, CHANNELS, 4, 4), Shape.of(1, CHANNELS, 33));

    /** So many are left open. */
    private static final int MOST_PASSES = 3;

    /** Of values about 1, whose gradients are sums of some ten. */
    private static final double BOUND = 1e-4;

    /** What a call may do. */
    private interface Call {
        /** What it gives; empty for nothing. */
        float[] on(World world);
    }

    /** What came of it. */
    private record Outcome(String exception, float[] values) {}

    /** The same things on either device, by number. */
    private static final class World {
        private final Device device;
        private final Tensor[] tensors = new Tensor[6];
        private final BatchNorm[] layers = new BatchNorm[2];
        private final Deque<ForwardPass> passes = new ArrayDeque<>();
        private ChannelMoments moments = ChannelMoments.empty(CHANNELS);

        World(Device device) {
            this.device = device;
            for (int i = 0; i < tensors.length; i++) {
                tensors[i] = device.tensor(SHAPES.get(i % SHAPES.size()), Layout.CHANNELS_FIRST);
            }
            for (int i = 0; i < layers.length; i++) {
                layers[i] = BatchNorm.builder(CHANNELS).build(device);
            }
        }

        private Outcome run(Call call) {
            try {
                return new Outcome("", call.on(this));
            } catch (IllegalStateException | IllegalArgumentException e) {
                return new Outcome(e.getClass().getSimpleName(), NOTHING);
            }
        }

        private void close() {
            Arrays.stream(tensors).forEach(Tensor::close);
            Arrays.stream(layers).forEach(BatchNorm::close);
        }
    }

    private static final float[] NOTHING = {};

    /** One thread's calls. */
    private static final class Script {
        private final SplittableRandom random;
        private final List<String> last = new ArrayList<>();

        Script(long seed) {
            this.random = new SplittableRandom(seed);
        }

        private float[] values(Shape shape) {
            float[] values = new float[(int) shape.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) random.nextGaussian();
            }
            return values;
        }

        private Call next() {
            int t = random.nextInt(6);
            int u = random.nextInt(6);
            int v = random.nextInt(6);
            int l = random.nextInt(2);
            boolean residual = random.nextInt(3) == 0;
            Shape shape = SHAPES.get(random.nextInt(SHAPES.size()));
            Layout layout = Layout.values()[random.nextInt(8) / 7];
            int what = random.nextInt(100);
            String words = "";
            Call call;
            if (what < 18) {
                words = "upload " + t + " " + shape;
                float[] values = values(shape);
                call = w -> {
                    w.tensors[t].close();
                    w.tensors[t] = w.device.upload(values, shape, layout);
                    return NOTHING;
                };
            } else if (what < 21) {
                words = "close tensor " + t;
                call = w -> {
                    w.tensors[t].close();
                    return NOTHING;
                };
            } else if (what < 25) {
                Activation activation = residual ? Activation.SIGMOID : Activation.NONE;
                RunningAverage average = random.nextBoolean() ? RunningAverage.exponential(0.1) : RunningAverage.none();
                boolean accumulates = random.nextInt(4) == 0;
                words = "open layer " + l;
                call = w -> {
                    w.layers[l].close();
                    w.layers[l] = BatchNorm.builder(CHANNELS)
                            .activation(activation)
                            .runningAverage(average)
                            .accumulateGradients(accumulates)
                            .build(w.device);
                    return NOTHING;
                };
            } else if (what < 26) {
                words = "close layer " + l;
                call = w -> {
                    w.layers[l].close();
                    return NOTHING;
                };
            } else if (what < 46) {
                words = "forward " + t + " " + u + (residual ? " + " + v : "") + " of layer " + l;
                call = w -> {
                    w.layers[l].forward(w.tensors[t], residual ? w.tensors[v] : null, w.tensors[u]);
                    return w.tensors[u].download();
                };
            } else if (what < 60) {
                words = "backward " + t + " " + u + (residual ? " and " + v : "") + " of layer " + l;
                call = w -> {
                    w.layers[l].backward(w.tensors[t], w.tensors[u], residual ? w.tensors[v] : null);
                    return renewed(w, u, residual ? v : u);
                };
            } else if (what < 66) {
                words = "record " + t + " " + u + " of layer " + l;
                call = w -> {
                    w.passes.addLast(w.layers[l].record(w.tensors[t], residual ? w.tensors[v] : null, w.tensors[u]));
                    return w.tensors[u].download();
                };
            } else if (what < 72) {
                boolean isFirst = random.nextBoolean();
                words = "back through " + (isFirst ? "the first" : "the last") + " by " + t + " " + u;
                call = w -> {
                    if (w.passes.isEmpty()) {
                        return NOTHING;
                    }
                    (isFirst ? w.passes.getFirst() : w.passes.getLast()).backward(w.tensors[t], w.tensors[u]);
                    return renewed(w, u, u);
                };
            } else if (what < 77) {
                words = "close a pass";
                call = w -> {
                    if (w.passes.size() > MOST_PASSES) {
                        w.passes.removeFirst().close();
                    }
                    return NOTHING;
                };
            } else if (what < 82) {
                words = "eval, or train, " + l;
                boolean train = random.nextInt(3) > 0;
                call = w -> {
                    if (train) {
                        w.layers[l].train();
                    } else {
                        w.layers[l].eval();
                    }
                    return NOTHING;
                };
            } else if (what < 86) {
                boolean freeze = random.nextBoolean();
                words = "freeze, or not, " + l;
                call = w -> {
                    if (freeze) {
                        w.layers[l].gamma().orElseThrow().freeze();
                    } else {
                        w.layers[l].gamma().orElseThrow().unfreeze();
                    }
                    return NOTHING;
                };
            } else if (what < 89) {
                words = "state of " + l + " to the other";
                call = w -> {
                    w.layers[1 - l].loadState(w.layers[l].stateDict());
                    return NOTHING;
                };
            } else if (what < 92) {
                words = "running mean of " + l;
                call = w -> w.layers[l].runningMean().map(Tensor::download).orElse(NOTHING);
            } else if (what < 95) {
                words = "moments of " + t + " by layer " + l;
                call = w -> {
                    w.moments = w.layers[l].moments(w.tensors[t]);
                    return floats(w.moments.mean());
                };
            } else if (what < 97) {
                words = "forward by moments " + t + " " + u + " of layer " + l;
                call = w -> {
                    w.layers[l].forwardCombined(w.tensors[t], null, w.tensors[u], w.moments);
                    GradientSums sums = w.layers[l].gradientSums(w.tensors[v]);
                    w.layers[l].backwardCombined(w.tensors[v], w.tensors[v], null, sums);
                    return renewed(w, v, v);
                };
            } else if (what < 99) {
                words = "gradient of gamma of " + l;
                call = w -> w.layers[l].gamma().orElseThrow().gradient().download();
            } else {
                words = "close what a layer owns, " + l;
                call = w -> {
                    w.layers[l].runningMean().ifPresent(Tensor::close);
                    w.layers[l].gamma().orElseThrow().gradient().close();
                    return NOTHING;
                };
            }
            last.add(words);
            if (last.size() > 12) {
                last.remove(0);
            }
            return call;
        }

        /**
         * What a gradient is, which is then made new: by itself it may be nothing but rounding, and a normalization of that is not
         * the same anywhere.
         */
        private float[] renewed(World w, int one, int other) {
            float[] values = w.tensors[one].download();
            float[] fresh = new float[values.length];
            for (int i = 0; i < fresh.length; i++) {
                fresh[i] = (float) Math.sin(i * 1.7 + one);
            }
            w.tensors[one].upload(fresh);
            if (other != one) {
                float[] more = new float[(int) w.tensors[other].shape().elements()];
                for (int i = 0; i < more.length; i++) {
                    more[i] = (float) Math.cos(i * 1.3 + other);
                }
                w.tensors[other].upload(more);
            }
            return values;
        }
    }

    private static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }

    private static void run(Device device, long seed, int calls, int[] ended) {
        Script script = new Script(seed);
        World world = new World(device);
        try (Device reference = Device.cpuReference()) {
            World model = new World(reference);
            for (int i = 0; i < calls; i++) {
                Call call = script.next();
                Outcome expected = model.run(call);
                Outcome actual = world.run(call);
                String where = "seed " + seed + ", call " + i + ", after " + script.last;
                assertThat(actual.exception()).as(where).isEqualTo(expected.exception());
                assertClose(where, actual.values(), expected.values());
                ended[expected.exception().isEmpty() ? 0 : 1]++;
            }
            model.close();
        } finally {
            world.close();
        }
    }

    private static void assertClose(String where, float[] actual, float[] expected) {
        assertThat(actual).as(where).hasSameSizeAs(expected);
        double largest = 1;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        for (int i = 0; i < expected.length; i++) {
            boolean same = Float.compare(actual[i], expected[i]) == 0
                    || Math.abs((double) actual[i] - expected[i]) <= BOUND * largest;
            if (!same) {
                assertThat(actual[i]).as("element %d, %s", i, where).isEqualTo(expected[i]);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8})
    void calls_byChance_endAsOnTheReference(int threads) throws Exception {
        Device device = TestDevice.AUTO.device();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        int[][] ended = new int[threads][2];
        try {
            List<Future<?>> running = new ArrayList<>();
            for (int thread = 0; thread < threads; thread++) {
                int which = thread;
                running.add(pool.submit(() -> run(device, 1000L * threads + which, CALLS / 3 / threads, ended[which])));
            }
            for (Future<?> each : running) {
                each.get(10, TimeUnit.MINUTES);
            }
        } finally {
            pool.shutdownNow();
        }
        assertThat(Arrays.stream(ended).mapToInt(each -> each[0]).sum())
                .as("calls that did something")
                .isGreaterThan(CALLS / 3 / 4);
        assertThat(Arrays.stream(ended).mapToInt(each -> each[1]).sum())
                .as("calls that were refused")
                .isGreaterThan(CALLS / 3 / 50);
    }
}
