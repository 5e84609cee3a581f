package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.Role;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateStep;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Passes;
import org.clnorm.reference.ReferenceBackend;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifyReport.Failure;
import org.clnorm.verify.VerifyReport.Row;
import org.clnorm.verify.VerifyReport.Verdict;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;

/** That a verification can fail: kernels that are right but for one thing, which must be found and charged to them. */
class VerifierRunTest {
    private static final Set<String> KERNELS = Set.of(
            "copy",
            "fold_given",
            "track",
            "apply_segmented",
            "apply_columnar",
            "normalize_segmented",
            "normalize_columnar",
            "gradient_segmented",
            "gradient_columnar",
            "update_parameters",
            "gradient_norm",
            "fold_gradient_norm");

    /** What the reference does here as there, so that there is no error to be seen. */
    private static final Set<String> EXACT = Set.of("copy", "update_parameters", "gradient_norm", "fold_gradient_norm");

    @Test
    void verify_rightKernels_pass() {
        VerifierTally run = verify(new Kernels(), c -> true);

        assertThat(run.failures()).isEmpty();
        assertThat(run.rows()).extracting(Row::kernel).containsExactlyInAnyOrderElementsOf(KERNELS);
        assertThat(run.rows()).allMatch(row -> row.verdict() == Verdict.PASS && row.cases() > 0);
        assertThat(run.rows())
                .filteredOn(row -> !EXACT.contains(row.kernel()))
                .as("what is rounded to float32 has some error, or nothing was measured")
                .allMatch(row -> row.worstError() > 0 && row.worstError() < row.bound());
    }

