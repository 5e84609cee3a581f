package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.optim.Sgd;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;

/** Layers that share γ and β. */
@Timeout(120)
final class SharedParametersTest {
    private static final Shape SHAPE = Shape.of(3, 4, 6);
    private static final Layout LAYOUT = Layout.CHANNELS_LAST;
    private static final float[] GAMMA = {1.5f, -0.5f, 0.75f, 2};
    private static final float[] BETA = {0.25f, -1, 0, 0.5f};

    private final List<AutoCloseable> open = new ArrayList<>();

    private <T extends AutoCloseable> T keep(T made) {
        open.add(0, made);
        return made;
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }

    /** Layers of four channels, or rows of four. */
    private enum Kind {
        BATCH {
            @Override
            Normalizer build(Device device, Layer owner) {
                BatchNorm.Builder builder =
                        BatchNorm.builder(4).accumulateGradients(true).activation(Activation.SILU);
                return owner == null ? builder.build(device) : builder.buildSharing(owner);
            }
        },
        INSTANCE {
            @Override
            Normalizer build(Device device, Layer owner) {
                InstanceNorm.Builder builder = InstanceNorm.builder(4).accumulateGradients(true);
                return owner == null ? builder.build(device) : builder.buildSharing(owner);
            }
        },
        GROUP {
            @Override
            Normalizer build(Device device, Layer owner) {
                GroupNorm.Builder builder = GroupNorm.builder(2, 4).accumulateGradients(true);
                return owner == null ? builder.build(device) : builder.buildSharing(owner);
            }
        },
        LAYER {
            @Override
            Normalizer build(Device device, Layer owner) {
                LayerNorm.Builder builder = LayerNorm.builder(4).accumulateGradients(true);
                return owner == null ? builder.build(device) : builder.buildSharing(owner);
            }
        },
        RMS {
            @Override
            Normalizer build(Device device, Layer owner) {
                RmsNorm.Builder builder = RmsNorm.builder(4).accumulateGradients(true);
                return owner == null ? builder.build(device) : builder.buildSharing(owner);
            }
        };

        /** One that has another's γ and β; of null, its own. */
        abstract Normalizer build(Device device, Layer owner);
    }

    /** What a forward and a backward pass give. */
    private record Pass(float[] y, float[] dx) {
        static Pass of(Normalizer layer, Batch xs, Batch dys) {
            try (Tensor x = xs.on(layer.device());
                    Tensor dy = dys.on(layer.device());
                    Tensor y = layer.forward(x);
                    Tensor dx = layer.backward(dy)) {
                return new Pass(y.download(), dx.download());
            }
        }
    }

    private static void setParameters(Layer layer) {
        layer.gamma().orElseThrow().value().upload(GAMMA);
        layer.beta().ifPresent(beta -> beta.value().upload(BETA));
    }

    private BatchNorm owner(Device device) {
        return keep(BatchNorm.builder(4).accumulateGradients(true).build(device));
    }

    private BatchNorm sharing(Layer owner) {
        return keep(BatchNorm.builder(4).accumulateGradients(true).buildSharing(owner));
    }

    private static void assertRefused(ThrowingCallable call, String... words) {
        assertThatThrownBy(call)
                .isExactlyInstanceOf(IllegalStateException.class)
                .hasMessageContainingAll(words);
    }

    private static void assertWrong(ThrowingCallable call, String... words) {
        assertThatThrownBy(call)
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll(words);
    }

