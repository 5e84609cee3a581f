package org.clnorm.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.clnorm.reference.Values.assertClose;
import static org.clnorm.reference.Values.toDouble;
import static org.clnorm.reference.Values.toFloat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.clnorm.Activation;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.RunningStatistics;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.reference.ReferenceBatchNorm.Forward;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ReferenceBackendTest {
    private static final Layout FIRST = Layout.CHANNELS_FIRST;
    private static final Shape SHAPE = Shape.of(3, 2, 4);
    private static final int ELEMENTS = 24;
    private static final float[] X = toFloat(Values.random(ELEMENTS, 1));
    private static final float[] DY = toFloat(Values.random(ELEMENTS, 2));
    private static final float[] RESIDUAL = toFloat(Values.random(ELEMENTS, 3));
    private static final float[] GAMMA = {1.5f, -0.75f};
    private static final float[] BETA = {0.25f, 0.5f};
    private static final double EPSILON = 1e-5;

    private final Backend backend = new ReferenceBackend();
    private final SavedStatistics saved = backend.newSavedStatistics(2);

    @AfterEach
    void close() {
        saved.close();
        backend.close();
    }

    @Test
    void forwardTraining_handWorkedBatch_writesOutputSavedAndRunning() {
        // x = 0, 0, 4, 4: mean 2, variance 4, with ε = 12 invstd 1/4, x̂ = −0.5, −0.5, 0.5, 0.5; γ = 4 and β = 1.
        // Running, from 0 and 1 with weight 1/2: 0 + (2 − 0)/2 = 1, 1 + (4·4/3 − 1)/2 = 19/6; one batch absorbed.
        Operand y = operand(new float[4]);
        RunningStatistics running = running(new float[] {0}, new float[] {1}, RunningAverage.exponential(0.5));
        backend.forward(new ForwardTraining(
                Shape.of(4, 1),
                FIRST,
                operand(0, 0, 4, 4),
                null,
                y,
                Activation.NONE,
                operand(4),
                operand(1),
                12,
                saved,
                running,
                NonFinitePolicy.PROPAGATE));

        assertThat(read(y, 4)).containsExactly(-1, -1, 3, 3);
        assertThat(read(saved.mean(), 1)).containsExactly(2);
        assertThat(read(saved.inverseStandardDeviation(), 1)).containsExactly(0.25f);
        assertThat(read(running.mean(), 1)).containsExactly(1);
        assertThat(read(running.variance(), 1)).containsExactly(19f / 6);
        assertThat(read(running.absorbed(), 1)).containsExactly(1);
    }

    @Test
    void forwardTraining_meanFarFromZero_isExactWhereTheAnswerIs() {
        // −3..3 around the mean: variance (9 + 4 + 1 + 0 + 1 + 4 + 9)/7 = 4, and y is half the offset.
        for (float mean : new float[] {2e3f, 2e4f, 2e5f}) {
            float[] x = {mean + 1, mean - 3, mean, mean + 3, mean - 2, mean - 1, mean + 2};
            Operand y = operand(new float[7]);
            backend.forward(training(Shape.of(7, 1), operand(x), y, Activation.NONE, null, null, 0, null));

            assertThat(read(y, 7)).as("mean " + mean).containsExactly(0.5f, -1.5f, 0, 1.5f, -1, -0.5f, 1);
        }
    }

    @Test
    void forwardAndBackward_everyOptionTogether_areTheReferenceRoundedOnce() {
        for (Layout layout : Layout.values()) {
            Forward forward = ReferenceBatchNorm.forwardTraining(
                    SHAPE,
                    layout,
                    toDouble(X),
                    toDouble(RESIDUAL),
                    Activation.RELU,
                    toDouble(GAMMA),
                    toDouble(BETA),
                    EPSILON);
            Gradients gradients = ReferenceBatchNorm.backward(
                    SHAPE,
                    layout,
                    false,
                    toDouble(DY),
                    toDouble(X),
                    forward.y(),
                    Activation.RELU,
                    toDouble(GAMMA),
                    forward.mean(),
                    forward.inverseStandardDeviation());
            Operand x = operand(X);
            Operand y = operand(new float[ELEMENTS]);
            Operand gamma = operand(GAMMA);
            backend.forward(new ForwardTraining(
                    SHAPE,
                    layout,
                    x,
                    operand(RESIDUAL),
                    y,
                    Activation.RELU,
                    gamma,
                    operand(BETA),
                    EPSILON,
                    saved,
                    null,
                    NonFinitePolicy.PROPAGATE));
            Operand dx = operand(new float[ELEMENTS]);
            Operand dresidual = operand(new float[ELEMENTS]);
            Operand dgamma = operand(new float[2]);
            Operand dbeta = operand(new float[2]);
            backend.backward(new Backward(
                    SHAPE,
                    layout,
                    false,
                    operand(DY),
                    x,
                    y,
                    Activation.RELU,
                    saved,
                    dx,
                    dresidual,
                    dgamma,
                    dbeta,
                    false));

            assertThat(read(y, ELEMENTS)).containsExactly(toFloat(forward.y()));
            assertThat(read(saved.mean(), 2)).containsExactly(toFloat(forward.mean()));
            assertThat(read(saved.inverseStandardDeviation(), 2))
                    .containsExactly(toFloat(forward.inverseStandardDeviation()));
            assertThat(read(dx, ELEMENTS)).containsExactly(toFloat(gradients.dx()));
            assertThat(read(dresidual, ELEMENTS)).containsExactly(toFloat(gradients.dresidual()));
            assertThat(read(dgamma, 2)).containsExactly(toFloat(gradients.dgamma()));
            assertThat(read(dbeta, 2)).containsExactly(toFloat(gradients.dbeta()));
        }
    }

    @Test
    void backward_reluWithoutOutput_findsTheMaskAgainFromX() {
        for (boolean frozen : new boolean[] {false, true}) {
            Operand y = operand(new float[ELEMENTS]);
            Operand x = operand(X);
            if (frozen) {
                backend.forward(inference(x, y, Activation.RELU, operand(GAMMA), operand(BETA)));
            } else {
                backend.forward(training(SHAPE, x, y, Activation.RELU, operand(GAMMA), operand(BETA), EPSILON, null));
            }
            Operand masked = operand(new float[ELEMENTS]);
            backend.backward(backward(
                    frozen, operand(DY), x, null, Activation.RELU, operand(new float[ELEMENTS]), masked, null, null));

            float[] output = read(y, ELEMENTS);
            float[] expected = DY.clone();
            for (int i = 0; i < ELEMENTS; i++) {
                expected[i] = output[i] > 0 ? DY[i] : 0;
            }
            assertThat(output).as("the activation blocks something").contains(0);
            assertThat(read(masked, ELEMENTS)).containsExactly(expected);
        }
    }

    @Test
    void backward_reluAfterBetaChanged_usesTheMaskOfTheForwardPass() {
        // x̂ is −1, −1, 1, 1, and with β = 0.5 the first two are blocked; β changes before the backward pass.
        Operand beta = operand(0.5f);
        Operand x = operand(0, 0, 4, 4);
        backend.forward(training(Shape.of(4, 1), x, operand(new float[4]), Activation.RELU, null, beta, 0, null));
        backend.fill(beta, 1, -100);
        Operand masked = operand(new float[4]);
        backend.backward(new Backward(
                Shape.of(4, 1),
                FIRST,
                false,
                operand(1, 2, 3, 4),
                x,
                null,
                Activation.RELU,
                saved,
                operand(new float[4]),
                masked,
                null,
                null,
                false));

        assertThat(read(masked, 4)).containsExactly(0, 0, 3, 4);
    }

    @Test
    void backward_meanThatFloat32CannotHold_usesTheSavedDoubles() {
        // Mean 200000⅓, where neighbouring float32 values are 1/64 apart: rounding it would move x̂ by 1 part in 50.
        float[] x = {200_000, 200_000, 200_001};
        Shape shape = Shape.of(3, 1);
        backend.forward(training(shape, operand(x), operand(new float[3]), Activation.NONE, null, null, 0, null));
        Operand dgamma = operand(0);
        backend.backward(new Backward(
                shape,
                FIRST,
                false,
                operand(0, 0, 1),
                operand(x),
                null,
                Activation.NONE,
                saved,
                operand(new float[3]),
                null,
                dgamma,
                null,
                false));

        // dγ = x̂ of the last = (2/3)/√(2/9) = √2.
        assertClose("dγ", read(dgamma, 1)[0], Math.sqrt(2), 2e-7);
    }

    @Test
    void forwardInference_givenStatistics_writesOutputAndSaved() {
        Operand y = operand(new float[3]);
        backend.forward(new ForwardInference(
                Shape.of(3, 1),
                FIRST,
                operand(0, 1, 7),
                operand(0, 100, -100),
                y,
                Activation.RELU,
                operand(4),
                operand(5),
                1,
                operand(1),
                operand(3),
                saved));

        // (x − 1)/2·4 + 5 + residual = 3, 105, −83.
        assertThat(read(y, 3)).containsExactly(3, 105, 0);
        assertThat(read(saved.mean(), 1)).containsExactly(1);
        assertThat(read(saved.inverseStandardDeviation(), 1)).containsExactly(0.5f);
    }

    @Test
    void backward_frozen_isAnAffineRescale() {
        Operand x = operand(0, 1, 7);
        Shape shape = Shape.of(3, 1);
        backend.forward(new ForwardInference(
                shape,
                FIRST,
                x,
                null,
                operand(new float[3]),
                Activation.NONE,
                operand(4),
                null,
                1,
                operand(1),
                operand(3),
                saved));
        Operand dx = operand(new float[3]);
        backend.backward(new Backward(
                shape, FIRST, true, operand(1, 10, 100), x, null, Activation.NONE, saved, dx, null, null, null, false));

        assertThat(read(dx, 3)).containsExactly(2, 20, 200);
    }

    @Test
    void forward_inPlace_givesTheSameOutput() {
        Operand apart = operand(new float[ELEMENTS]);
        Operand overX = operand(X);
        Operand overResidual = operand(RESIDUAL);
        for (boolean train : new boolean[] {true, false}) {
            forward(train, operand(X), operand(RESIDUAL), apart);
            write(overX, X);
            forward(train, overX, operand(RESIDUAL), overX);
            write(overResidual, RESIDUAL);
            forward(train, operand(X), overResidual, overResidual);

            float[] expected = read(apart, ELEMENTS);
            assertThat(expected).isNotEqualTo(X);
            assertThat(read(overX, ELEMENTS)).as("y over x").containsExactly(expected);
            assertThat(read(overResidual, ELEMENTS)).as("y over residual").containsExactly(expected);
        }
    }

    private void forward(boolean train, Operand x, Operand residual, Operand y) {
        if (train) {
            backend.forward(new ForwardTraining(
                    SHAPE,
                    FIRST,
                    x,
                    residual,
                    y,
                    Activation.RELU,
                    operand(GAMMA),
                    operand(BETA),
                    EPSILON,
                    saved,
                    null,
                    NonFinitePolicy.PROPAGATE));
        } else {
            backend.forward(new ForwardInference(
                    SHAPE,
                    FIRST,
                    x,
                    residual,
                    y,
                    Activation.RELU,
                    operand(GAMMA),
                    operand(BETA),
                    EPSILON,
                    operand(0.1f, 0.2f),
                    operand(0.9f, 2),
                    saved));
        }
    }

    @Test
    void backward_inPlace_givesTheSameGradients() {
        Operand x = operand(X);
        Operand y = operand(new float[ELEMENTS]);
        forward(true, x, operand(RESIDUAL), y);
        Operand dx = operand(new float[ELEMENTS]);
        Operand dresidual = operand(new float[ELEMENTS]);
        backend.backward(backward(false, operand(DY), x, y, Activation.RELU, dx, dresidual, null, null));

        Operand dxOverDy = operand(DY);
        Operand other = operand(new float[ELEMENTS]);
        backend.backward(backward(false, dxOverDy, x, y, Activation.RELU, dxOverDy, other, null, null));
        assertThat(read(dxOverDy, ELEMENTS)).as("dx over dy").containsExactly(read(dx, ELEMENTS));
        assertThat(read(other, ELEMENTS)).containsExactly(read(dresidual, ELEMENTS));

        Operand dresidualOverDy = operand(DY);
        backend.backward(backward(false, dresidualOverDy, x, y, Activation.RELU, other, dresidualOverDy, null, null));
        assertThat(read(dresidualOverDy, ELEMENTS)).as("dresidual over dy").containsExactly(read(dresidual, ELEMENTS));
        assertThat(read(other, ELEMENTS)).containsExactly(read(dx, ELEMENTS));
    }

    @Test
    void backward_accumulate_addsParameterGradientsOnly() {
        Operand x = operand(X);
        forward(false, x, null, operand(new float[ELEMENTS]));
        Operand dx = operand(new float[ELEMENTS]);
        Operand dgamma = operand(new float[2]);
        Operand dbeta = operand(new float[2]);
        Operand gamma = operand(GAMMA);
        backend.backward(new Backward(
                SHAPE, FIRST, true, operand(DY), x, null, Activation.NONE, saved, dx, null, dgamma, dbeta, false));
        float[] dxOnce = read(dx, ELEMENTS);
        float[] dgammaOnce = read(dgamma, 2);
        float[] dbetaOnce = read(dbeta, 2);
        backend.backward(new Backward(
                SHAPE, FIRST, true, operand(DY), x, null, Activation.NONE, saved, dx, null, dgamma, dbeta, true));

        assertThat(read(dx, ELEMENTS)).as("dx is never added to").containsExactly(dxOnce);
        for (int c = 0; c < 2; c++) {
            assertThat(dgammaOnce[c]).isNotZero();
            assertClose("dγ twice", read(dgamma, 2)[c], 2 * dgammaOnce[c], Math.ulp(2 * dgammaOnce[c]));
            assertClose("dβ twice", read(dbeta, 2)[c], 2 * dbetaOnce[c], Math.ulp(2 * dbetaOnce[c]));
        }
        backend.backward(new Backward(
                SHAPE, FIRST, true, operand(DY), x, null, Activation.NONE, saved, dx, null, dgamma, dbeta, false));
        assertThat(read(dgamma, 2)).as("overwrites unless told to add").containsExactly(dgammaOnce);
        assertThat(read(dbeta, 2)).containsExactly(dbetaOnce);
    }

    @Test
    void forwardAndBackward_slices_touchNothingAroundThem() {
        Operand plainY = operand(new float[ELEMENTS]);
        Operand plainDx = operand(new float[ELEMENTS]);
        Operand plainDgamma = operand(new float[2]);
        forward(true, operand(X), null, plainY);
        backend.backward(
                backward(false, operand(DY), operand(X), plainY, Activation.RELU, plainDx, null, plainDgamma, null));

        Operand x = guarded(X);
        Operand y = guarded(new float[ELEMENTS]);
        Operand dx = guarded(new float[ELEMENTS]);
        Operand dgamma = guarded(new float[2]);
        RunningStatistics running = new RunningStatistics(
                guarded(new float[] {0, 0}),
                guarded(new float[] {1, 1}),
                guarded(new float[] {0, 0}),
                RunningAverage.cumulative(),
                RunningVariance.BIASED);
        backend.forward(training(SHAPE, x, y, Activation.RELU, guarded(GAMMA), guarded(BETA), EPSILON, running));
        backend.backward(backward(false, guarded(DY), x, y, Activation.RELU, dx, null, dgamma, null));

        assertThat(guardedValues(x, ELEMENTS)).as("an input").containsExactly(X);
        assertThat(guardedValues(y, ELEMENTS)).containsExactly(read(plainY, ELEMENTS));
        assertThat(guardedValues(dx, ELEMENTS)).containsExactly(read(plainDx, ELEMENTS));
        assertThat(guardedValues(dgamma, 2)).containsExactly(read(plainDgamma, 2));
        assertThat(guardedValues(running.mean(), 2)).containsExactly(read(saved.mean(), 2));
        assertThat(guardedValues(running.variance(), 2)).doesNotContain(1, Float.NaN);
        assertThat(guardedValues(running.absorbed(), 2)).containsExactly(1, 1);
    }

    @Test
    void forwardAndBackward_everyNormalization_areTheReferenceRoundedOnce() {
        Shape shape = Normalizations.SHAPE;
        int elements = (int) shape.elements();
        float[] x = toFloat(Values.random(elements, 1));
        float[] dy = toFloat(Values.random(elements, 2));
        for (Normalization kind : Normalizations.ALL) {
            for (Layout layout : Layout.values()) {
                ReferenceNormalization expected = new ReferenceNormalization(kind, shape, layout);
                int affine = expected.affineElements();
                float[] gamma = toFloat(Values.random(affine, 3));
                float[] beta = toFloat(Values.random(affine, 4));
                boolean running = kind.renormalization() != null;
                Statistics statistics = expected.statistics(
                        toDouble(x), EPSILON, running ? new Running(new double[4], ones(4), new double[4]) : null);
                double[] expectedY = expected.normalize(
                        toDouble(x), null, Activation.RELU, toDouble(gamma), toDouble(beta), statistics);
                Gradients gradients = expected.backward(
                        toDouble(dy), toDouble(x), expectedY, Activation.RELU, toDouble(gamma), statistics);
                try (SavedStatistics own = backend.newSavedStatistics(kind, shape, layout)) {
                    Operand y = operand(new float[elements]);
                    backend.forward(new ForwardTraining(
                            kind,
                            shape,
                            layout,
                            operand(x),
                            null,
                            y,
                            Activation.RELU,
                            operand(gamma),
                            operand(beta),
                            EPSILON,
                            own,
                            running ? running(new float[4], toFloat(ones(4)), RunningAverage.exponential(0.5)) : null,
                            NonFinitePolicy.PROPAGATE));
                    Operand dx = operand(new float[elements]);
                    Operand dgamma = operand(new float[affine]);
                    Operand dbeta = operand(new float[affine]);
                    backend.backward(new Backward(
                            kind,
                            shape,
                            layout,
                            false,
                            operand(dy),
                            operand(x),
                            null,
                            Activation.RELU,
                            own,
                            dx,
                            null,
                            dgamma,
                            dbeta,
                            true));

                    assertThat(own.groups()).isEqualTo(expected.groups());
                    assertThat(read(own.mean(), own.groups())).containsExactly(toFloat(statistics.mean()));
                    assertThat(read(own.inverseStandardDeviation(), own.groups()))
                            .containsExactly(toFloat(statistics.inverseStandardDeviation()));
                    assertThat(read(y, elements)).containsExactly(toFloat(expectedY));
                    assertThat(read(dx, elements)).as("dx of " + kind).containsExactly(toFloat(gradients.dx()));
                    assertThat(read(dgamma, affine)).containsExactly(toFloat(gradients.dgamma()));
                    assertThat(read(dbeta, affine)).containsExactly(toFloat(gradients.dbeta()));
                }
            }
        }
    }

    private static double[] ones(int count) {
        double[] ones = new double[count];
        Arrays.fill(ones, 1);
        return ones;
    }

    @Test
    void renormalization_runningStatistics_areThoseBeforeTheUpdate() {
        // x̂ = −1, −1, 1, 1 and, from running mean 1 and variance 1, r = 2 and d = 1: y = x − 1. The running mean
        // becomes
        // 1 + (2 − 1)/2, from which r and d would be others; dγ = Σ dy·(x̂·2 + 1) = −1 − 2 + 9 + 18.
        Normalization kind = Normalizations.renormalization(Grouping.batch(), 3, 5);
        Shape shape = Shape.of(4, 1);
        RunningStatistics running = running(new float[] {1}, new float[] {1}, RunningAverage.exponential(0.5));
        Operand x = operand(0, 0, 4, 4);
        Operand y = operand(new float[4]);
        backend.forward(new ForwardTraining(
                kind,
                shape,
                FIRST,
                x,
                null,
                y,
                Activation.NONE,
                null,
                null,
                0,
                saved,
                running,
                NonFinitePolicy.PROPAGATE));
        Operand dgamma = operand(0);
        backend.backward(new Backward(
                kind,
                shape,
                FIRST,
                false,
                operand(1, 2, 3, 6),
                x,
                null,
                Activation.NONE,
                saved,
                operand(new float[4]),
                null,
                dgamma,
                null,
                false));

        assertThat(read(y, 4)).containsExactly(-1, -1, 3, 3);
        assertThat(read(running.mean(), 1)).containsExactly(1.5f);
        assertThat(read(dgamma, 1)).containsExactly(24);
    }

    @Test
    void forwardInferenceAndBackward_perSample_takeEachSamplesGamma() {
        // Mean 1, variance 3, ε 1: x̂ = −0.5, 0, 3; the statistics are per channel, whatever is normalized together.
        for (Grouping grouping : new Grouping[] {Grouping.batch(), new Grouping.Batch(2), new Grouping.Channels(1)}) {
            Normalization kind = new Normalization(grouping, Normalization.Statistic.CENTERED, true, null);
            Shape shape = Shape.of(3, 1);
            Operand x = operand(0, 1, 7);
            Operand y = operand(new float[3]);
            backend.forward(new ForwardInference(
                    kind,
                    shape,
                    FIRST,
                    x,
                    null,
                    y,
                    Activation.NONE,
                    operand(4, 2, -2),
                    operand(0, 5, 1),
                    1,
                    operand(1),
                    operand(3),
                    saved));
            Operand dx = operand(new float[3]);
            Operand dgamma = operand(new float[3]);
            Operand dbeta = operand(7, 7, 7);
            backend.backward(new Backward(
                    kind,
                    shape,
                    FIRST,
                    true,
                    operand(1, 10, 100),
                    x,
                    null,
                    Activation.NONE,
                    saved,
                    dx,
                    null,
                    dgamma,
                    dbeta,
                    true));

            assertThat(read(y, 3)).containsExactly(-2, 5, -5);
            assertThat(read(dx, 3)).containsExactly(2, 10, -100);
            assertThat(read(dgamma, 3)).containsExactly(-0.5f, 0, 300);
            assertThat(read(dbeta, 3)).containsExactly(8, 17, 107);
        }
    }

    @Test
    void forwardInference_emptyBatch_needsNoRoomForStatistics() {
        Normalization kind = Normalizations.group(2);
        Shape shape = Shape.of(0, 2);
        try (SavedStatistics none = backend.newSavedStatistics(kind, shape, FIRST)) {
            Operand empty = operand();
            backend.forward(new ForwardInference(
                    kind,
                    shape,
                    FIRST,
                    empty,
                    null,
                    empty,
                    Activation.NONE,
                    null,
                    null,
                    1,
                    operand(0, 0),
                    operand(1, 1),
                    none));

            assertThat(none.groups()).isZero();
        }
    }

    @Test
    void forwardTraining_nonFiniteUnderThrow_changesNothing() {
        float[] x = X.clone();
        x[5] = Float.NaN; // batch 0, channel 1
        Operand y = operand(new float[ELEMENTS]);
        RunningStatistics running = running(new float[] {7, 8}, new float[] {9, 10}, RunningAverage.exponential(0.1));

        assertThatThrownBy(() -> backend.forward(new ForwardTraining(
                        SHAPE,
                        FIRST,
                        operand(x),
                        null,
                        y,
                        Activation.NONE,
                        null,
                        null,
                        EPSILON,
                        saved,
                        running,
                        NonFinitePolicy.THROW)))
                .isInstanceOfSatisfying(
                        NonFiniteException.class, e -> assertThat(e.channel()).isEqualTo(1));
        assertThat(read(running.mean(), 2)).containsExactly(7, 8);
        assertThat(read(running.variance(), 2)).containsExactly(9, 10);
        assertThat(read(running.absorbed(), 2)).containsExactly(0, 0);
    }

    @Test
    void forwardTraining_nonFiniteUnderSkip_updatesTheGoodChannelsOnly() {
        float[] x = X.clone();
        x[5] = Float.POSITIVE_INFINITY;
        Operand y = operand(new float[ELEMENTS]);
        RunningStatistics running = running(new float[] {7, 8}, new float[] {9, 10}, RunningAverage.cumulative());
        backend.forward(new ForwardTraining(
                SHAPE,
                FIRST,
                operand(x),
                null,
                y,
                Activation.NONE,
                null,
                null,
                EPSILON,
                saved,
                running,
                NonFinitePolicy.SKIP_RUNNING_UPDATE));

        assertThat(read(running.mean(), 2)).containsExactly(read(saved.mean(), 2)[0], 8);
        assertThat(read(running.variance(), 2)[1]).isEqualTo(10);
        assertThat(read(running.absorbed(), 2)).containsExactly(1, 0);
        assertThat(Arrays.copyOfRange(read(y, ELEMENTS), 0, 4))
                .as("channel 0 stays")
                .doesNotContain(Float.NaN);
        assertThat(Arrays.copyOfRange(read(y, ELEMENTS), 4, 8)).as("channel 1").containsOnly(Float.NaN);
    }

    @Test
    void readAndWrite_slicesAndBuffers_takeWhatRemains() {
        Operand memory = operand(new float[6]);
        FloatBuffer direct = ByteBuffer.allocateDirect(4 * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        direct.put(new float[] {1, 2, 3, 4}).position(1).limit(3);
        backend.write(new Operand(memory.memory(), 2), direct);
        direct.put(1, 99);

        assertThat(read(memory, 6)).as("and later changes stay outside").containsExactly(0, 0, 2, 3, 0, 0);
        float[] all = new float[5];
        backend.read(new Operand(memory.memory(), 1), FloatBuffer.wrap(all, 1, 3));
        assertThat(all).containsExactly(0, 0, 2, 3, 0);
    }

    @Test
    void fillAndCopy_slices_touchNothingAroundThem() {
        Operand from = operand(1, 2, 3, 4);
        Operand to = operand(new float[5]);
        backend.copy(new Operand(from.memory(), 1), new Operand(to.memory(), 2), 2);
        backend.fill(new Operand(to.memory(), 4), 1, 9);

        assertThat(read(to, 5)).containsExactly(0, 0, 2, 3, 9);
    }

    @Test
    void allocate_zeroElements_isAllowed() {
        Operand none = operand();

        assertThat(none.memory().elements()).isZero();
        assertThat(read(none, 0)).isEmpty();
    }

    @Test
    void allocate_negativeOrTooMany_isAnErrorThatSaysTheLimit() {
        for (long elements : new long[] {-1, 1L << 31, Long.MAX_VALUE}) {
            assertThatThrownBy(() -> backend.allocate(elements))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(Long.toString(elements))
                    .hasMessageContaining("2147483639");
        }
    }

    @Test
    void read_pastTheEnd_isAnErrorThatSaysTheSize() {
        Operand memory = operand(1, 2, 3);

        assertThatThrownBy(() -> read(new Operand(memory.memory(), 2), 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("Elements 2 to 4")
                .hasMessageContaining("holds 3");
        assertThatThrownBy(() -> read(new Operand(memory.memory(), -1), 2))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void memory_closed_isAClearError() {
        Operand memory = operand(1, 2);
        memory.memory().close();
        memory.memory().close();

        assertThatThrownBy(() -> read(memory, 2))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The memory of 2 elements is closed");
        assertThatThrownBy(() -> forward(true, memory, null, memory)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void memory_ofAnotherDevice_isAClearError() {
        try (Backend other = new ReferenceBackend();
                Memory foreign = other.allocate(2);
                SavedStatistics foreignSaved = other.newSavedStatistics(2)) {
            assertThatThrownBy(() -> backend.fill(new Operand(foreign, 0), 2, 1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("this CPU reference device's");
            assertThatThrownBy(() -> backend.forward(new ForwardTraining(
                            SHAPE,
                            FIRST,
                            operand(X),
                            null,
                            operand(new float[ELEMENTS]),
                            Activation.NONE,
                            null,
                            null,
                            EPSILON,
                            foreignSaved,
                            null,
                            NonFinitePolicy.PROPAGATE)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("saved statistics");
        }
    }

    @Test
    void backward_withoutForwardOrAfterClose_isAClearError() {
        Operand x = operand(X);
        Operand dx = operand(new float[ELEMENTS]);
        Backward pass = backward(false, operand(DY), x, null, Activation.NONE, dx, null, null, null);

        assertThatThrownBy(() -> backend.backward(pass))
                .as("before any forward pass")
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("saved statistics");
        forward(true, x, null, operand(new float[ELEMENTS]));
        backend.backward(pass);
        saved.close();
        saved.close();
        assertThatThrownBy(() -> backend.backward(pass)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void device_closed_isAClearError() {
        Operand memory = operand(1, 2);
        backend.close();
        backend.close();

        assertThatThrownBy(() -> backend.allocate(1))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The CPU reference device is closed");
        assertThatThrownBy(() -> read(memory, 2)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(backend::finish).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void info_always_saysThatThisIsTheReference() {
        DeviceInfo info = backend.info();

        assertThat(info.kind()).isEqualTo(DeviceInfo.Kind.REFERENCE);
        assertThat(info.platform()).isEqualTo("clnorm");
        assertThat(info.name()).isEqualTo("CPU reference");
        assertThat(info.maxAllocationBytes()).isPositive();
    }

    @Test
    void forwardTraining_manyThreadsOnOneRunningAverage_loseNoBatch() throws Exception {
        int threads = 8;
        int batches = 50;
        // Many channels of few values: most of a pass is between reading and writing the running statistics.
        int channels = 4096;
        Shape shape = Shape.of(2, channels);
        float[] values = toFloat(Values.random(2 * channels, 4));
        RunningStatistics running = running(new float[channels], new float[channels], RunningAverage.cumulative());
        Callable<Void> work = () -> {
            try (SavedStatistics own = backend.newSavedStatistics(channels)) {
                Operand x = operand(values);
                Operand y = operand(new float[values.length]);
                for (int i = 0; i < batches; i++) {
                    backend.forward(new ForwardTraining(
                            shape,
                            FIRST,
                            x,
                            null,
                            y,
                            Activation.NONE,
                            null,
                            null,
                            EPSILON,
                            own,
                            running,
                            NonFinitePolicy.PROPAGATE));
                }
            }
            return null;
        };
        ExecutorService executor = Executors.newFixedThreadPool(threads);
        try {
            List<Future<Void>> done = executor.invokeAll(
                    IntStream.range(0, threads).mapToObj(i -> work).toList());
            for (Future<Void> each : done) {
                each.get();
            }
        } finally {
            executor.shutdownNow();
        }

        assertThat(read(running.absorbed(), channels)).containsOnly(threads * batches);
    }

    private Operand operand(float... values) {
        Operand operand = new Operand(backend.allocate(values.length), 0);
        write(operand, values);
        return operand;
    }

    /** The values in a larger memory, with NaN on both sides. */
    private Operand guarded(float[] values) {
        float[] padded = new float[values.length + 8];
        Arrays.fill(padded, Float.NaN);
        System.arraycopy(values, 0, padded, 3, values.length);
        return new Operand(operand(padded).memory(), 3);
    }

    private float[] guardedValues(Operand operand, int count) {
        float[] padded = read(new Operand(operand.memory(), 0), count + 8);
        assertThat(Arrays.copyOfRange(padded, 0, 3)).as("before the slice").containsOnly(Float.NaN);
        assertThat(Arrays.copyOfRange(padded, 3 + count, count + 8))
                .as("after the slice")
                .containsOnly(Float.NaN);
        return Arrays.copyOfRange(padded, 3, 3 + count);
    }

    private void write(Operand to, float[] values) {
        backend.write(to, FloatBuffer.wrap(values));
    }

    private float[] read(Operand from, int count) {
        float[] values = new float[count];
        backend.read(from, FloatBuffer.wrap(values));
        return values;
    }

    private RunningStatistics running(float[] mean, float[] variance, RunningAverage average) {
        return new RunningStatistics(
                operand(mean), operand(variance), operand(new float[mean.length]), average, RunningVariance.UNBIASED);
    }

    private ForwardTraining training(
            Shape shape,
            Operand x,
            Operand y,
            Activation activation,
            Operand gamma,
            Operand beta,
            double epsilon,
            RunningStatistics running) {
        return new ForwardTraining(
                shape, FIRST, x, null, y, activation, gamma, beta, epsilon, saved, running, NonFinitePolicy.PROPAGATE);
    }

    private ForwardInference inference(Operand x, Operand y, Activation activation, Operand gamma, Operand beta) {
        return new ForwardInference(
                SHAPE,
                FIRST,
                x,
                null,
                y,
                activation,
                gamma,
                beta,
                EPSILON,
                operand(0.1f, 0.2f),
                operand(0.9f, 2),
                saved);
    }

    private Backward backward(
            boolean frozen,
            Operand dy,
            Operand x,
            Operand y,
            Activation activation,
            Operand dx,
            Operand dresidual,
            Operand dgamma,
            Operand dbeta) {
        return new Backward(SHAPE, FIRST, frozen, dy, x, y, activation, saved, dx, dresidual, dgamma, dbeta, false);
    }
}
