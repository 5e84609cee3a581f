package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.opencl.OpenCl;
import org.clnorm.reference.ReferenceBackend;
import org.clnorm.verify.Fuzzer.Finding;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.InPlace;
import org.clnorm.verify.VerifierCase.Mode;
import org.clnorm.verify.VerifierCase.Placement;
import org.clnorm.verify.VerifyReport.Failure;
import org.junit.jupiter.api.Test;

/** Cases by chance are cases, of all kinds; and one that fails comes down to what makes it fail. */
class FuzzerTest {
    private static final Fuzzer.Progress NOBODY = (number, strategy, description) -> {};

    @Test
    void cases_ofOneSeed_areTheSameAndOfAllKinds() {
        Set<Object> seen = new HashSet<>();
        for (int i = 0; i < 5000; i++) {
            VerifierCase c = FuzzedCases.of(7, i);
            assertThat(FuzzedCases.of(7, i)).isEqualTo(c);
            seen.addAll(List.of(
                    c.layout(), c.mode(), c.data(), c.affine(), c.fusion(), c.inPlace(), c.placement(), c.type()));
            seen.add(c.normalization().grouping().getClass());
            seen.add(c.normalization().statistic());
            seen.add("rank " + c.shape().rank());
            seen.add(c.normalization().perSample() ? "by sample" : "");
            seen.add(c.normalization().renormalization() != null ? "renormalized" : "");
            seen.add(
                    c.normalization().grouping() instanceof Grouping.Batch batch && batch.isVirtual()
                            ? batch.rest()
                            : "");
            seen.add(c.average().kind());
        }
        assertThat(seen)
                .containsAll(EnumSet.allOf(Layout.class))
                .containsAll(EnumSet.allOf(Mode.class))
                .containsAll(EnumSet.allOf(Data.class))
                .containsAll(EnumSet.allOf(Affine.class))
                .containsAll(EnumSet.allOf(Fusion.class))
                .containsAll(EnumSet.allOf(InPlace.class))
                .containsAll(EnumSet.allOf(Placement.class))
                .containsAll(EnumSet.allOf(DataType.class))
                .containsAll(EnumSet.allOf(Normalization.Statistic.class))
                .containsAll(EnumSet.allOf(Grouping.Batch.Rest.class))
                .contains(Grouping.Rows.class, Grouping.Positions.class, Grouping.Channels.class, Grouping.Batch.class)
                .contains("rank 2", "rank 3", "rank 4", "rank 5", "by sample", "renormalized");
    }

    /** A fault that needs three channels, a residual and a beta comes down to them, and to nothing besides. */
    @Test
    void finding_ofAnArtificialFault_isWhatItNeedsAndRunsAgain() {
        Fuzzer.Trial faulty = (strategy, c) -> c.channels() >= 3 && c.fusion().addsAfter() && c.affine().beta
                ? List.of(new Failure(strategy, List.of("apply_segmented"), "y", "y is off", c.describe()))
                : List.of();
        try (Fuzzer fuzzer = new Fuzzer(List.of("one", "two"), 3, faulty)) {
            List<Finding> findings = new ArrayList<>();
            long[] left = {300};
            long run = fuzzer.run(0, () -> left[0]-- > 0, NOBODY, finding -> {
                findings.add(finding);
                return findings.size() < 5;
            });
            assertThat(findings).hasSize(5);
            assertThat(run).isEqualTo(findings.get(4).number() + 1);
            for (Finding finding : findings) {
                VerifierCase simplest =
                        Simplification.all(FuzzedCases.of(3, finding.number()), finding.simplifications());
                assertThat(simplest.channels()).as(simplest.describe()).isLessThanOrEqualTo(4);
                assertThat(simplest.elements()).isLessThanOrEqualTo(16);
                assertThat(simplest.fusion().addsAfter() && simplest.affine().beta)
                        .isTrue();
                assertThat(simplest.type()).isEqualTo(DataType.FLOAT32);
                assertThat(simplest.placement()).isEqualTo(Placement.ALIGNED);
                assertThat(finding.command())
                        .startsWith("clnorm fuzz --seed 3 --case " + finding.number() + " --strategy "
                                + (finding.number() % 2 == 0 ? "one" : "two"));
                assertThat(fuzzer.run(finding.number(), finding.strategy(), finding.simplifications(), NOBODY))
                        .hasValueSatisfying(
                                again -> assertThat(again.failures()).isEqualTo(finding.failures()));
            }
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void run_simplificationOfNoName_isRefused() {
        Fuzzer fuzzer = new Fuzzer(List.of("one"), 3, (strategy, c) -> List.of());
        assertThatThrownBy(() -> fuzzer.run(0, "one", List.of("smaller"), NOBODY))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'smaller'")
                .hasMessageContaining("half-0");
    }

    /** Every case, and every simpler one, is one that passes can be asked for; by the reference, which takes no compiling. */
    @Test
    void cases_andTheirSimplifications_areValid() {
        try (ReferenceBackend backend = new ReferenceBackend()) {
            for (int i = 0; i < 1500; i++) {
                VerifierCase c = FuzzedCases.of(11, i);
                Simplification step = Simplification.values()[i % Simplification.values().length];
                for (VerifierCase each : List.of(c, step.of(c).orElse(c))) {
                    if (each.elements() < 2000) {
                        VerifierTrial.run(backend, Map::of, each, VerifierInputs.of(each));
                        new VerifierExpectation(each, VerifierInputs.of(each));
                    }
                }
            }
        }
    }

    /** What was found so and mended: a group of thousands of channels of one value each had M2 off by a rounding for each. */
    @Test
    void cases_thatFailedOnce_pass() throws Exception {
        OpenCl.Candidate device = OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));
        try (Fuzzer fuzzer = new Fuzzer(device, List.of("cpu-split"), 1)) {
            List<String> simplified = List.of(
                    "plain",
                    "aligned",
                    "not-accumulating",
                    "no-affine",
                    "normal-data",
                    "half-0",
                    "half-0",
                    "half-0",
                    "less-0");
            Optional<Finding> finding =
                    fuzzer.run(242, "cpu-split", simplified, (number, strategy, description) -> assertThat(description)
                            .startsWith("training (2, 3285, 1, 1) channels-first, 1 groups of channels"));
            assertThat(finding).isEmpty();
        }
    }

    /** A few under the choice by shape; <code>clnorm fuzz</code> does it for as long as one likes. */
    @Test
    void cases_onTheDefaultDevice_pass() throws Exception {
        OpenCl.Candidate device = OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));
        try (Fuzzer fuzzer = new Fuzzer(device, List.of("auto"), 20)) {
            long[] left = {60};
            List<Finding> findings = new ArrayList<>();
            assertThat(fuzzer.run(0, () -> left[0]-- > 0, NOBODY, findings::add))
                    .isEqualTo(60);
            assertThat(findings).isEmpty();
        }
    }
}