    @OnEveryDevice
    void backward_ofBothLayers_leavesTheSumOfTheReferencesGradients(TestDevice on) {
        Batch[] xs = {Batch.random(SHAPE, LAYOUT, 1), Batch.random(SHAPE, LAYOUT, 2)};
        Batch[] dys = {Batch.gradient(SHAPE, LAYOUT, 3), Batch.gradient(SHAPE, LAYOUT, 4)};
        for (Kind kind : Kind.values()) {
            Normalizer owner = keep(kind.build(on.device(), null));
            setParameters(owner);
            Normalizer sharing = keep(kind.build(on.device(), owner));
            assertThat(sharing.parameters()).isEqualTo(owner.parameters()).isNotEmpty();
            double[] dgamma = new double[4];
            double[] dbeta = new double[4];
            Normalizer[] layers = {owner, sharing};
            for (int i = 0; i < 2; i++) {
                Pass step = Pass.of(layers[i], xs[i], dys[i]);
                try (Normalizer alone = kind.build(TestDevice.REFERENCE.device(), null)) {
                    setParameters(alone);
                    Pass expected = Pass.of(alone, xs[i], dys[i]);
                    Closeness.assertWithin(kind + " y", step.y(), Closeness.wide(expected.y()), 2e-5);
                    Closeness.assertWithin(kind + " dx", step.dx(), Closeness.wide(expected.dx()), 2e-5);
                    add(dgamma, alone.gamma().orElseThrow());
                    alone.beta().ifPresent(beta -> add(dbeta, beta));
                }
            }
            Closeness.assertWithin(
                    kind + " dgamma", sharing.gamma().orElseThrow().gradient().download(), dgamma, 2e-5);
            owner.beta()
                    .ifPresent(beta -> Closeness.assertWithin(
                            kind + " dbeta", beta.gradient().download(), dbeta, 2e-5));
        }
    }

    private static void add(double[] to, Parameter parameter) {
        float[] gradient = parameter.gradient().download();
        for (int i = 0; i < to.length; i++) {
            to[i] += gradient[i];
        }
    }

    /** The loss Σdy·y of both layers is linear in γ and β where there is no activation, so that a step may be large. */
    @OnBothBackends
    void gradients_ofBothLayers_areTheSlopesOfTheSummedLoss(TestDevice on) {
        for (Kind kind : List.of(Kind.GROUP, Kind.LAYER, Kind.RMS)) {
            Normalizer owner = keep(kind.build(on.device(), null));
            Normalizer sharing = keep(kind.build(on.device(), owner));
            Pass.of(owner, Batch.random(SHAPE, LAYOUT, 1), Batch.gradient(SHAPE, LAYOUT, 51));
            Pass.of(sharing, Batch.random(SHAPE, LAYOUT, 2), Batch.gradient(SHAPE, LAYOUT, 52));
            double before = loss(owner, 1) + loss(sharing, 2);
            for (Parameter parameter : owner.parameters()) {
                float[] slopes = parameter.gradient().download();
                float[] values = parameter.value().download();
                for (int i = 0; i < values.length; i++) {
                    float[] moved = values.clone();
                    moved[i] += 4;
                    parameter.value().upload(moved);
                    assertThat((loss(owner, 1) + loss(sharing, 2) - before) / 4)
                            .as("%s of %s by element %d", kind, parameter, i)
                            .isCloseTo(slopes[i], within(1e-4));
                }
                parameter.value().upload(values);
            }
        }
    }

    private static double loss(Normalizer layer, long seed) {
        Batch dy = Batch.gradient(SHAPE, LAYOUT, seed + 50);
        double loss = 0;
        try (Tensor x = Batch.random(SHAPE, LAYOUT, seed).on(layer.device());
                Tensor y = layer.forward(x)) {
            float[] values = y.download();
            for (int i = 0; i < values.length; i++) {
                loss += (double) values[i] * dy.values()[i];
            }
        }
        return loss;
    }

    @OnBothBackends
    void forward_ofOne_leavesTheOthersStatisticsAndPass(TestDevice on) {
        BatchNorm owner = owner(on.device());
        BatchNorm sharing = sharing(owner);
        Tensor x = keep(Batch.random(SHAPE, LAYOUT, 1).on(on.device()));
        Tensor dy = keep(Batch.gradient(SHAPE, LAYOUT, 2).on(on.device()));
        keep(owner.forward(x));
        keep(sharing.forward(x));
        keep(sharing.forward(x));

        assertThat(owner.batchesTracked()).isEqualTo(1);
        assertThat(sharing.batchesTracked()).isEqualTo(2);
        assertThat(owner.runningMean().orElseThrow().download())
                .isNotEqualTo(sharing.runningMean().orElseThrow().download());
        sharing.eval();
        assertThat(owner.isTraining()).isTrue();
        assertThatCode(() -> keep(owner.backward(dy))).doesNotThrowAnyException();
    }

