package org.clnorm.tune;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Facts;
import org.clnorm.plan.Pass;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyTable;
import org.clnorm.plan.StrategyTable.Row;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;

class TuneReportTest {
    static final DeviceFacts CPU = new DeviceFacts(
            DeviceInfo.Kind.CPU,
            "a platform",
            "a CPU",
            "a vendor",
            "OpenCL 1.2",
            "1",
            2,
            16,
            1024,
            1 << 15,
            1 << 25,
            1L << 33,
            1L << 31,
            "");

    private static final Rung LARGE = new Rung(Shape.of(32, 64, 56, 56), Layout.CHANNELS_FIRST);
    /** As many channels, and as many values in each, though its planes are others. */
    private static final Rung ALIKE = new Rung(Shape.of(8, 64, 112, 112), Layout.CHANNELS_FIRST);

    private static final Rung SMALL = new Rung(Shape.of(4, 64, 28, 28), Layout.CHANNELS_FIRST);
    private static final Strategy SPLIT = Strategy.named("cpu-split", CPU);
    private static final Strategy FUSED = Strategy.named("cpu-fused", CPU);
    private static final Strategy GPU = Strategy.named("gpu-fused", CPU).withTile(7);

    private static Heat heat(Rung rung, Pass pass, Map<Strategy, Double> gains) {
        return new Heat(rung, pass, FUSED, 9, gains, Map.of());
    }

    private static TuneReport report(Heat... heats) {
        return new TuneReport(CPU, List.of(heats), 0, 1);
    }

    private static Strategy choose(TuneReport report, Pass pass, Rung rung) {
        return Strategy.choose(CPU, pass, rung.view(), report.table().before(StrategyTable.DEFAULTS));
    }

    @Test
    void table_winner_isChosenForItsPassAndSizeOnly() {
        TuneReport report = report(heat(LARGE, Pass.FORWARD, Map.of(SPLIT, 1.1, GPU, 1.2)));

        assertThat(choose(report, Pass.FORWARD, LARGE)).isEqualTo(GPU);
        assertThat(choose(report, Pass.FORWARD, ALIKE)).isEqualTo(GPU);
        for (Pass other : List.of(Pass.INFERENCE, Pass.BACKWARD)) {
            assertThat(choose(report, other, LARGE)).isEqualTo(Candidates.byDefault(CPU, other, LARGE.view()));
        }
        for (Rung other : List.of(SMALL, new Rung(LARGE.shape(), Layout.CHANNELS_LAST))) {
            assertThat(choose(report, Pass.FORWARD, other))
                    .isEqualTo(Candidates.byDefault(CPU, Pass.FORWARD, other.view()));
        }
        assertThat(report.table().rows())
                .singleElement()
                .extracting(Row::why)
                .asString()
                .contains("1.20", "56");
    }

    @Test
    void table_gainWithinNoise_leavesTheDefault() {
        TuneReport report = report(heat(LARGE, Pass.FORWARD, Map.of(SPLIT, 1.04, GPU, 0.5)));

        assertThat(report.table().rows()).isEmpty();
        assertThat(report.winnerOf(report.heats().get(0))).isEmpty();
        assertThat(report.gainOf(report.heats().get(0))).isEqualTo(1);
    }

    @Test
    void table_classOfSeveralHeats_takesWhatIsFasterInAll() {
        Heat large = heat(LARGE, Pass.FORWARD, Map.of(SPLIT, 1.1, GPU, 1.5));
        Heat alike = heat(ALIKE, Pass.FORWARD, Map.of(SPLIT, 1.2, GPU, 1.01));

        TuneReport report = report(large, alike);

        assertThat(report.table().rows()).hasSize(1);
        assertThat(choose(report, Pass.FORWARD, LARGE)).isEqualTo(SPLIT);
        assertThat(report.winnerOf(large)).contains("cpu-split past cache");
        assertThat(report.gainOf(large)).isEqualTo(1.1);
        assertThat(report.gainOf(alike)).isEqualTo(1.2);
    }

    @Test
    void table_excludedInOneHeatOfAClass_doesNotWin() {
        TuneReport report = report(
                heat(LARGE, Pass.FORWARD, Map.of(GPU, 2.0)),
                new Heat(ALIKE, Pass.FORWARD, FUSED, 9, Map.of(), Map.of(GPU, "y is off")));

        assertThat(report.table().rows()).isEmpty();
        assertThat(report.allRight()).isFalse();
    }

