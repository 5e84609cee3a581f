package org.clnorm.faults;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.ForwardPass;
import org.clnorm.LastVirtualBatch;
import org.clnorm.LayerNorm;
import org.clnorm.Layout;
import org.clnorm.Mask;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Normalizer;
import org.clnorm.Optimizer;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.optim.Adam;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;

/**
 * A program that opens a device, builds a layer and trains it for two steps, cut into calls each of which can be made again after
 * it failed. What comes of it goes into {@link #results}.
 */
final class TrainingProgram implements AutoCloseable {
    static final int ROUNDS = 2;

    /** The step of a round that may enter the running statistics. */
    static final String FORWARD = "forward";

    private static final String COUNT = "num_batches_tracked";

    /** What is trained, and how. */
    enum Kind {
        FUSED("cpu-fused", device -> BatchNorm.builder(6).build(device)),
        SPLIT("cpu-split", device -> BatchNorm.builder(6).build(device)),
        LAYER_NORM(null, device -> LayerNorm.builder(7).build(device)),
        /** Whose programs are not in the cache, and all of whose elements are of 16 bits. */
        FROM_SOURCE(
                "gpu-split",
                device -> BatchNorm.builder(6).activation(Activation.RELU).build(device)),
        RECORDED(null, device -> BatchNorm.builder(6).build(device)),
        /** On what several devices would do: moments and sums that the host has in between. */
        HALVES(null, device -> BatchNorm.builder(6).build(device)),
        THROWING(
                "cpu-split",
                device -> BatchNorm.builder(6).nonFinite(NonFinitePolicy.THROW).build(device)),
        MASKED(null, device -> BatchNorm.builder(6).build(device)),
        /** Whose passes are made of two. */
        VIRTUAL("gpu-cached", device -> BatchNorm.builder(6)
                .virtualBatch(3, LastVirtualBatch.RUNNING)
                .build(device)),
        /** Whose passes are made of others, too. */
        POSITIONS(null, device -> LayerNorm.overChannels(6).build(device));

        private final String strategy;
        private final Function<Device, Normalizer> layer;

        Kind(String strategy, Function<Device, Normalizer> layer) {
            this.strategy = strategy;
            this.layer = layer;
        }
    }

    /** One call, or a few that a program would make again together. */
    record Step(String name, Runnable call) {}

    /** γ and β, and what the running statistics are and how many batches they have seen. */
    record State(List<Integer> parameters, long batches, List<Integer> running) {}

    private final Kind kind;
    private final Map<String, List<Integer>> results = new LinkedHashMap<>();
    private final List<Step> steps = new ArrayList<>();
    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private Device device;
    private Tensor witness;
    private Mask mask;
    private Normalizer layer;
    private Optimizer optimizer;
    private Tensor x;
    private Tensor y;
    private Tensor dy;
    private Tensor dx;
    private ForwardPass pass;
    private Supplier<ChannelMoments> moments;
    private Supplier<GradientSums> sums;
    private ChannelMoments allMoments;
    private GradientSums allSums;

    TrainingProgram(Kind kind) {
        this.kind = kind;
        add(
                "open a device",
                () -> device = opened(Device.builder()
                        .select(System.getenv("CLNORM_DEVICE") == null ? "0:0" : System.getenv("CLNORM_DEVICE"))
                        .strategy(kind.strategy)
                        .kernelCache(kind != Kind.FROM_SOURCE)
                        .open()));
        add("upload a tensor", () -> witness = opened(device.upload(values(100), shape(), Layout.CHANNELS_FIRST)));
        add("build a layer", () -> layer = opened(kind.layer.apply(device)));
        add(
                "build an optimizer",
                () -> optimizer = opened(Optimizer.builder(Adam.rate(0.01))
                        .add(layer)
                        .clipNorm(1)
                        .build(device)));
        if (kind == Kind.MASKED) {
            add("make a mask", () -> mask = opened(Mask.of(device, 4, 35, Mask.Outside.ZERO)));
        }
        add("upload x", () -> x = opened(uploaded(1)));
        add("make y", () -> y = opened(device.tensor(shape(), Layout.CHANNELS_FIRST, type())));
        add("upload dy", () -> dy = opened(uploaded(3)));
        add("make dx", () -> dx = opened(device.tensor(shape(), Layout.CHANNELS_FIRST, type())));
        for (int round = 0; round < ROUNDS; round++) {
            addRound(round);
        }
    }

