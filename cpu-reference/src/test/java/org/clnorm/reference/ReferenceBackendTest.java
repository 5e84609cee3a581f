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
import java.util.function.Function;
import java.util.stream.IntStream;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.InvertForward;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.Role;
import org.clnorm.backend.RunningUpdate;
import org.clnorm.reference.ReferenceBatchNorm.Forward;
import org.clnorm.reference.ReferenceBatchNorm.Gradients;
import org.clnorm.reference.ReferenceBatchNorm.Running;
import org.clnorm.reference.ReferenceNormalization.Statistics;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
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
    private static final NonFinitePolicy PROPAGATE = NonFinitePolicy.PROPAGATE;
    private static final RunningUpdate CUMULATIVE =
            new RunningUpdate(RunningAverage.cumulative(), RunningVariance.UNBIASED);
    private static final RunningUpdate HALF =
            new RunningUpdate(RunningAverage.exponential(0.5), RunningVariance.UNBIASED);

    private final Backend backend = new ReferenceBackend();
    private final Coefficients saved = backend.newCoefficients(2);

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
        Operands operands = affine(forward(operand(0, 0, 4, 4), y), operand(4), operand(1));
        putRunning(operands, new float[] {0}, new float[] {1});
        run(training(Shape.of(4, 1), Activation.NONE, 12, HALF), operands);

        assertThat(read(y, 4)).containsExactly(-1, -1, 3, 3);
        assertThat(read(saved.mean(), 1)).containsExactly(2);
        assertThat(read(saved.inverseStandardDeviation(), 1)).containsExactly(0.25f);
        assertThat(read(operands, Role.RUNNING_MEAN, 1)).containsExactly(1);
        assertThat(read(operands, Role.RUNNING_VARIANCE, 1)).containsExactly(19f / 6);
        assertThat(read(operands, Role.ABSORBED, 1)).containsExactly(1);
    }

    @Test
    void forwardTraining_meanFarFromZero_isExactWhereTheAnswerIs() {
        // −3..3 around the mean: variance (9 + 4 + 1 + 0 + 1 + 4 + 9)/7 = 4, and y is half the offset.
        for (float mean : new float[] {2e3f, 2e4f, 2e5f}) {
            float[] x = {mean + 1, mean - 3, mean, mean + 3, mean - 2, mean - 1, mean + 2};
            Operand y = operand(new float[7]);
            run(training(Shape.of(7, 1), Activation.NONE, 0), forward(operand(x), y));

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
            run(
                    training(Normalization.BATCH, SHAPE, layout, Activation.RELU, EPSILON, null, PROPAGATE),
                    affine(forward(x, y), operand(GAMMA), operand(BETA)).put(Role.RESIDUAL, operand(RESIDUAL)));
            Operand dx = operand(new float[ELEMENTS]);
            Operand dresidual = operand(new float[ELEMENTS]);
            Operand dgamma = operand(new float[2]);
            Operand dbeta = operand(new float[2]);
            run(
                    backward(Normalization.BATCH, SHAPE, layout, false, Activation.RELU, EPSILON, false),
                    affineGradients(backward(operand(DY), x, dx), dgamma, dbeta)
                            .put(Role.Y, y)
                            .put(Role.DRESIDUAL, dresidual));

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
            forward(!frozen, x, null, y);
            Operand masked = operand(new float[ELEMENTS]);
            run(
                    backward(SHAPE, frozen, Activation.RELU, EPSILON),
                    backward(operand(DY), x, operand(new float[ELEMENTS])).put(Role.DRESIDUAL, masked));

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
        Shape shape = Shape.of(4, 1);
        Operand beta = operand(0.5f);
        Operand x = operand(0, 0, 4, 4);
        run(training(shape, Activation.RELU, 0), affine(forward(x, operand(new float[4])), null, beta));
        backend.fill(beta, 1, -100);
        Operand masked = operand(new float[4]);
        run(
                backward(shape, false, Activation.RELU, 0),
                backward(operand(1, 2, 3, 4), x, operand(new float[4])).put(Role.DRESIDUAL, masked));

        assertThat(read(masked, 4)).containsExactly(0, 0, 3, 4);
    }

    @Test
    void backward_meanThatFloat32CannotHold_usesTheSavedDoubles() {
        // Mean 200000⅓, where neighbouring float32 values are 1/64 apart: rounding it would move x̂ by 1 part in 50.
        Shape shape = Shape.of(3, 1);
        Operand x = operand(200_000, 200_000, 200_001);
        run(training(shape, Activation.NONE, 0), forward(x, operand(new float[3])));
        Operand dgamma = operand(0);
        run(
                backward(shape, false, Activation.NONE, 0),
                affineGradients(backward(operand(0, 0, 1), x, operand(new float[3])), dgamma, null));

        // dγ = x̂ of the last = (2/3)/√(2/9) = √2.
        assertClose("dγ", read(dgamma, 1)[0], Math.sqrt(2), 2e-7);
    }

    @Test
    void forwardInference_givenStatistics_writesOutputAndSaved() {
        Operand y = operand(new float[3]);
        run(
                inference(Shape.of(3, 1), Activation.RELU, 1),
                given(affine(forward(operand(0, 1, 7), y), operand(4), operand(5)), operand(1), operand(3))
                        .put(Role.RESIDUAL, operand(0, 100, -100)));

        // (x − 1)/2·4 + 5 + residual = 3, 105, −83.
        assertThat(read(y, 3)).containsExactly(3, 105, 0);
        assertThat(read(saved.mean(), 1)).containsExactly(1);
        assertThat(read(saved.inverseStandardDeviation(), 1)).containsExactly(0.5f);
    }

    @Test
    void backward_frozen_isAnAffineRescale() {
        Operand x = operand(0, 1, 7);
        Shape shape = Shape.of(3, 1);
        run(
                inference(shape, Activation.NONE, 1),
                given(affine(forward(x, operand(new float[3])), operand(4), null), operand(1), operand(3)));
        Operand dx = operand(new float[3]);
        run(backward(shape, true, Activation.NONE, 1), backward(operand(1, 10, 100), x, dx));

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

    /** With an activation, γ and β; the residual may be null. */
    private void forward(boolean train, Operand x, Operand residual, Operand y) {
        Operands operands = affine(forward(x, y), operand(GAMMA), operand(BETA)).put(Role.RESIDUAL, residual);
        if (train) {
            run(training(SHAPE, Activation.RELU, EPSILON), operands);
        } else {
            run(inference(SHAPE, Activation.RELU, EPSILON), given(operands, operand(0.1f, 0.2f), operand(0.9f, 2)));
        }
    }

    @Test
    void backward_inPlace_givesTheSameGradients() {
        Operand x = operand(X);
        Operand y = operand(new float[ELEMENTS]);
        forward(true, x, operand(RESIDUAL), y);
        Function<OperandTypes, PassSpec> pass = backward(SHAPE, false, Activation.RELU, EPSILON);
        Operand dx = operand(new float[ELEMENTS]);
        Operand dresidual = operand(new float[ELEMENTS]);
        run(pass, backward(operand(DY), x, dx).put(Role.Y, y).put(Role.DRESIDUAL, dresidual));

        Operand dxOverDy = operand(DY);
        Operand other = operand(new float[ELEMENTS]);
        run(pass, backward(dxOverDy, x, dxOverDy).put(Role.Y, y).put(Role.DRESIDUAL, other));
        assertThat(read(dxOverDy, ELEMENTS)).as("dx over dy").containsExactly(read(dx, ELEMENTS));
        assertThat(read(other, ELEMENTS)).containsExactly(read(dresidual, ELEMENTS));

        Operand dresidualOverDy = operand(DY);
        run(pass, backward(dresidualOverDy, x, other).put(Role.Y, y).put(Role.DRESIDUAL, dresidualOverDy));
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
        Operands operands = affineGradients(backward(operand(DY), x, dx), dgamma, dbeta);
        run(backward(SHAPE, true, Activation.NONE, EPSILON), operands);
        float[] dxOnce = read(dx, ELEMENTS);
        float[] dgammaOnce = read(dgamma, 2);
        float[] dbetaOnce = read(dbeta, 2);
        run(backward(Normalization.BATCH, SHAPE, FIRST, true, Activation.NONE, EPSILON, true), operands);

        assertThat(read(dx, ELEMENTS)).as("dx is never added to").containsExactly(dxOnce);
        for (int c = 0; c < 2; c++) {
            assertThat(dgammaOnce[c]).isNotZero();
            assertClose("dγ twice", read(dgamma, 2)[c], 2 * dgammaOnce[c], Math.ulp(2 * dgammaOnce[c]));
            assertClose("dβ twice", read(dbeta, 2)[c], 2 * dbetaOnce[c], Math.ulp(2 * dbetaOnce[c]));
        }
        run(backward(SHAPE, true, Activation.NONE, EPSILON), operands);
        assertThat(read(dgamma, 2)).as("overwrites unless told to add").containsExactly(dgammaOnce);
        assertThat(read(dbeta, 2)).containsExactly(dbetaOnce);
    }

    @Test
    void forwardAndBackward_slices_touchNothingAroundThem() {
        Operand plainY = operand(new float[ELEMENTS]);
        Operand plainDx = operand(new float[ELEMENTS]);
        Operand plainDgamma = operand(new float[2]);
        forward(true, operand(X), null, plainY);
        Function<OperandTypes, PassSpec> pass = backward(SHAPE, false, Activation.RELU, EPSILON);
        run(
                pass,
                affineGradients(backward(operand(DY), operand(X), plainDx), plainDgamma, null)
                        .put(Role.Y, plainY));

        Operand x = guarded(X);
        Operand y = guarded(new float[ELEMENTS]);
        Operand dx = guarded(new float[ELEMENTS]);
        Operand dgamma = guarded(new float[2]);
        Operand runningMean = guarded(new float[] {0, 0});
        Operand runningVariance = guarded(new float[] {1, 1});
        Operand absorbed = guarded(new float[] {0, 0});
        run(
                training(
                        SHAPE,
                        Activation.RELU,
                        EPSILON,
                        new RunningUpdate(RunningAverage.cumulative(), RunningVariance.BIASED)),
                affine(forward(x, y), guarded(GAMMA), guarded(BETA))
                        .put(Role.RUNNING_MEAN, runningMean)
                        .put(Role.RUNNING_VARIANCE, runningVariance)
                        .put(Role.ABSORBED, absorbed));
        run(pass, affineGradients(backward(guarded(DY), x, dx), dgamma, null).put(Role.Y, y));

        assertThat(guardedValues(x, ELEMENTS)).as("an input").containsExactly(X);
        assertThat(guardedValues(y, ELEMENTS)).containsExactly(read(plainY, ELEMENTS));
        assertThat(guardedValues(dx, ELEMENTS)).containsExactly(read(plainDx, ELEMENTS));
        assertThat(guardedValues(dgamma, 2)).containsExactly(read(plainDgamma, 2));
        assertThat(guardedValues(runningMean, 2)).containsExactly(read(saved.mean(), 2));
        assertThat(guardedValues(runningVariance, 2)).doesNotContain(1, Float.NaN);
        assertThat(guardedValues(absorbed, 2)).containsExactly(1, 1);
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
                try (Coefficients own = backend.newCoefficients(kind, shape, layout)) {
                    Operand y = operand(new float[elements]);
                    Operands operands = affine(forward(operand(x), y), operand(gamma), operand(beta));
                    if (running) {
                        putRunning(operands, new float[4], toFloat(ones(4)));
                    }
                    run(
                            training(kind, shape, layout, Activation.RELU, EPSILON, running ? HALF : null, PROPAGATE),
                            operands,
                            own);
                    Operand dx = operand(new float[elements]);
                    Operand dgamma = operand(new float[affine]);
                    Operand dbeta = operand(new float[affine]);
                    run(
                            backward(kind, shape, layout, false, Activation.RELU, EPSILON, true),
                            affineGradients(backward(operand(dy), operand(x), dx), dgamma, dbeta),
                            own);

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
    void givenStatistics_ofTheLastSample_areTheRunningOnesAfterTheUpdate() {
        // Mean 1 and unbiased variance 2 enter 5 and 6 by half: 3 and 4, so that 9 comes out as (9 − 3) / 2.
        Normalization kind = Normalizations.ghost(2, Grouping.Batch.Rest.GIVEN);
        Shape shape = Shape.of(3, 1);
        Operand y = operand(new float[3]);
        Operands operands = putRunning(forward(operand(0, 2, 9), y), new float[] {5}, new float[] {6});
        run(training(kind, shape, FIRST, Activation.NONE, 0, HALF, PROPAGATE), operands);

        assertThat(read(y, 3)).containsExactly(-1, 1, 3);
        assertThat(read(operands.get(Role.RUNNING_MEAN), 1)).containsExactly(3);
        assertThat(read(operands.get(Role.RUNNING_VARIANCE), 1)).containsExactly(4);
    }

    @Test
    void givenStatistics_withoutAnUpdate_areOperandsOfThePass() {
        Normalization kind = Normalizations.ghost(2, Grouping.Batch.Rest.GIVEN);
        Shape shape = Shape.of(3, 1);
        Operand y = operand(new float[3]);
        Operands operands = forward(operand(0, 2, 9), y);
        assertThatThrownBy(() -> run(training(kind, shape, FIRST, Activation.NONE, 0, null, PROPAGATE), operands))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("the mean and the variance are operands");
        operands.put(Role.MEAN, operand(5)).put(Role.VARIANCE, operand(4));
        run(training(kind, shape, FIRST, Activation.NONE, 0, null, PROPAGATE), operands);

        assertThat(read(y, 3)).containsExactly(-1, 1, 2);
    }

    @Test
    void givenStatistics_ofAllSamples_areNoTrainingPass() {
        Operands operands = forward(operand(0, 2), operand(new float[2]))
                .put(Role.MEAN, operand(5))
                .put(Role.VARIANCE, operand(4));
        Normalization kind = Normalizations.ghost(3, Grouping.Batch.Rest.GIVEN);
        assertThatThrownBy(
                        () -> run(training(kind, Shape.of(2, 1), FIRST, Activation.NONE, 0, null, PROPAGATE), operands))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("others before them");
    }

    @Test
    void renormalization_runningStatistics_areThoseBeforeTheUpdate() {
        // x̂ = −1, −1, 1, 1 and, from running mean 1 and variance 1, r = 2 and d = 1: y = x − 1. The running mean
        // becomes 1 + (2 − 1)/2, from which r and d would be others; dγ = Σ dy·(x̂·2 + 1) = −1 − 2 + 9 + 18.
        Normalization kind = Normalizations.renormalization(Grouping.batch(), 3, 5);
        Shape shape = Shape.of(4, 1);
        Operand x = operand(0, 0, 4, 4);
        Operand y = operand(new float[4]);
        Operands operands = putRunning(forward(x, y), new float[] {1}, new float[] {1});
        run(training(kind, shape, FIRST, Activation.NONE, 0, HALF, PROPAGATE), operands);
        Operand dgamma = operand(0);
        run(
                backward(kind, shape, FIRST, false, Activation.NONE, 0, false),
                affineGradients(backward(operand(1, 2, 3, 6), x, operand(new float[4])), dgamma, null));

        assertThat(read(y, 4)).containsExactly(-1, -1, 3, 3);
        assertThat(read(operands, Role.RUNNING_MEAN, 1)).containsExactly(1.5f);
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
            run(
                    inference(kind, shape, Activation.NONE, 1),
                    given(affine(forward(x, y), operand(4, 2, -2), operand(0, 5, 1)), operand(1), operand(3)));
            Operand dx = operand(new float[3]);
            Operand dgamma = operand(new float[3]);
            Operand dbeta = operand(7, 7, 7);
            run(
                    backward(kind, shape, FIRST, true, Activation.NONE, 1, true),
                    affineGradients(backward(operand(1, 10, 100), x, dx), dgamma, dbeta));

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
        try (Coefficients none = backend.newCoefficients(kind, shape, FIRST)) {
            Operand empty = operand();
            run(
                    inference(kind, shape, Activation.NONE, 1),
                    given(forward(empty, empty), operand(0, 0), operand(1, 1)),
                    none);

            assertThat(none.groups()).isZero();
        }
    }

    @Test
    void combined_onePart_isThePlainPass() {
        Operand x = operand(X);
        Operands forward = affine(forward(x, operand(new float[ELEMENTS])), operand(GAMMA), operand(BETA));
        putRunning(forward, new float[2], new float[] {1, 1});
        run(training(SHAPE, Activation.RELU, EPSILON, HALF), forward);
        Operands backward = affineGradients(
                backward(operand(DY), x, operand(new float[ELEMENTS])), operand(new float[2]), operand(new float[2]));
        run(backward(SHAPE, false, Activation.RELU, EPSILON), backward);
        float[] y = read(forward, Role.Y, ELEMENTS);
        float[] runningVariance = read(forward, Role.RUNNING_VARIANCE, 2);
        float[] dx = read(backward, Role.DX, ELEMENTS);
        float[] dgamma = read(backward, Role.DGAMMA, 2);
        float[] dbeta = read(backward, Role.DBETA, 2);

        putRunning(forward.put(Role.Y, operand(new float[ELEMENTS])), new float[2], new float[] {1, 1});
        backward.put(Role.DX, operand(new float[ELEMENTS]));
        affineGradients(backward, operand(new float[2]), operand(new float[2]));
        try (Coefficients own = backend.newCoefficients(2)) {
            run(types -> new ReduceForward(SHAPE, FIRST, types), new Operands().put(Role.X, x), own);
            own.writeMoments(own.readMoments(12).get(), RunningVariance.UNBIASED);
            run(combined(SHAPE), forward, own);
            run(
                    types -> new ReduceBackward(SHAPE, FIRST, types, Activation.RELU),
                    new Operands().put(Role.X, x).put(Role.DY, backward.get(Role.DY)),
                    own);
            GradientSums sums = own.readSums(12).get();
            own.writeSums(sums, sums);
            run(types -> new BackwardCombined(SHAPE, FIRST, types, Activation.RELU, EPSILON, false), backward, own);
        }

        assertClose("y", toDouble(read(forward, Role.Y, ELEMENTS)), toDouble(y), 1e-6);
        assertClose(
                "running variance", toDouble(read(forward, Role.RUNNING_VARIANCE, 2)), toDouble(runningVariance), 1e-6);
        assertClose("dx", toDouble(read(backward, Role.DX, ELEMENTS)), toDouble(dx), 1e-6);
        assertClose("dγ", toDouble(read(backward, Role.DGAMMA, 2)), toDouble(dgamma), 1e-6);
        assertClose("dβ", toDouble(read(backward, Role.DBETA, 2)), toDouble(dbeta), 1e-6);
    }

    @Test
    void forwardCombined_emptyPart_seesToTheRunningStatistics() {
        // Mean 2, M2 16 of 5 values elsewhere: the unbiased variance is 4, and half of each enters.
        Operand empty = operand();
        Operands operands = putRunning(forward(empty, empty), new float[2], new float[2]);
        ChannelMoments moments = new ChannelMoments(5, new double[] {2, 2}, new double[] {16, 16});
        saved.writeMoments(moments, RunningVariance.UNBIASED);
        run(combined(Shape.of(0, 2)), operands);

        assertThat(read(operands, Role.RUNNING_MEAN, 2)).containsExactly(1, 1);
        assertThat(read(operands, Role.RUNNING_VARIANCE, 2)).containsExactly(2, 2);
        assertThat(read(operands, Role.ABSORBED, 2)).containsExactly(1, 1);
        saved.writeMoments(moments, RunningVariance.BIASED);
        assertThatThrownBy(() -> run(combined(Shape.of(0, 2)), operands))
                .as("moments for another estimate")
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("unbiased", "the biased one");
    }

    @Test
    void coefficients_withoutThePassBefore_areAClearError() {
        Operands operands = forward(operand(X), operand(new float[ELEMENTS]));
        Operands gradients = backward(operand(DY), operand(X), operand(new float[ELEMENTS]));

        assertThatThrownBy(() -> saved.readMoments(12))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The coefficients do not hold moments that a pass left");
        assertThatThrownBy(() -> saved.readSums(12))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The coefficients do not hold sums that a pass left");
        forward(true, operand(X), null, operand(new float[ELEMENTS]));
        assertThatThrownBy(() -> run(
                        types -> new ForwardCombined(SHAPE, FIRST, types, Activation.NONE, EPSILON, null, PROPAGATE),
                        operands))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The coefficients do not hold moments to normalize by");
        assertThatThrownBy(() -> run(
                        types -> new BackwardCombined(SHAPE, FIRST, types, Activation.NONE, EPSILON, false), gradients))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The coefficients do not hold sums to go by");
    }

    @Test
    void readMoments_ofAnotherCount_isAClearError() {
        run(types -> new ReduceForward(SHAPE, FIRST, types), new Operands().put(Role.X, operand(X)));

        assertThat(saved.readMoments(12).get().count()).isEqualTo(12);
        assertThatThrownBy(() -> saved.readMoments(11))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("12", "11");
    }

    @Test
    void preparedPass_otherTypes_areRefusedBeforeAnythingIsWritten() {
        float[] sevens = new float[ELEMENTS];
        Arrays.fill(sevens, 7);
        Operand y = operand(sevens);
        Operands operands = putRunning(forward(operand(X), y), new float[] {7, 8}, new float[] {9, 10});
        try (PreparedPass pass =
                backend.prepare(training(SHAPE, Activation.NONE, EPSILON, HALF).apply(operands.types()))) {
            operands.put(Role.Y, new Operand(y.memory(), 0, DataType.FLOAT16));
            assertThatThrownBy(() -> pass.run(operands, saved))
                    .as("another type")
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("The pass was prepared for the operands {X=float32, Y=float32, RUNNING_MEAN=float32,"
                            + " RUNNING_VARIANCE=float32, ABSORBED=float32}, but given were {X=float32, Y=float16,"
                            + " RUNNING_MEAN=float32, RUNNING_VARIANCE=float32, ABSORBED=float32}");
            operands.put(Role.Y, y).put(Role.RESIDUAL, operand(RESIDUAL));
            assertThatThrownBy(() -> pass.run(operands, saved))
                    .as("one too many")
                    .isInstanceOf(IllegalArgumentException.class);
            operands.put(Role.RESIDUAL, null).put(Role.X, null);
            assertThatThrownBy(() -> pass.run(operands, saved))
                    .as("one too few")
                    .isInstanceOf(IllegalArgumentException.class);
        }

        assertThat(read(y, ELEMENTS)).containsExactly(sevens);
        assertThat(read(operands, Role.RUNNING_MEAN, 2)).containsExactly(7, 8);
        assertThat(read(operands, Role.RUNNING_VARIANCE, 2)).containsExactly(9, 10);
        assertThat(read(operands, Role.ABSORBED, 2)).containsExactly(0, 0);
        assertThat(read(saved.mean(), 2)).containsExactly(0, 0);
    }

    @Test
    void preparedPass_onTwoSetsOfMemory_givesWhatTwoRunsGive() {
        Operands one = affine(forward(operand(X), operand(new float[ELEMENTS])), operand(GAMMA), operand(BETA));
        Operands other = affine(forward(operand(DY), operand(new float[ELEMENTS])), operand(BETA), operand(GAMMA));
        PassSpec spec = training(SHAPE, Activation.RELU, EPSILON).apply(one.types());
        backend.run(spec, one, saved);
        float[] y = read(one, Role.Y, ELEMENTS);
        float[] mean = read(saved.mean(), 2);
        backend.run(spec, other, saved);
        float[] otherY = read(other, Role.Y, ELEMENTS);
        float[] otherMean = read(saved.mean(), 2);
        one.put(Role.Y, operand(new float[ELEMENTS]));
        other.put(Role.Y, operand(new float[ELEMENTS]));
        PreparedPass pass = backend.prepare(spec);
        try (Coefficients second = backend.newCoefficients(2)) {
            pass.run(one, saved);
            pass.run(other, second);
            pass.close();
            pass.close();

            assertThat(read(one, Role.Y, ELEMENTS)).containsExactly(y);
            assertThat(read(saved.mean(), 2)).containsExactly(mean);
            assertThat(read(other, Role.Y, ELEMENTS)).containsExactly(otherY).isNotEqualTo(y);
            assertThat(read(second.mean(), 2)).containsExactly(otherMean).isNotEqualTo(mean);
        }
    }

    @Test
    void forwardTraining_nonFiniteUnderThrow_changesNothing() {
        float[] x = X.clone();
        x[5] = Float.NaN; // batch 0, channel 1
        Operands operands = forward(operand(x), operand(new float[ELEMENTS]));
        putRunning(operands, new float[] {7, 8}, new float[] {9, 10});

        assertThatThrownBy(() -> run(
                        training(
                                Normalization.BATCH,
                                SHAPE,
                                FIRST,
                                Activation.NONE,
                                EPSILON,
                                HALF,
                                NonFinitePolicy.THROW),
                        operands))
                .isInstanceOfSatisfying(
                        NonFiniteException.class, e -> assertThat(e.channel()).isEqualTo(1));
        assertThat(read(operands, Role.RUNNING_MEAN, 2)).containsExactly(7, 8);
        assertThat(read(operands, Role.RUNNING_VARIANCE, 2)).containsExactly(9, 10);
        assertThat(read(operands, Role.ABSORBED, 2)).containsExactly(0, 0);
    }

    @Test
    void forwardTraining_nonFiniteUnderSkip_updatesTheGoodChannelsOnly() {
        float[] x = X.clone();
        x[5] = Float.POSITIVE_INFINITY;
        Operand y = operand(new float[ELEMENTS]);
        Operands operands = putRunning(forward(operand(x), y), new float[] {7, 8}, new float[] {9, 10});
        run(
                training(
                        Normalization.BATCH,
                        SHAPE,
                        FIRST,
                        Activation.NONE,
                        EPSILON,
                        CUMULATIVE,
                        NonFinitePolicy.SKIP_RUNNING_UPDATE),
                operands);

        assertThat(read(operands, Role.RUNNING_MEAN, 2)).containsExactly(read(saved.mean(), 2)[0], 8);
        assertThat(read(operands, Role.RUNNING_VARIANCE, 2)[1]).isEqualTo(10);
        assertThat(read(operands, Role.ABSORBED, 2)).containsExactly(1, 0);
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
                Coefficients foreignSaved = other.newCoefficients(2)) {
            assertThatThrownBy(() -> backend.fill(new Operand(foreign, 0), 2, 1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("this CPU reference device's");
            assertThatThrownBy(() -> run(
                            training(SHAPE, Activation.NONE, EPSILON),
                            forward(operand(X), operand(new float[ELEMENTS])),
                            foreignSaved))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("coefficients");
        }
    }

    @Test
    void backward_handWorkedBatchInPlace_hasXFromY() {
        // As above: x̂ = −0.5, −0.5, 0.5, 0.5 and y = −1, −1, 3, 3 before a slope of 1/2. dy' = 0.5, 1, 3, 6, so that
        // dβ = 10.5 and dγ = 3.75; dx = 1·(dy' − 10.5/4 − x̂·3.75/4).
        Shape shape = Shape.of(4, 1);
        Activation activation = Activation.leakyRelu(0.5);
        Operand y = operand(0, 0, 4, 4);
        Operand dx = operand(new float[4]);
        Operands gradients = backward(operand(1, 2, 3, 6), y, dx)
                .put(Role.DGAMMA, operand(0))
                .put(Role.DBETA, operand(0));
        run(training(shape, activation, 12), affine(forward(y, y), operand(4), operand(1)));
        assertThat(read(y, 4)).containsExactly(-0.5f, -0.5f, 3, 3);

        for (int again = 0; again < 2; again++) {
            if (again == 0) {
                assertThatThrownBy(() -> run(inPlace(shape, activation), gradients))
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("there was none");
                run(types -> new InvertForward(shape, FIRST, types), new Operands());
            }
            run(inPlace(shape, activation), gradients);

            assertThat(read(gradients, Role.DBETA, 1)).containsExactly(10.5f);
            assertThat(read(gradients, Role.DGAMMA, 1)).containsExactly(3.75f);
            assertThat(read(dx, 4)).containsExactly(-1.65625f, -1.15625f, -0.09375f, 2.90625f);
        }
        assertThatThrownBy(() -> run(backward(shape, false, activation, 12), gradients))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("there was one");
    }

    private static Function<OperandTypes, PassSpec> inPlace(Shape shape, Activation activation) {
        return types -> new Backward(Normalization.BATCH, shape, FIRST, types, false, activation, 12, false, true);
    }

    @Test
    void backward_withoutForwardOrAfterClose_isAClearError() {
        Operand x = operand(X);
        Operands operands = backward(operand(DY), x, operand(new float[ELEMENTS]));
        Function<OperandTypes, PassSpec> pass = backward(SHAPE, false, Activation.NONE, EPSILON);

        assertThatThrownBy(() -> run(pass, operands))
                .as("before any forward pass")
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The coefficients do not hold what a forward pass leaves");
        forward(true, x, null, operand(new float[ELEMENTS]));
        run(pass, operands);
        saved.close();
        saved.close();
        assertThatThrownBy(() -> run(pass, operands))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The coefficients are closed");
    }

    @Test
    void device_closed_isAClearError() {
        Operand memory = operand(1, 2);
        Operands operands = forward(operand(X), operand(new float[ELEMENTS]));
        PassSpec spec = training(SHAPE, Activation.NONE, EPSILON).apply(operands.types());
        PreparedPass pass = backend.prepare(spec);
        backend.close();
        backend.close();

        assertThatThrownBy(() -> backend.allocate(1))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("The CPU reference device is closed");
        assertThatThrownBy(() -> read(memory, 2)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(backend::finish).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> backend.prepare(spec)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> pass.run(operands, saved)).isInstanceOf(IllegalStateException.class);
        pass.close();
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
        Operands running = putRunning(new Operands(), new float[channels], new float[channels]);
        Callable<Void> work = () -> {
            Operands operands = forward(operand(values), operand(new float[values.length]))
                    .put(Role.RUNNING_MEAN, running.get(Role.RUNNING_MEAN))
                    .put(Role.RUNNING_VARIANCE, running.get(Role.RUNNING_VARIANCE))
                    .put(Role.ABSORBED, running.get(Role.ABSORBED));
            try (Coefficients own = backend.newCoefficients(channels)) {
                for (int i = 0; i < batches; i++) {
                    run(training(shape, Activation.NONE, EPSILON, CUMULATIVE), operands, own);
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

        assertThat(read(running, Role.ABSORBED, channels)).containsOnly(threads * batches);
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

    private float[] read(Operands from, Role role, int count) {
        return read(from.get(role), count);
    }

    private static Operands forward(Operand x, Operand y) {
        return new Operands().put(Role.X, x).put(Role.Y, y);
    }

    private static Operands backward(Operand dy, Operand x, Operand dx) {
        return new Operands().put(Role.DY, dy).put(Role.X, x).put(Role.DX, dx);
    }

    private static Operands affine(Operands to, Operand gamma, Operand beta) {
        return to.put(Role.GAMMA, gamma).put(Role.BETA, beta);
    }

    private static Operands affineGradients(Operands to, Operand dgamma, Operand dbeta) {
        return to.put(Role.DGAMMA, dgamma).put(Role.DBETA, dbeta);
    }

    private static Operands given(Operands to, Operand mean, Operand variance) {
        return to.put(Role.MEAN, mean).put(Role.VARIANCE, variance);
    }

    /** Of no batch yet. */
    private Operands putRunning(Operands to, float[] mean, float[] variance) {
        return to.put(Role.RUNNING_MEAN, operand(mean))
                .put(Role.RUNNING_VARIANCE, operand(variance))
                .put(Role.ABSORBED, operand(new float[mean.length]));
    }

    private void run(Function<OperandTypes, PassSpec> pass, Operands operands) {
        run(pass, operands, saved);
    }

    /** The pass of the operands that there are. */
    private void run(Function<OperandTypes, PassSpec> pass, Operands operands, Coefficients coefficients) {
        backend.run(pass.apply(operands.types()), operands, coefficients);
    }

    private static Function<OperandTypes, PassSpec> training(Shape shape, Activation activation, double epsilon) {
        return training(shape, activation, epsilon, null);
    }

    private static Function<OperandTypes, PassSpec> training(
            Shape shape, Activation activation, double epsilon, RunningUpdate running) {
        return training(Normalization.BATCH, shape, FIRST, activation, epsilon, running, PROPAGATE);
    }

    private static Function<OperandTypes, PassSpec> training(
            Normalization kind,
            Shape shape,
            Layout layout,
            Activation activation,
            double epsilon,
            RunningUpdate running,
            NonFinitePolicy policy) {
        return types -> new ForwardTraining(kind, shape, layout, types, activation, epsilon, running, policy);
    }

    private static Function<OperandTypes, PassSpec> inference(Shape shape, Activation activation, double epsilon) {
        return inference(Normalization.BATCH, shape, activation, epsilon);
    }

    private static Function<OperandTypes, PassSpec> inference(
            Normalization kind, Shape shape, Activation activation, double epsilon) {
        return types -> new ForwardInference(kind, shape, FIRST, types, activation, epsilon);
    }

    private static Function<OperandTypes, PassSpec> combined(Shape shape) {
        return types -> new ForwardCombined(shape, FIRST, types, Activation.RELU, EPSILON, HALF, PROPAGATE);
    }

    private static Function<OperandTypes, PassSpec> backward(
            Shape shape, boolean frozen, Activation activation, double epsilon) {
        return backward(Normalization.BATCH, shape, FIRST, frozen, activation, epsilon, false);
    }

    private static Function<OperandTypes, PassSpec> backward(
            Normalization kind,
            Shape shape,
            Layout layout,
            boolean frozen,
            Activation activation,
            double epsilon,
            boolean accumulate) {
        return types -> new Backward(kind, shape, layout, types, frozen, activation, epsilon, accumulate);
    }
}