    @OnBothBackends
    void forward_ontoASharedParameter_isRefused(TestDevice on) {
        Normalizer owner = keep(Kind.GROUP.build(on.device(), null));
        Normalizer sharing = keep(Kind.GROUP.build(on.device(), owner));
        Tensor x = keep(on.device().upload(GAMMA, Shape.of(1, 4), Layout.CHANNELS_FIRST));
        Tensor y = owner.beta().orElseThrow().value().slice(0, x.shape(), x.layout());

        assertWrong(() -> sharing.forward(x, y), "the layer's own parameters");
    }

    @OnBothBackends
    void buildSharing_whatCannotBeShared_saysWhyAndLeavesTheOwner(TestDevice on) {
        BatchNorm owner = owner(on.device());
        setParameters(owner);

        assertWrong(
                () -> BatchNorm.builder(8).accumulateGradients(true).buildSharing(owner),
                "This batch normalization of 8 channels needs a gamma of shape (8), but the owner,"
                        + " batch normalization of 4 channels, has one of (4)");
        assertWrong(
                () -> LayerNorm.builder(2, 2).accumulateGradients(true).buildSharing(owner),
                "needs a gamma of shape (2, 2)");
        assertWrong(
                () -> BatchNorm.builder(4).buildSharing(owner),
                "must accumulate gradients",
                "this batch normalization of 4 channels does not");
        BatchNorm overwrites = keep(BatchNorm.builder(4).build(on.device()));
        assertWrong(
                () -> InstanceNorm.builder(4).accumulateGradients(true).buildSharing(overwrites),
                "the owner, batch normalization of 4 channels, does not");
        RmsNorm scales = keep(RmsNorm.builder(4).accumulateGradients(true).build(on.device()));
        assertWrong(
                () -> LayerNorm.builder(4).accumulateGradients(true).buildSharing(scales),
                "needs a beta of shape (4), but the owner, root mean square normalization over (4), has none");
        assertWrong(
                () -> GroupNorm.builder(2, 4)
                        .gamma(false)
                        .beta(false)
                        .accumulateGradients(true)
                        .buildSharing(owner),
                "has neither gamma nor beta");
        assertThat(owner.gamma().orElseThrow().value().download()).isEqualTo(GAMMA);

        LayerNorm half =
                keep(LayerNorm.builder(4).beta(false).accumulateGradients(true).buildSharing(scales));
        assertThat(half.parameters()).isEqualTo(scales.parameters());
        assertThat(half.beta()).isEmpty();
    }

    @OnBothBackends
    void freezeAndReset_ofASharedParameter_areForBoth(TestDevice on) {
        BatchNorm owner = owner(on.device());
        BatchNorm sharing = sharing(owner);
        sharing.gamma().orElseThrow().freeze();
        Batch x = Batch.random(SHAPE, LAYOUT, 1);
        Pass.of(owner, x, x);

        assertThat(owner.gamma().orElseThrow().isFrozen()).isTrue();
        assertThat(owner.gamma().orElseThrow().gradient().download()).containsOnly(0);
        assertThat(owner.beta().orElseThrow().gradient().download()).doesNotContain(0);

        setParameters(owner);
        sharing.reset();
        assertThat(owner.gamma().orElseThrow().value().download()).containsOnly(1);
        assertThat(owner.beta().orElseThrow().gradient().download()).containsOnly(0);
        assertThat(owner.batchesTracked()).as("statistics are its own").isEqualTo(1);
    }