    @Test
    void sizeClass_everyView_liesInItsOwn() {
        for (Rung rung : Rung.LADDER) {
            TuneReport report = report(heat(rung, Pass.BACKWARD, Map.of(GPU, 3.0)));

            assertThat(choose(report, Pass.BACKWARD, rung)).as(rung.toString()).isEqualTo(GPU);
        }
    }

    @Test
    void candidates_anyRung_haveTheDefaultFirstAndEachOnce() {
        for (Rung rung : Rung.LADDER) {
            View view = rung.view();
            for (Pass pass : Pass.values()) {
                List<Strategy> forms = Candidates.forms(CPU, pass, view);

                assertThat(forms)
                        .as("%s %s", pass, rung)
                        .startsWith(Candidates.byDefault(CPU, pass, view))
                        .doesNotHaveDuplicates()
                        .hasSizeGreaterThan(1);
                for (Strategy form : forms) {
                    assertThat(Candidates.variants(CPU, form, pass, view))
                            .allMatch(variant -> variant.name().equals(form.name()))
                            .doesNotContain(form)
                            .doesNotHaveDuplicates();
                }
            }
        }
    }

    @Test
    void candidates_training_areAllFormsOfTheDevice() {
        assertThat(Candidates.forms(CPU, Pass.FORWARD, LARGE.view()))
                .as("but for gpu-cached, which would go over groups as large as these as another does")
                .extracting(Strategy::name)
                .containsAll(Strategy.all(CPU).stream()
                        .map(Strategy::name)
                        .filter(name -> !name.equals("gpu-cached"))
                        .toList())
                .doesNotContain("gpu-cached");
        assertThat(Candidates.forms(CPU, Pass.FORWARD, SMALL.view()))
                .extracting(Strategy::name)
                .contains("gpu-cached");
    }

    @Test
    void candidates_gpu_areFewAndNoTwoTheSame() {
        DeviceFacts gpu = new DeviceFacts(
                DeviceInfo.Kind.GPU,
                "NVIDIA CUDA",
                "a GPU",
                "a vendor",
                "OpenCL 3.0 CUDA",
                "1",
                132,
                1,
                1024,
                48 << 10,
                50 << 20,
                80L << 30,
                20L << 30,
                "");
        for (Rung rung : Rung.LADDER) {
            assertThat(Tuner.passes(gpu, rung))
                    .as("in inference there is nothing to choose: %s", rung)
                    .containsExactly(Pass.FORWARD, Pass.BACKWARD);
            for (Pass pass : Tuner.passes(gpu, rung)) {
                List<Strategy> forms = Candidates.forms(gpu, pass, rung.view());

                assertThat(forms).hasSizeBetween(2, 3).allMatch(form -> form.name()
                        .startsWith("gpu-"));
                assertThat(forms.stream().map(form -> form.forView(gpu, rung.view())))
                        .as("each a launch of its own: %s", rung)
                        .doesNotHaveDuplicates();
                assertThat(Candidates.variants(gpu, forms.get(0), pass, rung.view()))
                        .as("a row of a table is applied before the work-group is sized")
                        .allMatch(variant -> !variant.isCached()
                                || variant.items()
                                        == Strategy.named("gpu-cached", gpu).items());
            }
        }
        assertThat(Tuner.passes(CPU, LARGE)).containsExactly(Pass.values());
    }

    @Test
    void candidates_inference_areNeverFused() {
        for (Rung rung : Rung.LADDER) {
            assertThat(Candidates.forms(CPU, Pass.INFERENCE, rung.view()))
                    .as("there is no group to come back to")
                    .noneMatch(Strategy::fused);
        }
    }

    @Test
    void ladder_rungs_coverEveryPattern() {
        for (List<Rung> ladder : List.of(Rung.LADDER, Rung.QUICK)) {
            assertThat(ladder.stream().map(rung -> StrategyTable.Pattern.of(rung.view())))
                    .contains(StrategyTable.Pattern.values());
        }
    }

    /** A stripe whose columns stay in registers is one vector wide: another width would leave columns out. */
    @Test
    void variants_ofAStrategyThatKeepsColumnsInRegisters_haveStripesOfOneVector() {
        DeviceFacts gpu = Facts.gpu(16);
        View columns = View.batch(Shape.of(512, 256), Layout.CHANNELS_FIRST);

        assertThat(Candidates.variants(gpu, Strategy.named("gpu-cached", gpu), Pass.BACKWARD, columns))
                .isNotEmpty()
                .allMatch(variant -> variant.isCached() && variant.vectors() == 1);
        assertThat(Candidates.variants(gpu, Strategy.named("gpu-fused", gpu), Pass.BACKWARD, columns))
                .anyMatch(variant -> variant.vectors() > 1);
    }
}
