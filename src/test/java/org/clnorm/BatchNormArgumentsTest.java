package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a layer refuses: in words that help, and before anything has changed. */
final class BatchNormArgumentsTest {
    private static final int CHANNELS = 3;
    private static final Shape SHAPE = Shape.of(2, CHANNELS, 4);
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final Layout LAST = Layout.CHANNELS_LAST;
    private static final Batch X = Batch.random(SHAPE, FIRST, 1);
    private static final Batch DY = Batch.gradient(SHAPE, FIRST, 2);

    /** A layer after a forward and a backward pass, tensors that fit it, and what a refused call must leave alone. */
    private static final class Training implements AutoCloseable {
        final Device device;
        final BatchNorm norm;
        final List<Tensor> tensors = new ArrayList<>();
        final Tensor x;
        final Tensor residual;
        final Tensor y;
        final Tensor dy;
        final Tensor dx;
        final Tensor dresidual;

        Training(TestDevice on, BatchNorm.Builder builder) {
            device = on.device();
            norm = builder.build(device);
            x = keep(X.on(device));
            residual = keep(Batch.random(SHAPE, FIRST, 3).on(device));
            y = keep(device.tensor(SHAPE, FIRST));
            dy = keep(DY.on(device));
            dx = keep(device.tensor(SHAPE, FIRST));
            dresidual = keep(device.tensor(SHAPE, FIRST));
        }

        Training(TestDevice on) {
            this(on, BatchNorm.builder(CHANNELS));
            norm.forward(x, y);
            norm.backward(dy, dx);
        }

        Tensor keep(Tensor tensor) {
            tensors.add(tensor);
            return tensor;
        }

        Tensor tensor(Shape shape, Layout layout) {
            return keep(device.tensor(shape, layout));
        }

        private List<Object> state() {
            List<Object> state = new ArrayList<>();
            for (Tensor tensor : tensors) {
                if (!tensor.isClosed()) {
                    state.add(tensor.download());
                }
            }
            for (Parameter parameter : norm.parameters()) {
                state.add(parameter.value().download());
                state.add(parameter.gradient().download());
            }
            norm.runningMean().ifPresent(mean -> state.add(mean.download()));
            norm.runningVariance().ifPresent(variance -> state.add(variance.download()));
            state.add(norm.savedMean().download());
            state.add(norm.savedInverseStandardDeviation().download());
            state.add(norm.batchesTracked());
            state.add(norm.isTraining());
            return state;
        }

        void refuses(Class<? extends Exception> type, ThrowingCallable call, Object... saying) {
            List<Object> before = state();
            String[] words = Stream.of(saying).map(Object::toString).toArray(String[]::new);
            assertThatThrownBy(call).isInstanceOf(type).hasMessageContainingAll(words);
            assertThat(state())
                    .as("a refused call must leave everything as it was")
                    .usingRecursiveComparison()
                    .isEqualTo(before);
        }

        void refuses(ThrowingCallable call, Object... saying) {
            refuses(IllegalArgumentException.class, call, saying);
        }

        /** After a refusal: the forward pass is still there to go back through. */
        void stillHasItsForwardPass() {
            float[] before = dx.download();
            norm.retainForward();
            norm.backward(dy, dx);
            assertThat(dx.download()).isEqualTo(before);
        }

        @Override
        public void close() {
            tensors.forEach(Tensor::close);
            norm.close();
        }
    }