    @OnBothBackends
    void prepare_ofASharingLayer_leavesTheParametersAndGradients(TestDevice on) {
        BatchNorm owner = owner(on.device());
        setParameters(owner);
        BatchNorm sharing = sharing(owner);

        sharing.prepare(SHAPE, LAYOUT);

        assertThat(owner.gamma().orElseThrow().value().download()).isEqualTo(GAMMA);
        assertThat(owner.gamma().orElseThrow().gradient().download()).containsOnly(0);
    }

    @OnBothBackends
    void step_ofAnOptimizerWithBothLayers_updatesASharedParameterOnce(TestDevice on) {
        BatchNorm owner = owner(on.device());
        setParameters(owner);
        BatchNorm sharing = sharing(owner);
        Optimizer optimizer = keep(Optimizer.builder(Sgd.rate(0.5))
                .add("first", owner)
                .add("second", sharing)
                .build(on.device()));
        owner.gamma().orElseThrow().gradient().fill(1);
        owner.beta().orElseThrow().gradient().fill(2);

        optimizer.step();

        assertThat(sharing.gamma().orElseThrow().value().download()).containsExactly(1, -1, 0.25f, 1.5f);
        assertThat(sharing.beta().orElseThrow().value().download()).containsExactly(-0.75f, -2, -1, -0.5f);
    }

    @OnBothBackends
    void backward_afterAStepBetween_isRefusedForRowsOfBothLayers(TestDevice on) {
        Normalizer owner = keep(Kind.LAYER.build(on.device(), null));
        Normalizer sharing = keep(Kind.LAYER.build(on.device(), owner));
        Tensor x = keep(Batch.random(SHAPE, LAYOUT, 1).on(on.device()));
        Tensor dy = keep(Batch.gradient(SHAPE, LAYOUT, 2).on(on.device()));
        keep(owner.forward(x));
        keep(sharing.forward(x));
        keep(sharing.backward(dy));
        keep(sharing.forward(x));
        sharing.gamma().orElseThrow().value().upload(GAMMA);

        assertRefused(() -> owner.backward(dy), "gamma");
        assertRefused(() -> sharing.backward(dy), "gamma");
    }

    @OnBothBackends
    void close_ofTheSharingLayer_leavesTheOwnerWhole(TestDevice on) {
        BatchNorm owner = owner(on.device());
        BatchNorm second = sharing(owner);
        BatchNorm third = sharing(second);
        second.close();
        Batch x = Batch.random(SHAPE, LAYOUT, 1);

        assertRefused(() -> second.eval(), "is closed");
        assertThatCode(() -> Pass.of(owner, x, x)).doesNotThrowAnyException();
        assertThatCode(() -> Pass.of(third, x, x))
                .as("the owner is the first, not the one in between")
                .doesNotThrowAnyException();
        assertRefused(() -> sharing(second), "is closed");
    }

    @OnBothBackends
    void close_ofTheOwner_letsEveryCallOfTheSharingLayerBeRefused(TestDevice on) {
        BatchNorm owner = owner(on.device());
        BatchNorm sharing = sharing(owner);
        Tensor x = keep(Batch.random(SHAPE, LAYOUT, 1).on(on.device()));
        Tensor y = keep(on.device().tensor(SHAPE, LAYOUT));
        ForwardPass pass = keep(sharing.record(x, y));
        StateDict state = sharing.stateDict();
        sharing.forward(x, y);
        owner.close();

        for (ThrowingCallable call : List.<ThrowingCallable>of(
                () -> sharing.forward(x, y),
                () -> sharing.backward(x, y),
                () -> pass.backward(x, y),
                () -> sharing.moments(x),
                () -> sharing.prepare(SHAPE, LAYOUT),
                () -> sharing.loadState(state),
                sharing::stateDict,
                sharing::parameters,
                sharing::gamma,
                sharing::reset,
                sharing::eval,
                () -> sharing(sharing))) {
            assertRefused(call, "shares the parameters of batch normalization of 4 channels, which is closed");
        }
        assertThat(sharing)
                .hasToString("batch normalization of 4 channels, closed, on "
                        + on.device().label());
        assertThatCode(pass::close).doesNotThrowAnyException();
        assertThatCode(sharing::close).doesNotThrowAnyException();
    }

