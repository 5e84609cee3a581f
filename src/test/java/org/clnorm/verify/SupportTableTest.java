package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.KernelCatalogue.Entry;
import org.clnorm.plan.Strategy;
import org.junit.jupiter.api.Test;

/** That docs/support.md says what the cases of the verifier, the catalogue of kernels and the strategies say. */
class SupportTableTest {
    private static final Path FILE = Path.of("docs", "support.md");

    /** Set to true, it has the file written. */
    private static final String REWRITE = "clnorm.support.rewrite";

    private static final DeviceFacts DEVICE = new DeviceFacts(
            DeviceInfo.Kind.CPU,
            "a platform",
            "a device",
            "",
            "",
            "",
            2,
            8,
            1024,
            1 << 15,
            1 << 20,
            1 << 30,
            1 << 30,
            "");

    @Test
    void file_isWhatTheCodeSays() throws IOException {
        String text = text();
        if (Boolean.getBoolean(REWRITE)) {
            Files.writeString(FILE, text);
        }

        assertThat(FILE)
                .as("mvn -Dtest=SupportTableTest -D%s=true test writes it anew", REWRITE)
                .hasContent(text);
    }

    @Test
    void verifier_everyOperation_hasCasesInBothDirectionsAndLayouts() {
        Map<String, Set<Layout>> verified = verified();

        assertThat(verified.keySet()).containsExactlyInAnyOrderElementsOf(operations());
        assertThat(verified.values())
                .as("each row of the table says that every layout is verified")
                .allMatch(layouts -> layouts.equals(Set.of(Layout.values())));
    }

    private static String text() {
        List<String> strategies =
                Strategy.all(DEVICE).stream().map(Strategy::name).toList();
        String types = Arrays.stream(DataType.values())
                .map(type -> type.name().toLowerCase(Locale.ROOT))
                .collect(Collectors.joining(", "));
        String layouts = Arrays.stream(Layout.values()).map(Layout::toString).collect(Collectors.joining(", "));
        List<String> lines = new ArrayList<>(List.of(
                "# What is supported",
                "",
                "Made by SupportTableTest from the verifier's cases, the catalogue of kernels and the strategies; do not"
                        + " edit. `verify` runs",
                "every row under every strategy, with float32 elements, and holds it against the reference, which has all of"
                        + " them too.",
                "16-bit elements are held against it by StorageTypesTest, for a few of the operations, and by StorageTest.",
                "A device that calls itself a GPU has the gpu strategies alone.",
                "",
                "| operation | direction | layouts | storage types | strategies |",
                "|---|---|---|---|---|"));
        for (String operation : operations()) {
            for (String direction : List.of("forward", "backward")) {
                lines.add("| " + operation + " | " + direction + " | " + layouts + " | " + types + " | "
                        + String.join(", ", strategies) + ", reference |");
            }
        }
        lines.addAll(List.of(
                "",
                "## Kernels",
                "",
                "What each strategy launches at least; one that holds groups in registers, or takes whole groups, goes over"
                        + " to the others' kernels",
                "where it does not hold them.",
                "",
                "| kernel | step | macros | " + String.join(" | ", strategies) + " |",
                "|---|---|---|" + "---|".repeat(strategies.size())));
        for (Entry entry : KernelCatalogue.entries()) {
            lines.add("| `" + entry.name() + "` | " + entry.step().name().toLowerCase(Locale.ROOT) + " | "
                    + String.join(", ", new TreeSet<>(entry.macros())) + " | "
                    + strategies.stream()
                            .map(name -> Verifier.kernels(name, DEVICE).contains(entry.name()) ? "yes" : "")
                            .collect(Collectors.joining(" | "))
                    + " |");
        }
        return String.join("\n", lines) + "\n";
    }

    private static List<String> operations() {
        return List.of(
                "batch normalization, training",
                "batch normalization, evaluation",
                "batch normalization with γ and β per sample, training",
                "batch normalization with γ and β per sample, evaluation",
                "batch renormalization",
                "ghost batch normalization",
                "group normalization",
                "group normalization with γ and β per sample",
                "instance normalization",
                "instance normalization with γ and β per sample",
                "layer normalization",
                "layer normalization over the channels of positions",
                "RMS normalization",
                "weight normalization",
                "L2 normalization");
    }

    private static Map<String, Set<Layout>> verified() {
        Map<String, Set<Layout>> verified = new TreeMap<>();
        VerifierCases.all().forEach(c -> verified.computeIfAbsent(operation(c), name -> new TreeSet<>())
                .add(c.layout()));
        return verified;
    }

    private static String operation(VerifierCase c) {
        Normalization normalization = c.normalization();
        String perSample = normalization.perSample() ? " with γ and β per sample" : "";
        if (normalization.grouping() instanceof Grouping.Rows rows) {
            return normalization.statistic() == Statistic.CENTERED
                    ? "layer normalization"
                    : normalization.statistic() == Statistic.ROOT_MEAN_SQUARE
                            ? "RMS normalization"
                            : rows.affineByElement() ? "L2 normalization" : "weight normalization";
        }
        if (normalization.grouping() instanceof Grouping.Positions) {
            return "layer normalization over the channels of positions";
        }
        if (normalization.grouping() instanceof Grouping.Channels run) {
            return (run.groups() == c.channels() && c.shape().spatial() > 1 ? "instance" : "group") + " normalization"
                    + perSample;
        }
        if (normalization.renormalization() != null) {
            return "batch renormalization";
        }
        return ((Grouping.Batch) normalization.grouping()).isVirtual()
                ? "ghost batch normalization"
                : "batch normalization" + perSample + (c.mode().training ? ", training" : ", evaluation");
    }
}