    @OnBothBackends
    void forward_ofAWrongShape_namesItAndWhatWasExpected(TestDevice on) {
        try (Training t = new Training(on)) {
            for (Shape wrong : List.of(
                    Shape.of(24),
                    Shape.of(2, 4, 3),
                    Shape.of(2, 12),
                    Shape.of(1, CHANNELS, 1, 1, 1, 4),
                    Shape.of(3, 2))) {
                Tensor x = t.tensor(wrong, FIRST);
                t.refuses(() -> t.norm.forward(x), "x must have shape", "C = 3", "given was " + wrong);
                t.refuses(() -> t.norm.forward(x, x), "x must have shape", "given was " + wrong);
            }
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void forward_intoAnOutputOfAnotherShapeOrLayout_namesBoth(TestDevice on) {
        try (Training t = new Training(on)) {
            Tensor longer = t.tensor(Shape.of(3, CHANNELS, 4), FIRST);
            Tensor sameCount = t.tensor(Shape.of(2, CHANNELS, 2, 2), FIRST);
            Tensor last = t.tensor(SHAPE, LAST);
            t.refuses(() -> t.norm.forward(t.x, longer), "y must have x's shape (2, 3, 4)", "given was (3, 3, 4)");
            t.refuses(() -> t.norm.forward(t.x, sameCount), "y must have x's shape", "given was (2, 3, 2, 2)");
            t.refuses(() -> t.norm.forward(t.x, last), "y must have x's layout channels-first", "channels-last");
            t.refuses(() -> t.norm.forward(t.x, longer, t.y), "residual must have x's shape", "(3, 3, 4)");
            t.refuses(() -> t.norm.forward(t.x, last, t.y), "residual must have x's layout", "channels-last");
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void backward_ofAnotherShapeOrLayout_namesBoth(TestDevice on) {
        try (Training t = new Training(on)) {
            Tensor shorter = t.tensor(Shape.of(1, CHANNELS, 4), FIRST);
            Tensor last = t.tensor(SHAPE, LAST);
            t.refuses(() -> t.norm.backward(shorter), "dy must have x's shape (2, 3, 4)", "given was (1, 3, 4)");
            t.refuses(() -> t.norm.backward(last), "dy must have x's layout channels-first", "channels-last");
            t.refuses(() -> t.norm.backward(t.dy, shorter), "dx must have dy's shape", "given was (1, 3, 4)");
            t.refuses(() -> t.norm.backward(t.dy, last), "dx must have dy's layout", "channels-last");
            t.norm.forward(t.x, t.residual, t.y);
            t.norm.backward(t.dy, t.dx);
            t.refuses(() -> t.norm.backward(t.dy, t.dx, shorter), "dresidual must have dy's shape", "(1, 3, 4)");
            t.refuses(() -> t.norm.backward(t.dy, t.dx, last), "dresidual must have dy's layout", "channels-last");
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void forward_ofAMatrix_takesEitherLayoutAsTheyAreTheSame(TestDevice on) {
        Shape matrix = Shape.of(4, CHANNELS);
        Batch values = Batch.random(matrix, FIRST, 5);
        try (BatchNorm norm = BatchNorm.builder(CHANNELS).build(on.device());
                Tensor x = values.on(on.device());
                Tensor first = on.device().tensor(matrix, FIRST);
                Tensor last = on.device().tensor(matrix, LAST)) {
            norm.forward(x, first);
            norm.forward(x, last);
            assertThat(last.download()).isEqualTo(first.download());
        }
    }

    @OnBothBackends
    void call_withATensorOfAnotherDevice_namesTheArgumentAndBothDevices(TestDevice on) {
        try (Training t = new Training(on);
                Device other = on.open();
                Tensor foreign = X.on(other)) {
            String here = t.device.info().name();
            t.refuses(() -> t.norm.forward(foreign), "x must be on the layer's", here, "given was");
            t.refuses(() -> t.norm.forward(t.x, foreign), "y must be on the layer's", here);
            t.refuses(() -> t.norm.forward(t.x, foreign, t.y), "residual must be on the layer's", here);
            t.refuses(() -> t.norm.backward(foreign), "dy must be on the layer's", here);
            t.refuses(() -> t.norm.backward(t.dy, foreign), "dx must be on the layer's", here);
            t.norm.forward(t.x, t.residual, t.y);
            t.norm.backward(t.dy, t.dx);
            t.refuses(() -> t.norm.backward(t.dy, t.dx, foreign), "dresidual must be on the layer's", here);
            assertThat(foreign.download()).isEqualTo(X.values());
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void call_withAClosedTensor_saysThatItIsClosed(TestDevice on) {
        try (Training t = new Training(on)) {
            Tensor closed = t.tensor(SHAPE, FIRST);
            closed.close();
            for (ThrowingCallable call : List.<ThrowingCallable>of(
                    () -> t.norm.forward(closed),
                    () -> t.norm.forward(closed, t.y),
                    () -> t.norm.forward(t.x, closed),
                    () -> t.norm.forward(t.x, closed, t.y),
                    () -> t.norm.backward(closed),
                    () -> t.norm.backward(t.dy, closed))) {
                t.refuses(IllegalStateException.class, call, "tensor (2, 3, 4)", "is closed");
            }
            t.norm.forward(t.x, t.residual, t.y);
            t.norm.backward(t.dy, t.dx);
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy, t.dx, closed), "is closed");
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void call_withNull_namesTheArgument(TestDevice on) {
        try (Training t = new Training(on)) {
            t.refuses(NullPointerException.class, () -> t.norm.forward(null), "x");
            t.refuses(NullPointerException.class, () -> t.norm.forward(null, t.y), "x");
            t.refuses(NullPointerException.class, () -> t.norm.forward(t.x, null), "y");
            t.refuses(NullPointerException.class, () -> t.norm.backward(null), "dy");
            t.refuses(NullPointerException.class, () -> t.norm.backward(t.dy, null), "dx");
            t.stillHasItsForwardPass();
        }
    }

    /** Forward outputs that lie where they must not. */
    @OnBothBackends
    void forward_intoMemoryThatIsInUse_isRefused(TestDevice on) {
        try (Training t = new Training(on)) {
            int n = (int) SHAPE.elements();
            Tensor memory = t.tensor(Shape.of(3L * n), FIRST);
            Tensor x = memory.slice(n, SHAPE, FIRST);
            x.upload(X.values());
            for (long offset : new long[] {1, n - 1, n + 1, 2L * n - 1}) {
                Tensor y = memory.slice(offset, SHAPE, FIRST);
                t.refuses(() -> t.norm.forward(x, y), "y may not share memory with x");
                t.refuses(() -> t.norm.forward(t.x, x, y), "y may not share memory with residual");
            }
            t.refuses(() -> t.norm.forward(x, x), "y may not share memory with x");
            t.refuses(() -> t.norm.forward(x, memory.slice(n, SHAPE, FIRST)), "y may not share memory with x");
            t.stillHasItsForwardPass();

            t.norm.forward(x, memory.slice(0, SHAPE, FIRST));
            t.norm.forward(x, memory.slice(2L * n, SHAPE, FIRST));
            assertThat(x.download()).as("neighbours do not overlap").isEqualTo(X.values());
        }
    }

    @OnBothBackends
    void backward_intoMemoryThatIsInUse_isRefused(TestDevice on) {
        int n = (int) SHAPE.elements();
        try (Training t = new Training(on, BatchNorm.builder(CHANNELS).activation(Activation.RELU))) {
            Tensor memory = t.tensor(Shape.of(2L * n), FIRST);
            Tensor dy = memory.slice(0, SHAPE, FIRST);
            dy.upload(DY.values());
            Tensor shifted = memory.slice(1, SHAPE, FIRST);
            t.norm.forward(t.x, t.residual, t.y);
            t.norm.backward(t.dy, t.dx, t.dresidual);
            t.refuses(() -> t.norm.backward(dy, shifted), "dx may not share memory with dy unless");
            t.refuses(() -> t.norm.backward(t.dy, t.x), "dx may not share memory with x");
            t.refuses(() -> t.norm.backward(t.dy, t.y), "dx may not share memory with y");
            t.refuses(() -> t.norm.backward(dy, t.dx, shifted), "dresidual may not share memory with dy unless");
            t.refuses(() -> t.norm.backward(t.dy, t.dx, t.dx), "dresidual may not share memory with dx");
            t.refuses(() -> t.norm.backward(t.dy, t.dx, t.x), "dresidual may not share memory with x");
            t.refuses(() -> t.norm.backward(t.dy, t.dx, t.y), "dresidual may not share memory with y");
            t.refuses(() -> t.norm.backward(t.dy, t.dy, t.dy), "dresidual may not share memory with dx");
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void call_intoTheLayersOwnTensors_isRefused(TestDevice on) {
        Shape one = Shape.of(1, CHANNELS);
        try (Training t = new Training(on)) {
            t.norm.eval();
            Tensor x = t.keep(t.device.upload(new float[] {1, 2, 3}, one, FIRST));
            Tensor y = t.tensor(one, FIRST);
            Tensor dy = t.tensor(one, FIRST);
            t.norm.forward(x, y);
            for (Tensor own : List.of(
                    t.norm.gamma().orElseThrow().value(),
                    t.norm.gamma().orElseThrow().gradient(),
                    t.norm.beta().orElseThrow().value(),
                    t.norm.beta().orElseThrow().gradient(),
                    t.norm.runningMean().orElseThrow(),
                    t.norm.runningVariance().orElseThrow(),
                    t.norm.savedMean(),
                    t.norm.savedInverseStandardDeviation())) {
                Tensor disguised = own.slice(0, one, FIRST);
                t.refuses(() -> t.norm.forward(x, disguised), "y may not share memory with the layer's own");
                t.refuses(() -> t.norm.backward(dy, disguised), "dx may not share memory with the layer's own");
            }
        }
    }

    @OnEveryDevice
    void forward_inPlaceInEvaluation_isRightAndHasNoWayBack(TestDevice on) {
        for (Layout layout : Layout.values()) {
            Batch values = Batch.random(Shape.of(3, CHANNELS, 5, 7), layout, 6);
            try (BatchNorm norm = BatchNorm.builder(CHANNELS)
                            .activation(Activation.RELU)
                            .build(on.device());
                    Tensor x = values.on(on.device());
                    Tensor dy = values.on(on.device())) {
                Step.of(norm, values, null, values);
                norm.eval();
                Step apart = Step.of(norm, values, null, values);
                norm.forward(x, x);
                assertThat(x.download()).isEqualTo(apart.y());
                assertThatThrownBy(() -> norm.backward(dy))
                        .as("x is gone, and with it what the gradient needs")
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContainingAll("backward needs the forward pass's x", "written since");
            }
        }
    }

    @OnEveryDevice
    void forward_inPlaceOfTheResidual_isRightInBothModes(TestDevice on) {
        Batch residual = Batch.random(SHAPE, FIRST, 7);
        for (boolean training : new boolean[] {true, false}) {
            BatchNorm.Builder builder = BatchNorm.builder(CHANNELS).activation(Activation.RELU);
            try (BatchNorm norm = builder.build(on.device());
                    BatchNorm apart = builder.build(on.device());
                    Tensor x = X.on(on.device());
                    Tensor both = residual.on(on.device());
                    Tensor dy = DY.on(on.device());
                    Tensor dx = on.device().tensor(SHAPE, FIRST)) {
                if (!training) {
                    norm.eval();
                    apart.eval();
                }
                norm.forward(x, both, both);
                Step expected = Step.of(apart, X, residual, DY);
                assertThat(both.download()).isEqualTo(expected.y());
                norm.backward(dy, dx, dy);
                assertThat(dx.download()).isEqualTo(expected.dx());
                assertThat(dy.download()).as("dresidual in dy's place").isEqualTo(expected.dresidual());
            }
        }
    }

    @OnEveryDevice
    void backward_inPlaceOfDy_isRight(TestDevice on) {
        for (Layout layout : Layout.values()) {
            Batch values = Batch.random(Shape.of(3, CHANNELS, 5, 7), layout, 8);
            Batch gradient = Batch.gradient(values.shape(), layout, 9);
            BatchNorm.Builder builder = BatchNorm.builder(CHANNELS).activation(Activation.RELU);
            try (BatchNorm norm = builder.build(on.device());
                    BatchNorm apart = builder.build(on.device());
                    Tensor x = values.on(on.device());
                    Tensor y = norm.forward(x);
                    Tensor dy = gradient.on(on.device())) {
                norm.backward(dy, dy);
                Step expected = Step.of(apart, values, null, gradient);
                assertThat(dy.download()).isEqualTo(expected.dx());
                assertThat(norm.gamma().orElseThrow().gradient().download()).isEqualTo(expected.dgamma());
                assertThat(y.download()).isEqualTo(expected.y());
            }
        }
    }

    @OnBothBackends
    void backward_withoutAForwardPass_asksForOne(TestDevice on) {
        try (Training t = new Training(on, BatchNorm.builder(CHANNELS))) {
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy), "needs a forward pass");
            t.norm.forward(t.x, t.y);
            t.norm.reset();
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy, t.dx), "needs a forward pass");
        }
    }

    /** The ways in which x can change between the two passes. */
    private enum Change {
        UPLOAD {
            @Override
            void apply(Training t) {
                t.x.upload(new float[(int) SHAPE.elements()]);
            }
        },
        FILL {
            @Override
            void apply(Training t) {
                t.x.fill(1);
            }
        },
        OUTPUT_OF_ANOTHER_LAYER {
            @Override
            void apply(Training t) {
                try (BatchNorm other = BatchNorm.builder(CHANNELS).build(t.device)) {
                    other.forward(t.residual, t.x);
                }
            }
        },
        GRADIENT_OF_ANOTHER_LAYER {
            @Override
            void apply(Training t) {
                try (BatchNorm other = BatchNorm.builder(CHANNELS).build(t.device)) {
                    other.forward(t.residual, t.y);
                    other.backward(t.dy, t.x);
                }
            }
        },
        CLOSE {
            @Override
            void apply(Training t) {
                t.x.close();
            }
        };

        abstract void apply(Training t);
    }

    @ParameterizedTest
    @EnumSource(Change.class)
    void backward_afterXChanged_isRefused(Change change) {
        for (TestDevice on : List.of(TestDevice.REFERENCE, TestDevice.AUTO)) {
            try (Training t = new Training(on)) {
                change.apply(t);
                t.refuses(
                        IllegalStateException.class,
                        () -> t.norm.backward(t.dy, t.dx),
                        "the forward pass's x (2, 3, 4)",
                        "since");
            }
        }
    }

    @OnBothBackends
    void backward_afterXChangedThroughASliceOfIt_isRefused(TestDevice on) {
        try (Training t = new Training(on)) {
            t.x.slice(3, Shape.of(1), FIRST).fill(100);
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy, t.dx), "x (2, 3, 4)", "since");
        }
    }

    @OnBothBackends
    void backward_afterXChangedThroughTheTensorThatItIsASliceOf_isRefused(TestDevice on) {
        try (Training t = new Training(on)) {
            Tensor memory = t.tensor(Shape.of(100), FIRST);
            Tensor x = memory.slice(10, SHAPE, FIRST);
            x.upload(X.values());
            t.norm.forward(x, t.y);
            memory.fill(100);
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy, t.dx), "x (2, 3, 4)", "since");
        }
    }

    @OnBothBackends
    void backward_afterANeighbourOfXChanged_works(TestDevice on) {
        try (Training t = new Training(on)) {
            Tensor memory = t.tensor(Shape.of(100), FIRST);
            Tensor x = memory.slice(10, SHAPE, FIRST);
            x.upload(X.values());
            t.norm.forward(x, t.y);
            memory.slice(0, Shape.of(10), FIRST).fill(1);
            memory.slice(34, Shape.of(66), FIRST).fill(1);
            t.stillHasItsForwardPass();
        }
    }

    @OnBothBackends
    void backward_afterYChanged_isRefusedOnlyWhereYIsNeeded(TestDevice on) {
        try (Training t = new Training(on, BatchNorm.builder(CHANNELS).activation(Activation.RELU))) {
            t.norm.forward(t.x, t.y);
            t.y.fill(0);
            t.norm.backward(t.dy, t.dx);
            t.norm.forward(t.x, t.residual, t.y);
            t.y.fill(0);
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy, t.dx), "the forward pass's y", "since");
            t.norm.forward(t.x, t.residual, t.y);
            t.y.close();
            t.refuses(IllegalStateException.class, () -> t.norm.backward(t.dy, t.dx), "the forward pass's y", "closed");
        }
        try (Training t = new Training(on, BatchNorm.builder(CHANNELS))) {
            t.norm.forward(t.x, t.residual, t.y);
            t.y.close();
            t.norm.backward(t.dy, t.dx, t.dresidual);
            assertThat(t.dresidual.download())
                    .as("without an activation the residual's gradient is dy")
                    .isEqualTo(DY.values());
        }
    }

    @OnBothBackends
    void backward_forAResidualThatWasNot_isRefused(TestDevice on) {
        try (Training t = new Training(on)) {
            t.refuses(() -> t.norm.backward(t.dy, t.dx, t.dresidual), "dresidual was given", "no residual");
            t.stillHasItsForwardPass();
        }
    }

    @OnEveryDevice
    void backward_withAResidualWhoseGradientIsNotWanted_givesTheSameDx(TestDevice on) {
        try (Training t = new Training(on, BatchNorm.builder(CHANNELS).activation(Activation.RELU))) {
            t.norm.forward(t.x, t.residual, t.y);
            t.norm.retainForward();
            t.norm.backward(t.dy, t.dx, t.dresidual);
            try (Tensor dx = t.norm.backward(t.dy)) {
                assertThat(dx.download()).isEqualTo(t.dx.download());
            }
        }
    }
}