    @OnBothBackends
    void sharingLayer_ofAnOwnerThatNobodyKeeps_goesOn(TestDevice on) throws Exception {
        BatchNorm sharing = keep(BatchNorm.builder(4)
                .accumulateGradients(true)
                .buildSharing(BatchNorm.builder(4).accumulateGradients(true).build(on.device())));
        for (int i = 0; i < 5; i++) {
            System.gc();
            Thread.sleep(20);
        }
        Batch x = Batch.random(SHAPE, LAYOUT, 1);

        assertThatCode(() -> Pass.of(sharing, x, x)).doesNotThrowAnyException();
    }

    @OnBothBackends
    void networkState_ofLayersThatShare_hasTheParametersUnderBothNames(TestDevice on) {
        BatchNorm owner = owner(on.device());
        BatchNorm sharing = sharing(owner);
        setParameters(owner);
        NetworkState network = NetworkState.of(List.of("a.norm", "b.norm"), List.of(owner, sharing));
        Batch x = Batch.random(SHAPE, LAYOUT, 1);
        Pass.of(sharing, x, x);

        StateDict state = network.stateDict();

        for (String name : List.of("a.norm.weight", "b.norm.weight")) {
            assertThat(state.get(name).orElseThrow().toFloats()).isEqualTo(GAMMA);
        }
        assertThat(state.get("a.norm.running_mean").orElseThrow().toFloats()).containsOnly(0);
        assertThat(state.get("b.norm.running_mean").orElseThrow().toFloats()).doesNotContain(0);
        owner.reset();
        sharing.reset();
        network.load(state);
        assertThat(sharing.gamma().orElseThrow().value().download()).isEqualTo(GAMMA);
        assertThat(sharing.batchesTracked()).isEqualTo(1);

        StateDict differs = state.with("b.norm.bias", StateArray.of(new float[] {1, 2, 3, 4}, 4));
        assertWrong(
                () -> network.load(differs),
                "does not fit 1 of 2 layers",
                "b.norm: bias must be that of a.norm, since the layers share it, but has other values");
        assertThat(owner.beta().orElseThrow().value().download()).isEqualTo(BETA);

        sharing.loadState(differs.under("b.norm"));
        assertThat(owner.beta().orElseThrow().value().download())
                .as("a layer by itself")
                .containsExactly(1, 2, 3, 4);
    }

    /** A layer whose schedule lets a test be in the middle of its forward pass. */
    private static BatchNorm.Builder interrupted(AtomicReference<Runnable> inTheMiddle) {
        return BatchNorm.builder(4).accumulateGradients(true).renormalization(new RenormalizationSchedule() {
            @Override
            public double rMax(long batchesTracked) {
                inTheMiddle.getAndSet(() -> {}).run();
                return 1;
            }

            @Override
            public double dMax(long batchesTracked) {
                return 0;
            }
        });
    }

