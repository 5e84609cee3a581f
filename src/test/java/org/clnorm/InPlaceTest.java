package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import java.util.List;
import java.util.function.IntToDoubleFunction;
import java.util.function.UnaryOperator;
import org.clnorm.opencl.Builds;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.optim.Sgd;
import org.clnorm.replicas.ChannelMoments;
import org.junit.jupiter.api.Test;

/** Training whose y takes x's place: what is refused, and how it goes with all else that a layer does. */
final class InPlaceTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    static BatchNorm layer(TestDevice on, int channels, UnaryOperator<BatchNorm.Builder> options) {
        return options.apply(BatchNorm.builder(channels).epsilon(1e-5).inPlace(true))
                .build(on.device());
    }

    static void set(Parameter parameter, IntToDoubleFunction values) {
        float[] all = new float[(int) parameter.value().shape().elements()];
        for (int i = 0; i < all.length; i++) {
            all[i] = (float) values.applyAsDouble(i);
        }
        parameter.value().upload(all);
    }

    @OnBothBackends
    void forward_smallGamma_isRefusedWithItsChannelBeforeAnythingChanges(TestDevice on) {
        Batch values = Batch.random(Shape.of(3, 4, 5), FIRST, 12);
        try (BatchNorm norm = layer(on, 4, builder -> builder);
                Tensor x = values.on(norm.device())) {
            for (double bad : new double[] {
                Math.nextDown(BatchNorm.LEAST_GAMMA_IN_PLACE), -1e-4, 0, Double.NaN, Double.NEGATIVE_INFINITY
            }) {
                set(norm.gamma().orElseThrow(), c -> c == 2 ? bad : 1);
                for (int again = 0; again < 2; again++) {
                    assertThatThrownBy(() -> norm.forward(x, x))
                            .isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("channel 2 is " + (float) bad)
                            .hasMessageContaining("at least 9.765625E-4");
                    assertThatThrownBy(() -> norm.record(x, x)).hasMessageContaining("channel 2");
                }
            }
            assertThat(x.download()).isEqualTo(values.values());
            assertThat(norm.runningMean().orElseThrow().download()).containsOnly(0);
            assertThat(norm.batchesTracked()).isZero();

            set(norm.gamma().orElseThrow(), c -> c == 2 ? -BatchNorm.LEAST_GAMMA_IN_PLACE : 1);
            norm.forward(x, x);
            assertThat(norm.bytesSaved()).isEqualTo(3 * 4 * 5 * 4);
        }
    }

    /** It is looked at again only when it was written, by whomever. */
    @OnBothBackends
    void forward_gammaThatAnOptimizerMadeSmall_isRefused(TestDevice on) {
        Batch values = Batch.random(Shape.of(3, 4, 5), FIRST, 13);
        try (BatchNorm norm = layer(on, 4, builder -> builder);
                Tensor x = values.on(norm.device());
                Optimizer optimizer = Optimizer.builder(Sgd.rate(1)).add(norm).build(norm.device())) {
            norm.forward(x, x);
            set(norm.gamma().orElseThrow(), c -> 1);
            norm.gamma().orElseThrow().gradient().upload(new float[] {0, 0, 0, 1});
            optimizer.step();

            assertThatThrownBy(() -> norm.forward(x, x)).hasMessageContaining("gamma of channel 3 is 0.0");
        }
    }

    @OnBothBackends
    void forward_yInXsPlace_isRefusedWhereXIsNeeded(TestDevice on) {
        try (BatchNorm with = layer(on, 4, builder -> builder);
                BatchNorm without = BatchNorm.builder(4).build(on.device());
                Tensor x = on.device().tensor(Shape.of(3, 4, 5), FIRST);
                Tensor residual = on.device().tensor(Shape.of(3, 4, 5), FIRST);
                Tensor affine = on.device().tensor(Shape.of(3, 4), FIRST)) {
            assertThatThrownBy(() -> without.forward(x, x))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("y may not share memory with x in training")
                    .hasMessageContaining("BatchNorm.Builder.inPlace");
            assertThatThrownBy(() -> with.forward(x, residual, x))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("residual");
            assertThatThrownBy(() -> with.forward(x, null, x, new SampleAffine(affine, null)))
                    .hasMessageContaining("gamma and beta per sample");
            ChannelMoments moments = with.moments(x);
            assertThatThrownBy(() -> with.forwardCombined(x, null, x, moments))
                    .hasMessageContaining("moments of several parts");
        }
    }

    @Test
    void build_whatCannotBeUndone_isRefused() {
        try (Device device = Device.cpuReference()) {
            BatchNorm.Builder builder = BatchNorm.builder(4).inPlace(true);
            for (Activation activation : Activation.values()) {
                if (!List.of(Activation.NONE, Activation.LEAKY_RELU).contains(activation)) {
                    assertThatThrownBy(() -> builder.activation(activation).build(device))
                            .isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("it was " + activation);
                }
            }
            for (double slope : new double[] {0, 1e-4, 1025}) {
                assertThatThrownBy(() ->
                                builder.activation(Activation.leakyRelu(slope)).build(device))
                        .hasMessageContaining("with the slope " + (float) slope);
            }
            assertThatThrownBy(() -> builder.virtualBatch(2).build(device)).hasMessageContaining("virtualBatch was 2");
            assertThatThrownBy(() -> builder.renormalization(RenormalizationSchedule.constant(2, 1))
                            .build(device))
                    .hasMessageContaining("renormalization");
            builder.inPlace(false).activation(Activation.RELU).build(device).close();
            builder.activation(Activation.leakyRelu(0.001)).build(device).close();
        }
    }

    @OnBothBackends
    void backward_yWrittenSince_isRefused(TestDevice on) {
        try (BatchNorm norm = layer(on, 4, builder -> builder);
                Tensor x = Batch.random(Shape.of(3, 4, 5), FIRST, 14).on(norm.device());
                Tensor dy = on.device().tensor(Shape.of(3, 4, 5), FIRST)) {
            norm.forward(x, x);
            x.fill(1);

            assertThatThrownBy(() -> norm.backward(dy)).hasMessageContaining("the forward pass's y");
        }
    }

    /** The same elements by another tensor are the same place; a part of them is not. */
    @OnBothBackends
    void forward_yThatIsASliceOfX_isInPlaceWhereItIsAllOfIt(TestDevice on) {
        Shape shape = Shape.of(3, 4, 5);
        Batch values = Batch.random(shape, FIRST, 22);
        try (BatchNorm norm = layer(on, 4, builder -> builder);
                Tensor all = on.device().tensor(Shape.of(4, 4, 5), FIRST);
                Tensor x = all.slice(20, shape, FIRST);
                Tensor y = all.slice(20, shape, FIRST);
                Tensor shifted = all.slice(0, shape, FIRST);
                Tensor dy = Batch.gradient(shape, FIRST, 23).on(norm.device())) {
            x.upload(values.values());
            assertThatThrownBy(() -> norm.forward(x, shifted)).hasMessageContaining("y may not share memory with x");
            Tensor beside = norm.forward(x);
            float[] expected = beside.download();
            beside.close();

            norm.forward(x, y);
            norm.backward(dy).close();

            assertThat(y.download()).isEqualTo(expected);
            norm.forward(x, y);
            x.fill(1);
            assertThatThrownBy(() -> norm.backward(dy)).hasMessageContaining("the forward pass's y");
        }
    }

    /** Two passes under way, the first of them gone back through twice, into gradients that add up. */
    @OnBothBackends
    void record_severalInPlace_areGoneBackThroughEachAndAgain(TestDevice on) {
        Shape shape = Shape.of(3, 4, 5);
        Batch dy = Batch.gradient(shape, FIRST, 17);
        try (BatchNorm norm = layer(on, 4, builder -> builder.accumulateGradients(true));
                Tensor x1 = Batch.random(shape, FIRST, 15).on(norm.device());
                Tensor x2 = Batch.random(shape, FIRST, 16).on(norm.device());
                Tensor y = on.device().tensor(shape, FIRST);
                Tensor gradient = dy.on(norm.device());
                Tensor dx = on.device().tensor(shape, FIRST)) {
            set(norm.gamma().orElseThrow(), c -> c - 1.5);
            norm.forward(x1, y);
            assertThat(norm.bytesSaved()).isZero();
            norm.backward(gradient, dx);
            float[] expected = dx.download();
            float[] once = norm.gamma().orElseThrow().gradient().download();
            norm.gamma().orElseThrow().zeroGradient();

            try (ForwardPass first = norm.record(x1, x1).retain();
                    ForwardPass second = norm.record(x2, x2)) {
                assertThat(first.bytesSaved()).isEqualTo(4 * shape.elements());
                second.backward(gradient, dx);
                norm.gamma().orElseThrow().zeroGradient();
                first.backward(gradient, dx);
                float[] inPlace = dx.download();
                Closeness.assertClose("dx", inPlace, Closeness.wide(expected));
                first.backward(gradient, dx);
                assertThat(dx.download()).isEqualTo(inPlace);
                float[] twice = norm.gamma().orElseThrow().gradient().download();
                for (int c = 0; c < 4; c++) {
                    assertThat(twice[c]).isCloseTo(2 * once[c], offset(1e-4f));
                }
            }
        }
    }

    @OnBothBackends
    void forward_refusedBatch_leavesTheLayerAsItWas(TestDevice on) {
        Shape shape = Shape.of(3, 4, 5);
        try (BatchNorm norm = layer(on, 4, builder -> builder.nonFinite(NonFinitePolicy.THROW));
                Tensor bad =
                        Batch.random(shape, FIRST, 18).with(1, 3, Float.NaN).on(norm.device());
                Tensor x = Batch.random(shape, FIRST, 19).on(norm.device());
                Tensor dy = Batch.gradient(shape, FIRST, 20).on(norm.device())) {
            assertThatThrownBy(() -> norm.forward(bad, bad)).isInstanceOf(NonFiniteException.class);
            assertThat(norm.batchesTracked()).isZero();

            norm.forward(x, x);
            norm.backward(dy).close();

            assertThat(norm.batchesTracked()).isOne();
            assertThat(norm.runningMean().orElseThrow().download()[0]).isNotZero();
        }
    }

    @OnBothBackends
    void forward_inEvaluationOrEmpty_isAsEver(TestDevice on) {
        try (BatchNorm norm = layer(on, 4, builder -> builder);
                Tensor x = Batch.random(Shape.of(3, 4, 5), FIRST, 21).on(norm.device());
                Tensor none = on.device().tensor(Shape.of(0, 4, 5), FIRST)) {
            norm.forward(none, none);
            norm.backward(none, none);
            set(norm.gamma().orElseThrow(), c -> 0); // nothing goes back through y
            norm.eval();
            norm.forward(x, x);

            assertThat(norm.bytesSaved()).isZero();
            assertThat(x.download()).containsOnly(0);
        }
    }

    @Test
    void prepare_inPlace_leavesNothingToBuild() {
        Shape shape = Shape.of(4, 6, 5, 3);
        try (Device device = TestDevice.AUTO.open();
                BatchNorm norm = BatchNorm.builder(6)
                        .inPlace(true)
                        .activation(Activation.LEAKY_RELU)
                        .build(device);
                Tensor x = device.tensor(shape, FIRST)) {
            norm.prepare(shape, FIRST);
            Builds before = ((OpenClBackend) device.backend()).builds();

            norm.forward(x, x);
            norm.backward(x).close();

            assertThat(((OpenClBackend) device.backend()).builds()).isEqualTo(before);
        }
    }
}