    @Test
    void verify_outputOffByTwiceTheBound_failsAndSaysWhere() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void afterForward(Shape shape, Operand y) {
                        long last = shape.elements() - 1;
                        poke(y, last, value -> value + 1e-5f);
                    }
                },
                c -> c.data() == Data.NORMAL && c.fusion() == Fusion.PLAIN && c.mode().training);

        assertThat(failed(run))
                .contains("normalize_segmented", "normalize_columnar")
                .doesNotContain("copy", "track");
        assertThat(run.failures().get(0).problem()).contains("y is off by", "the bound is 5.00e-07; the worst is at (");
        assertThat(run.failures().get(0).array()).isEqualTo("y");
    }

    @Test
    void verify_nanLeftInAnOutput_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void afterBackward(Backward pass, Operands operands) {
                        poke(operands.get(Role.DX), 0, value -> Float.NaN);
                    }
                },
                c -> c.data() == Data.NORMAL);

        assertThat(failed(run)).containsExactlyInAnyOrder("gradient_segmented", "gradient_columnar");
        assertThat(run.failures()).allMatch(failure -> failure.problem().contains("off by Infinity"));
    }

    @Test
    void verify_elementNeverWritten_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void write(Operand y, long elements, Runnable pass) {
                        float before = peek(y, elements - 1);
                        pass.run();
                        poke(y, elements - 1, value -> before);
                    }
                },
                c -> !c.inPlace().yIsX && !c.inPlace().yIsResidual && c.data() == Data.NON_FINITE);

        assertThat(run.failures())
                .as("where NaN is expected, poison must not pass for it")
                .anyMatch(failure -> failure.problem().endsWith("of y was not written"));
    }

    @Test
    void verify_writeBesideAnOutput_fails() {
        for (long beside : new long[] {-1, 0}) {
            VerifierTally run = verify(
                    new Kernels() {
                        @Override
                        void afterBackward(Backward pass, Operands operands) {
                            long at = beside < 0 ? beside : pass.shape().elements() + beside;
                            poke(operands.get(Role.DX), at, value -> Float.NaN);
                        }
                    },
                    c -> true);

            assertThat(failed(run)).containsExactlyInAnyOrder("gradient_segmented", "gradient_columnar");
            assertThat(run.failures())
                    .allMatch(failure -> failure.array().equals("grad_x")
                            && failure.problem().startsWith(beside < 0 ? "1 before" : "1 after"));
        }
    }

    @Test
    void verify_changedInput_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void afterBackward(Backward pass, Operands operands) {
                        poke(operands.get(Role.X), 0, value -> value + 1);
                    }
                },
                c -> true);

        assertThat(failed(run)).contains("gradient_segmented", "gradient_columnar");
        assertThat(run.failures())
                .anyMatch(failure -> failure.problem().startsWith("element 0 of x, which is only to be read,"));
    }

    @Test
    void verify_otherBitsInASecondRun_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    private boolean second;

                    @Override
                    void afterBackward(Backward pass, Operands operands) {
                        second = !second;
                        if (second) {
                            poke(operands.get(Role.DX), 0, value -> value == 0 ? Float.MIN_VALUE : Math.nextUp(value));
                        }
                    }
                },
                c -> c.data() == Data.NORMAL);

        assertThat(failed(run)).containsExactlyInAnyOrder("gradient_segmented", "gradient_columnar");
        assertThat(run.failures())
                .as("the error itself is far below every bound")
                .allMatch(failure -> failure.problem().startsWith("a second run gave other bits: element 0 of grad_x"));
    }

    @Test
    void verify_badValueThatSpreads_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void afterForward(Shape shape, Operand y) {
                        boolean bad = false;
                        for (long i = 0; i < shape.elements(); i++) {
                            bad |= Float.isNaN(peek(y, i));
                        }
                        if (bad) {
                            poke(y, 0, Math::nextUp);
                        }
                    }
                },
                c -> c.data() == Data.NON_FINITE && c.channels() > 2 && c.fusion().activation == Activation.NONE);

        assertThat(run.failures())
                .isNotEmpty()
                .as("by one unit in the last place, in a channel that is not the bad one")
                .allMatch(failure ->
                        failure.problem().startsWith("a bad value in another group changed the bits: element 0 of y"));
    }

    @Test
    void verify_reluThatLetsANegativeThrough_failsHoweverSmallTheOutput() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void perform(PassSpec pass, PreparedPass right, Operands operands, Coefficients coefficients) {
                        super.perform(pass, right, operands, coefficients);
                        if (pass instanceof ForwardTraining forward && forward.activation() == Activation.RELU) {
                            for (long i = 0; i < pass.shape().elements(); i++) {
                                poke(operands.get(Role.Y), i, value -> value == 0 ? 1e-30f : value);
                            }
                        }
                    }
                },
                c -> c.data() == Data.NORMAL && c.fusion().activation == Activation.RELU);

        assertThat(failed(run)).contains("normalize_segmented", "normalize_columnar");
        assertThat(run.failures()).anyMatch(failure -> failure.problem().contains("got 1.0E-30, expected -"));
    }

    @Test
    void verify_wrongStatistics_areChargedToThoseWhoMakeThem() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void perform(PassSpec pass, PreparedPass right, Operands operands, Coefficients coefficients) {
                        super.perform(pass, right, operands, coefficients);
                        if (pass instanceof ForwardInference) {
                            poke(coefficients.inverseStandardDeviation(), 0, value -> value * 1.00001f);
                        }
                    }
                },
                c -> c.data() == Data.NORMAL);

        assertThat(failed(run)).as("apply kernels only read the statistics").containsExactly("fold_given");
        assertThat(run.failures()).allMatch(failure -> failure.array().equals("save_invstd"));
    }

    @Test
    void verify_batchesNotCounted_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void perform(PassSpec pass, PreparedPass right, Operands operands, Coefficients coefficients) {
                        super.perform(pass, right, operands, coefficients);
                        if (operands.get(Role.ABSORBED) != null) {
                            poke(operands.get(Role.ABSORBED), 0, value -> value - 1);
                        }
                    }
                },
                c -> c.data() == Data.NORMAL);

        assertThat(failed(run)).contains("normalize_segmented", "normalize_columnar", "track");
        assertThat(run.failures()).allMatch(failure -> failure.array().equals("absorbed"));
    }

    @Test
    void verify_runningStatisticsChangedByARefusedBatch_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void perform(PassSpec pass, PreparedPass right, Operands operands, Coefficients coefficients) {
                        try {
                            super.perform(pass, right, operands, coefficients);
                        } catch (NonFiniteException e) {
                            if (operands.get(Role.RUNNING_MEAN) != null) {
                                poke(operands.get(Role.RUNNING_MEAN), 0, value -> value + 1);
                            }
                            throw e;
                        }
                    }
                },
                c -> c.data() == Data.NON_FINITE && c.policy() == NonFinitePolicy.THROW);

        assertThat(run.failures()).isNotEmpty().allMatch(failure -> failure.array()
                .equals("running_mean"));
    }

    @Test
    void verify_batchNotRefused_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    public PreparedPass prepare(PassSpec pass) {
                        if (!(pass instanceof ForwardTraining forward)) {
                            return super.prepare(pass);
                        }
                        return super.prepare(new ForwardTraining(
                                forward.normalization(),
                                forward.shape(),
                                forward.layout(),
                                forward.operands(),
                                forward.activation(),
                                forward.epsilon(),
                                forward.running(),
                                NonFinitePolicy.PROPAGATE));
                    }
                },
                c -> c.data() == Data.NON_FINITE && c.mode().training && c.policy() == NonFinitePolicy.THROW);

        assertThat(run.failures()).isNotEmpty().allMatch(failure -> failure.problem()
                .endsWith("but nothing was thrown"));
    }

    @Test
    void verify_wrongCopy_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    public void copy(Operand from, Operand to, long count) {
                        super.copy(from, to, count);
                        poke(to, count - 1, Math::nextUp);
                    }
                },
                c -> c.data() == Data.NORMAL);

        assertThat(failed(run)).containsExactly("copy");
    }

    @Test
    void verify_kernelNeverLaunched_isNotRun() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void launched(String kernel) {
                        if (!kernel.equals("track")) {
                            super.launched(kernel);
                        }
                    }
                },
                c -> true);

        assertThat(run.rows())
                .filteredOn(row -> row.verdict() != Verdict.PASS)
                .singleElement()
                .satisfies(row -> {
                    assertThat(row.kernel()).isEqualTo("track");
                    assertThat(row.verdict()).isEqualTo(Verdict.NOT_RUN);
                });
        assertThat(new VerifyReport(null, Map.of(), List.of(), 1, 0, 0, 0, run.rows(), run.failures()).passed())
                .isFalse();
    }

    @Test
    void verify_kernelThatWasNotExpected_hasARowToo() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void afterBackward(Backward pass, Operands operands) {
                        launched("fold_gradients");
                    }
                },
                c -> c.data() == Data.NORMAL);

        assertThat(run.rows())
                .filteredOn(row -> row.kernel().equals("fold_gradients"))
                .singleElement()
                .matches(row -> row.cases() > 0 && row.verdict() == Verdict.PASS);
    }

    @Test
    void verify_arrayThatNoKernelAnswersFor_fails() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void launched(String kernel) {
                        if (!kernel.startsWith("normalize")) {
                            super.launched(kernel);
                        }
                    }
                },
                c -> c.mode().training && c.data() == Data.NORMAL);

        assertThat(run.failures())
                .extracting(Failure::problem)
                .contains("no kernel that was launched is answerable for y");
    }

    @Test
    void verify_anOptimizerThatIsATenthOff_failsAndIsChargedToItsKernels() {
        Kernels wrong = new Kernels() {
            @Override
            public PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
                PreparedUpdate right = super.prepareUpdate(tensors, room);
                return new PreparedUpdate() {
                    @Override
                    public void run(UpdateStep step, GradientChange change, BitSet skipped) {
                        right.run(
                                step,
                                new GradientChange(1.1 * change.scale(), change.most(), change.maxNorm()),
                                skipped);
                    }

                    @Override
                    public void close() {
                        right.close();
                    }
                };
            }
        };

        VerifierTally run = verify(wrong, c -> true);

        assertThat(run.failures()).isNotEmpty();
        assertThat(run.failures())
                .allMatch(failure -> failure.kernels().contains("update_parameters"))
                .noneMatch(failure -> failure.kernels().contains("copy"));
    }

    @Test
    void verify_exception_isAFailureAndTheNextCaseRuns() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void perform(PassSpec pass, PreparedPass right, Operands operands, Coefficients coefficients) {
                        if (pass instanceof Backward) {
                            throw new IllegalStateException("no such kernel");
                        }
                        super.perform(pass, right, operands, coefficients);
                    }
                },
                c -> true);

        assertThat(run.failures()).hasSizeGreaterThan(50).allMatch(failure -> failure.problem()
                .contains("no such kernel"));
    }

    private static List<String> failed(VerifierTally run) {
        return run.rows().stream()
                .filter(row -> row.verdict() == Verdict.FAIL)
                .map(Row::kernel)
                .toList();
    }

    private static VerifierTally verify(Kernels kernels, Predicate<VerifierCase> which) {
        List<VerifierCase> cases = VerifierCases.small().stream().filter(which).toList();
        assertThat(cases).as("cases to verify with").isNotEmpty();
        VerifierRun run = new VerifierRun(
                "reference", kernels, () -> Map.copyOf(kernels.launches), KernelCatalogue.entries(), true);
        VerifierTally tally = new VerifierTally();
        tally.expect("reference", KERNELS);
        for (int i = 0; i < cases.size(); i++) {
            tally.add(run.verify(i, cases.get(i)));
        }
        kernels.close();
        return tally;
    }

    /** The reference as if it were made of the kernels of a fused strategy, and ways to break it. */
    private static class Kernels implements Backend {
        private final ReferenceBackend reference = new ReferenceBackend();
        private final Map<String, Long> launches = new TreeMap<>();

        void launched(String kernel) {
            launches.merge(kernel, 1L, Long::sum);
        }

        private static String pattern(Normalization normalization, PassSpec pass) {
            return Passes.view(normalization, pass.shape(), pass.layout()) instanceof View.Segmented
                    ? "segmented"
                    : "columnar";
        }

        void afterForward(Shape shape, Operand y) {}

        void afterBackward(Backward pass, Operands operands) {}

        void write(Operand y, long elements, Runnable pass) {
            pass.run();
        }

        float peek(Operand operand, long at) {
            FloatBuffer value = FloatBuffer.allocate(1);
            reference.read(new Operand(operand.memory(), operand.offset() + at), value);
            return value.get(0);
        }

        void poke(Operand operand, long at, UnaryOperator<Float> change) {
            float changed = change.apply(peek(operand, at));
            reference.fill(new Operand(operand.memory(), operand.offset() + at), 1, changed);
        }

        @Override
        public PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
            PreparedUpdate update = reference.prepareUpdate(tensors, room);
            return new PreparedUpdate() {
                @Override
                public void run(UpdateStep step, GradientChange change, BitSet skipped) {
                    launched("update_parameters");
                    launched("gradient_norm");
                    launched("fold_gradient_norm");
                    update.run(step, change, skipped);
                }

                @Override
                public void close() {
                    update.close();
                }
            };
        }

        @Override
        public PreparedPass prepare(PassSpec pass) {
            // Of a batch that this is all of, the combined passes are the same as the others.
            if (pass instanceof ForwardCombined combined) {
                return prepare(new ForwardTraining(
                        Normalization.BATCH,
                        combined.shape(),
                        combined.layout(),
                        combined.operands(),
                        combined.activation(),
                        combined.epsilon(),
                        combined.running(),
                        combined.policy()));
            }
            if (pass instanceof BackwardCombined combined) {
                return prepare(new Backward(
                        Normalization.BATCH,
                        combined.shape(),
                        combined.layout(),
                        combined.operands(),
                        false,
                        combined.activation(),
                        combined.epsilon(),
                        combined.accumulate()));
            }
            PreparedPass right = reference.prepare(pass);
            return new PreparedPass() {
                @Override
                public void run(Operands operands, Coefficients coefficients) {
                    perform(pass, right, operands, coefficients);
                }

                @Override
                public void close() {
                    right.close();
                }
            };
        }

        /** Does a pass as the reference does it; who breaks more than an output overrides this. */
        void perform(PassSpec pass, PreparedPass right, Operands operands, Coefficients coefficients) {
            if (pass instanceof ForwardTraining forward) {
                launched("normalize_" + pattern(forward.normalization(), pass));
                write(operands.get(Role.Y), pass.shape().elements(), () -> right.run(operands, coefficients));
                if (forward.running() != null && forward.policy() == NonFinitePolicy.THROW) {
                    launched("track");
                }
                afterForward(pass.shape(), operands.get(Role.Y));
            } else if (pass instanceof ForwardInference inference) {
                launched("fold_given");
                launched("apply_" + pattern(inference.normalization(), pass));
                write(operands.get(Role.Y), pass.shape().elements(), () -> right.run(operands, coefficients));
                afterForward(pass.shape(), operands.get(Role.Y));
            } else if (pass instanceof Backward backward) {
                launched("gradient_" + pattern(backward.normalization(), pass));
                right.run(operands, coefficients);
                afterBackward(backward, operands);
            } else {
                right.run(operands, coefficients);
            }
        }

        @Override
        public void copy(Operand from, Operand to, long count) {
            launched("copy");
            reference.copy(from, to, count);
        }

        @Override
        public DeviceInfo info() {
            return reference.info();
        }

        @Override
        public Memory allocate(long elements, DataType type) {
            return reference.allocate(elements, type);
        }

        @Override
        public void write(Operand to, FloatBuffer from) {
            reference.write(to, from);
        }

        @Override
        public void write(Operand operand, ShortBuffer from) {
            reference.write(operand, from);
        }

        @Override
        public void read(Operand operand, ShortBuffer into) {
            reference.read(operand, into);
        }

        @Override
        public void read(Operand from, FloatBuffer to) {
            reference.read(from, to);
        }

        @Override
        public void fill(Operand to, long count, float value) {
            reference.fill(to, count, value);
        }

        @Override
        public void finish() {
            reference.finish();
        }

        @Override
        public Coefficients newCoefficients(int groups) {
            return reference.newCoefficients(groups);
        }

        @Override
        public Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout) {
            return reference.newCoefficients(normalization, shape, layout);
        }

        @Override
        public void close() {
            reference.close();
        }
    }
}
