package org.clnorm.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.clnorm.plan.StrategyTable.Pattern;
import org.clnorm.plan.StrategyTable.Range;
import org.clnorm.plan.StrategyTable.Row;
import org.clnorm.view.View;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StrategyTableTest {
    private static final DeviceFacts CPU = Facts.cpu(2, 16);
    private static final View RUNS = new View.Segmented(64, 32, 3136, 64 * 3136);
    private static final View PLANES = new View.Segmented(512, 64, 49, 512 * 49);
    private static final View COLUMNS = new View.Columnar(128, 128, 1);

    private static Strategy choose(String rows, Pass pass, View view) {
        return Strategy.choose(CPU, pass, view, StrategyTable.parse(rows));
    }

    private static String nameFor(String rows, Pass pass, View view) {
        return choose(rows + "\n=> cpu-split | otherwise", pass, view).name();
    }

    @Test
    void choose_severalRowsMatch_takesTheFirst() {
        assertThat(choose("=> gpu-split | one\n=> gpu-fused | two", Pass.FORWARD, RUNS)
                        .name())
                .isEqualTo("gpu-split");
    }

    @Test
    void choose_condition_countsOnlyWhereItHolds() {
        for (String row : List.of(
                "type=gpu",
                "platform=rusticl",
                "vendor=nvidia",
                "name=h200",
                "pass=backward,inference",
                "pattern=columnar,planes",
                "groups=65..",
                "size=..100351",
                "elements=7",
                "type=cpu pass=backward")) {
            assertThat(nameFor(row + " => gpu-fused | for others", Pass.FORWARD, RUNS))
                    .as(row)
                    .isEqualTo("cpu-split");
        }
        for (String row : List.of(
                "",
                "type=gpu,cpu",
                "platform=PORTABLE",
                "vendor=vend",
                "name=device",
                "pass=forward,inference",
                "pattern=segmented",
                "groups=64",
                "size=100352..100352",
                "elements=1..")) {
            assertThat(nameFor(row + " => gpu-fused | for this one", Pass.FORWARD, RUNS))
                    .as(row)
                    .isEqualTo("gpu-fused");
        }
    }

    @Test
    void choose_rowOfAStrategyThatTheDeviceLacks_isPassedOver() {
        StrategyTable table = StrategyTable.parse("=> cpu-fused | faster\n=> gpu-split | what llvmpipe has");

        assertThat(Strategy.choose(Facts.rusticl(), Pass.FORWARD, RUNS, table).name())
                .isEqualTo("gpu-split");
    }

    @Test
    void choose_fits_countsForFusedStrategiesOnly() {
        View one = new View.Segmented(1, 1, 1 << 16, 1 << 16);

        assertThat(nameFor("fits => cpu-fused | few groups", Pass.FORWARD, one)).isEqualTo("cpu-split");
        assertThat(nameFor("=> cpu-fused | whatever the groups", Pass.FORWARD, one))
                .as("what was measured counts without")
                .isEqualTo("cpu-fused");
        assertThat(nameFor("fits => gpu-split | few groups", Pass.FORWARD, one)).isEqualTo("gpu-split");
    }

    @Test
    void choose_parameters_takeThePlaceOfTheStrategysOwn() {
        Strategy own = Strategy.named("cpu-fused", CPU);

        assertThat(choose("=> cpu-fused | as it is", Pass.FORWARD, RUNS)).isEqualTo(own);
        assertThat(choose("=> cpu-fused tile=3 vectors=5 stream=never | all of them", Pass.FORWARD, RUNS))
                .isEqualTo(own.withTile(3).withVectors(5).withStream(false));
        assertThat(choose("=> gpu-fused stream=always | all of them", Pass.FORWARD, RUNS).stream())
                .isTrue();
        assertThat(choose("=> cpu-fused stream=16384 | from there on", Pass.FORWARD, COLUMNS).stream())
                .isTrue();
        assertThat(choose("=> cpu-fused stream=16385 | from there on", Pass.FORWARD, COLUMNS).stream())
                .isFalse();
    }

    @Test
    void choose_noRowMatches_saysWhatFor() {
        assertThatThrownBy(() -> Strategy.choose(CPU, Pass.BACKWARD, RUNS, StrategyTable.EMPTY))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("backward")
                .hasMessageContaining(RUNS.toString());
    }

    @Test
    void before_otherTable_isAskedSecond() {
        StrategyTable first = StrategyTable.parse("pattern=planes => gpu-fused | measured");

        StrategyTable both = first.before(StrategyTable.parse("=> cpu-split | default"));

        assertThat(Strategy.choose(CPU, Pass.FORWARD, PLANES, both).name()).isEqualTo("gpu-fused");
        assertThat(Strategy.choose(CPU, Pass.FORWARD, RUNS, both).name()).isEqualTo("cpu-split");
    }

    @Test
    void pattern_ofViews() {
        assertThat(Pattern.of(RUNS)).isEqualTo(Pattern.SEGMENTED);
        assertThat(Pattern.of(PLANES)).isEqualTo(Pattern.PLANES);
        assertThat(Pattern.of(COLUMNS)).isEqualTo(Pattern.COLUMNAR);
        assertThat(Pattern.of(new View.Segmented(2, 8, 49, 512 * 49)))
                .as("short segments that do not lie side by side cannot be taken together")
                .isEqualTo(Pattern.SEGMENTED);
    }

    @Test
    void defaults_rows_nameStrategiesThatThereAreAndSayWhy() {
        List<String> known = Facts.all().stream()
                .flatMap(facts -> Strategy.all(facts).stream())
                .map(Strategy::name)
                .toList();

        assertThat(StrategyTable.DEFAULTS.rows()).isNotEmpty().allSatisfy(row -> {
            assertThat(known).contains(row.strategy());
            assertThat(row.why()).isNotBlank();
        });
    }

    @Test
    void toString_anyRow_isParsedToTheSame() {
        StrategyTable table = StrategyTable.parse("type=gpu,cpu platform=a vendor=b name=c pass=forward,backward"
                + " pattern=planes,columnar groups=1..2 size=..5 elements=7 fits => any tile=3 vectors=4 stream=5 | why | so\n"
                + "=> other stream=always | no condition\n\n# nothing\n=> other stream=never | last");

        assertThat(table.rows()).hasSize(3);
        assertThat(StrategyTable.parse(table.toString())).isEqualTo(table);
        assertThat(StrategyTable.parse(StrategyTable.DEFAULTS.toString())).isEqualTo(StrategyTable.DEFAULTS);
    }

    @Test
    void row_ofAStrategy_givesExactlyIt() {
        for (Strategy strategy : Strategy.all(CPU)) {
            for (Strategy variant :
                    List.of(strategy, strategy.withTile(2).withVectors(3).withStream(!strategy.stream()))) {
                Row row = Row.of(
                        StrategyTable.parse("pass=forward => x | y")
                                .rows()
                                .get(0)
                                .condition(),
                        variant,
                        "why");

                StrategyTable table = StrategyTable.parse(new StrategyTable(List.of(row)).toString());

                assertThat(Strategy.choose(CPU, Pass.FORWARD, RUNS, table)).isEqualTo(variant.forView(CPU, RUNS));
            }
        }
    }

    @Test
    void range_numbers_areIncluded() {
        assertThat(Range.parse("3..5")).satisfies(range -> {
            assertThat(range.contains(2)).isFalse();
            assertThat(range.contains(3)).isTrue();
            assertThat(range.contains(5)).isTrue();
            assertThat(range.contains(6)).isFalse();
        });
        assertThat(Range.parse("..")).isEqualTo(Range.ALL);
    }

    @Test
    void parse_whatIsThereTwice_isCalledThat() {
        for (String line : List.of(
                "type=cpu type=gpu => cpu-fused | why",
                "fits fits => cpu-fused | why",
                "=> cpu-fused tile=2 tile=2 | why")) {
            assertThatThrownBy(() -> StrategyTable.parse(line))
                    .hasMessageStartingWith("Line 1: '")
                    .hasMessageContaining("' is there twice in: ");
        }
        assertThatThrownBy(() -> StrategyTable.parse("kind=cpu => cpu-fused | why"))
                .hasMessageStartingWith("Line 1: 'kind=cpu' is unknown in: ");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "cpu-fused",
                "type=cpu cpu-fused | no arrow",
                "type=cpu => cpu-fused",
                "type=cpu => cpu-fused |",
                "type=cpu => | no strategy",
                "type=cpu => tile=3 | no strategy",
                "kind=cpu => cpu-fused | unknown condition",
                "=> cpu-fused lanes=3 | unknown parameter",
                "type=cpu type=gpu => cpu-fused | twice",
                "type=fpga => cpu-fused | unknown type",
                "pass=sideways => cpu-fused | unknown pass",
                "pattern=round => cpu-fused | unknown pattern",
                "groups=few => cpu-fused | no number",
                "groups=-3.. => cpu-fused | no number",
                "=> cpu-fused tile=0 | too small",
                "=> cpu-fused tile=65 | too large",
                "=> cpu-fused vectors=1025 | too large",
                "=> cpu-fused stream=sometimes | no number",
                "=> cpu-fused stream=99999999999999999999 | too long"
            })
    void parse_lineThatIsNoRow_isRefusedWithItsNumber(String line) {
        assertThatThrownBy(() -> StrategyTable.parse("# one\n=> cpu-fused | two\n" + line))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("Line 3: ")
                .hasMessageContaining(line.strip());
    }
}