    private void addRound(int round) {
        if (kind == Kind.MASKED) {
            add("set the mask", () -> {
                mask.setLengths(35, 20 + round, 7, 0);
                ((BatchNorm) layer).mask(mask);
            });
        }
        if (kind == Kind.RECORDED) {
            add(FORWARD, () -> pass = opened(layer.record(x, y)));
            add("backward", () -> pass.backward(dy, dx));
            add("close the pass", () -> {
                pass.close();
                open.remove(pass);
            });
        } else if (kind == Kind.HALVES) {
            BatchNormCalls calls = new BatchNormCalls();
            add("start moments", calls::startMoments);
            add("await moments", () -> allMoments = moments.get());
            add(FORWARD, calls::forward);
            add("start sums", calls::startSums);
            add("await sums", () -> allSums = sums.get());
            add("backward", calls::backward);
        } else {
            add(FORWARD, () -> layer.forward(x, y));
            add("backward", () -> layer.backward(dy, dx));
        }
        add("optimizer step", () -> optimizer.step());
        add("download", () -> {
            results.put("y " + round, bits(y.download()));
            results.put("dx " + round, bits(dx.download()));
        });
        add("upload again", () -> x.upload(values(1)));
        add("save", () -> {
            StateDict state = layer.stateDict();
            for (String name : List.of("weight", "bias")) {
                results.put(name + " " + round, bits(array(state, name).toFloats()));
            }
            StateDict moments = optimizer.stateDict();
            moments.names()
                    .forEach(name ->
                            results.put("optimizer " + name + " " + round, bits(numbers(array(moments, name)))));
        });
    }

    /** Calls that batch normalization alone has. */
    private final class BatchNormCalls {
        private BatchNorm norm() {
            return (BatchNorm) layer;
        }

        void startMoments() {
            moments = norm().startMoments(x);
        }

        void forward() {
            norm().forwardCombined(x, null, y, allMoments);
        }

        void startSums() {
            sums = norm().startGradientSums(dy);
        }

        void backward() {
            norm().backwardCombined(dy, dx, null, allSums);
        }
    }

    private void add(String name, Runnable call) {
        steps.add(new Step(name, call));
    }

    private <T extends AutoCloseable> T opened(T made) {
        open.push(made);
        return made;
    }

    private Shape shape() {
        return kind == Kind.VIRTUAL ? Shape.of(7, 6) : Shape.of(4, 6, 5, 7);
    }

    private DataType type() {
        return kind == Kind.FROM_SOURCE ? DataType.FLOAT16 : DataType.FLOAT32;
    }

    private Tensor uploaded(int seed) {
        return device.upload(values(seed), shape(), Layout.CHANNELS_FIRST, type());
    }

    private float[] values(int seed) {
        float[] values = new float[(int) shape().elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) Math.sin(seed * (i + 1.0));
        }
        return values;
    }

    List<Step> steps() {
        return steps;
    }

    /** What the calls gave. */
    Map<String, List<Integer>> results() {
        return results;
    }

    boolean hasDevice() {
        return device != null;
    }

    boolean hasWitness() {
        return witness != null;
    }

    /** Whether a tensor that no call but its upload is about is as it was uploaded. */
    boolean witnessIsWell() {
        return Arrays.equals(witness.download(), values(100));
    }

    /** What a program asks of a device that may be gone. */
    void ask() {
        device.finish();
    }

    /** That of the layer, or null before there is one. */
    State state() {
        if (layer == null) {
            return null;
        }
        StateDict state = layer.stateDict();
        List<Integer> parameters = new ArrayList<>();
        for (Parameter parameter : layer.parameters()) {
            parameters.addAll(bits(array(state, parameter.name()).toFloats()));
        }
        if (state.get(COUNT).isEmpty()) {
            return new State(parameters, 0, List.of());
        }
        List<Integer> running = bits(array(state, "running_mean").toFloats());
        running.addAll(bits(array(state, "running_var").toFloats()));
        return new State(parameters, array(state, COUNT).toLongs()[0], running);
    }

    private static StateArray array(StateDict state, String name) {
        return state.get(name).orElseThrow();
    }

    private static float[] numbers(StateArray array) {
        return array.type().isFloat() ? array.toFloats() : new float[] {array.toLongs()[0]};
    }

    private static List<Integer> bits(float[] values) {
        List<Integer> bits = new ArrayList<>();
        for (float value : values) {
            bits.add(Float.floatToRawIntBits(value));
        }
        return bits;
    }

    /** Closes all, what was opened last at first. */
    @Override
    public void close() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }
}
