package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.clnorm.Activation;
import org.clnorm.ChannelMoments;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.GradientSums;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.plan.KernelCatalogue;
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
            "gradient_columnar");

    @Test
    void verify_rightKernels_pass() {
        VerifierTally run = verify(new Kernels(), c -> true);

        assertThat(run.failures()).isEmpty();
        assertThat(run.rows()).extracting(Row::kernel).containsExactlyInAnyOrderElementsOf(KERNELS);
        assertThat(run.rows()).allMatch(row -> row.verdict() == Verdict.PASS && row.cases() > 0);
        assertThat(run.rows())
                .filteredOn(row -> !row.kernel().equals("copy"))
                .as("what is rounded to float32 has some error, or nothing was measured")
                .allMatch(row -> row.worstError() > 0 && row.worstError() < row.bound());
    }

    @Test
    void verify_outputOffByTwiceTheBound_failsAndSaysWhere() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    void afterForward(Shape shape, Operand x, Operand y) {
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
                    void afterBackward(Backward pass) {
                        poke(pass.dx(), 0, value -> Float.NaN);
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
                        void afterBackward(Backward pass) {
                            long at = beside < 0 ? beside : pass.shape().elements() + beside;
                            poke(pass.dx(), at, value -> Float.NaN);
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
                    void afterBackward(Backward pass) {
                        poke(pass.x(), 0, value -> value + 1);
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
                    void afterBackward(Backward pass) {
                        second = !second;
                        if (second) {
                            poke(pass.dx(), 0, value -> value == 0 ? Float.MIN_VALUE : Math.nextUp(value));
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
                    void afterForward(Shape shape, Operand x, Operand y) {
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
                    public void forward(ForwardTraining pass) {
                        super.forward(pass);
                        for (long i = 0; i < pass.shape().elements() && pass.activation() == Activation.RELU; i++) {
                            poke(pass.y(), i, value -> value == 0 ? 1e-30f : value);
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
                    public void forward(ForwardInference pass) {
                        super.forward(pass);
                        poke(pass.saved().inverseStandardDeviation(), 0, value -> value * 1.00001f);
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
                    public void forward(ForwardTraining pass) {
                        super.forward(pass);
                        if (pass.running() != null) {
                            poke(pass.running().absorbed(), 0, value -> value - 1);
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
                    public void forward(ForwardTraining pass) {
                        try {
                            super.forward(pass);
                        } catch (NonFiniteException e) {
                            if (pass.running() != null) {
                                poke(pass.running().mean(), 0, value -> value + 1);
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
                    public void forward(ForwardTraining pass) {
                        super.forward(new ForwardTraining(
                                pass.normalization(),
                                pass.shape(),
                                pass.layout(),
                                pass.x(),
                                pass.residual(),
                                pass.y(),
                                pass.activation(),
                                pass.gamma(),
                                pass.beta(),
                                pass.epsilon(),
                                pass.saved(),
                                pass.running(),
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
                    void afterBackward(Backward pass) {
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
    void verify_exception_isAFailureAndTheNextCaseRuns() {
        VerifierTally run = verify(
                new Kernels() {
                    @Override
                    public void backward(Backward pass) {
                        throw new IllegalStateException("no such kernel");
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
        VerifierRun run =
                new VerifierRun("reference", kernels, () -> Map.copyOf(kernels.launches), KernelCatalogue.entries());
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

        private static String pattern(Shape shape, Layout layout) {
            return View.batch(shape, layout) instanceof View.Segmented ? "segmented" : "columnar";
        }

        void afterForward(Shape shape, Operand x, Operand y) {}

        void afterBackward(Backward pass) {}

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
        public ChannelMoments moments(ReduceForward pass) {
            return reference.moments(pass);
        }

        @Override
        public void forward(ForwardCombined pass) {
            // Of a batch that this is all of, it is the same.
            forward(new ForwardTraining(
                    pass.shape(),
                    pass.layout(),
                    pass.x(),
                    pass.residual(),
                    pass.y(),
                    pass.activation(),
                    pass.gamma(),
                    pass.beta(),
                    pass.epsilon(),
                    pass.saved(),
                    pass.running(),
                    pass.policy()));
        }

        @Override
        public GradientSums gradientSums(ReduceBackward pass) {
            return reference.gradientSums(pass);
        }

        @Override
        public void backward(BackwardCombined pass) {
            backward(new Backward(
                    pass.shape(),
                    pass.layout(),
                    false,
                    pass.dy(),
                    pass.x(),
                    pass.y(),
                    pass.activation(),
                    pass.saved(),
                    pass.dx(),
                    pass.dresidual(),
                    pass.dgamma(),
                    pass.dbeta(),
                    pass.accumulate()));
        }

        @Override
        public void forward(ForwardTraining pass) {
            launched("normalize_" + pattern(pass.shape(), pass.layout()));
            write(pass.y(), pass.shape().elements(), () -> reference.forward(pass));
            if (pass.running() != null && pass.policy() == NonFinitePolicy.THROW) {
                launched("track");
            }
            afterForward(pass.shape(), pass.x(), pass.y());
        }

        @Override
        public void forward(ForwardInference pass) {
            launched("fold_given");
            launched("apply_" + pattern(pass.shape(), pass.layout()));
            write(pass.y(), pass.shape().elements(), () -> reference.forward(pass));
            afterForward(pass.shape(), pass.x(), pass.y());
        }

        @Override
        public void backward(Backward pass) {
            launched("gradient_" + pattern(pass.shape(), pass.layout()));
            reference.backward(pass);
            afterBackward(pass);
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
        public SavedStatistics newSavedStatistics(int groups) {
            return reference.newSavedStatistics(groups);
        }

        @Override
        public SavedStatistics newSavedStatistics(Normalization normalization, Shape shape, Layout layout) {
            return reference.newSavedStatistics(normalization, shape, layout);
        }

        @Override
        public void close() {
            reference.close();
        }
    }
}