    /** Does something while the sharing layer is in a call of another thread. */
    private void whileInUse(TestDevice on, Consumer<BatchNorm> doing, CountDownLatch out) throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try {
            AtomicReference<Runnable> inTheMiddle = new AtomicReference<>(() -> {});
            BatchNorm owner = owner(on.device());
            BatchNorm sharing = keep(interrupted(inTheMiddle).buildSharing(owner));
            Tensor x = keep(Batch.random(SHAPE, LAYOUT, 1).on(on.device()));
            Tensor y = keep(on.device().tensor(SHAPE, LAYOUT));
            CountDownLatch in = new CountDownLatch(1);
            inTheMiddle.set(() -> {
                in.countDown();
                await(out);
            });
            Future<?> forward = other.submit(() -> sharing.forward(x, y));
            await(in);
            doing.accept(owner);
            out.countDown();
            forward.get(30, TimeUnit.SECONDS);
        } finally {
            other.shutdownNow();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(30, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @OnBothBackends
    void callOfTheOwner_inTheMiddleOfTheSharingLayersCall_isRefused(TestDevice on) throws Exception {
        whileInUse(
                on,
                owner -> {
                    assertRefused(owner::eval, "in the middle of another call, by another thread");
                    assertRefused(owner::stateDict, "in the middle of another call, by another thread");
                    BatchNorm third = sharing(owner);
                    assertRefused(
                            third::eval,
                            "in the middle of another call, by another thread",
                            "layers that share parameters are for one call at a time all together");
                },
                new CountDownLatch(1));
    }

    @OnBothBackends
    void closeOfTheOwner_inTheMiddleOfTheSharingLayersCall_waitsForIt(TestDevice on) throws Exception {
        CountDownLatch out = new CountDownLatch(1);
        AtomicReference<Thread> closing = new AtomicReference<>();
        whileInUse(
                on,
                owner -> {
                    Tensor gamma = owner.gamma().orElseThrow().value();
                    closing.set(new Thread(owner::close));
                    closing.get().start();
                    long end = System.nanoTime() + 10_000_000_000L;
                    while (closing.get().getState() != Thread.State.WAITING) {
                        assertThat(System.nanoTime()).as("it waits").isLessThan(end);
                        Thread.onSpinWait();
                    }
                    assertThat(gamma.isClosed()).as("while the call goes on").isFalse();
                },
                out);
        closing.get().join(30_000);
        assertThat(closing.get().isAlive()).isFalse();
    }

    @OnBothBackends
    void closeOfTheOwner_fromInsideTheSharingLayersCall_doesNotWaitForItself(TestDevice on) {
        AtomicReference<Runnable> inTheMiddle = new AtomicReference<>(() -> {});
        BatchNorm owner = owner(on.device());
        BatchNorm sharing = keep(interrupted(inTheMiddle).buildSharing(owner));
        Tensor x = keep(Batch.random(SHAPE, LAYOUT, 1).on(on.device()));
        Tensor y = keep(on.device().tensor(SHAPE, LAYOUT));
        inTheMiddle.set(owner::close);

        sharing.forward(x, y);

        assertThat(y.download()).doesNotContain(Float.NaN);
        assertRefused(() -> sharing.forward(x, y), "which is closed");
    }

    /** What is misuse: a call may be refused, but one that is not has added its gradients, and nothing ends in a crash. */
    @OnBothBackends
    void twoThreads_withALayerEach_loseNoGradient(TestDevice on) throws Exception {
        BatchNorm owner = owner(on.device());
        BatchNorm sharing = sharing(owner);
        ExecutorService pool = Executors.newFixedThreadPool(2);
        try {
            List<Future<Integer>> counts = new ArrayList<>();
            for (BatchNorm norm : List.of(owner, sharing)) {
                Tensor x = keep(Batch.random(SHAPE, LAYOUT, 1).on(on.device()));
                Tensor y = keep(on.device().tensor(SHAPE, LAYOUT));
                Tensor ones = keep(on.device().tensor(SHAPE, LAYOUT));
                Tensor dx = keep(on.device().tensor(SHAPE, LAYOUT));
                ones.fill(1);
                counts.add(pool.submit(() -> {
                    int done = 0;
                    for (int i = 0; i < 300; i++) {
                        try {
                            norm.forward(x, y);
                            norm.backward(ones, dx);
                            done++;
                        } catch (IllegalStateException e) {
                            assertThat(e).hasMessageContaining("in the middle of another call");
                        }
                    }
                    return done;
                }));
            }
            int done = counts.get(0).get(60, TimeUnit.SECONDS) + counts.get(1).get(60, TimeUnit.SECONDS);
            assertThat(done).isPositive();
            assertThat(owner.beta().orElseThrow().gradient().download())
                    .as("each pass adds the number of values of a channel")
                    .containsOnly(18f * done);
        } finally {
            pool.shutdownNow();
        }
    }
}
