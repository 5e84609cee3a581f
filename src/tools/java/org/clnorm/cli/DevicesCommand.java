package org.clnorm.cli;

import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.clnorm.Device;
import org.clnorm.DeviceCandidate;
import org.clnorm.DeviceInfo;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code clnorm devices}: what there is to compute on. */
@Command(
        name = "devices",
        description =
                "Lists platforms and devices with their facts, the kernel strategy each would get, and which one is the"
                        + " default and why.")
final class DevicesCommand implements Runnable {
    @Spec
    private CommandSpec spec;

    @Override
    public void run() {
        PrintWriter out = spec.commandLine().getOut();
        Ansi ansi = spec.commandLine().getColorScheme().ansi();
        Map<String, List<DeviceCandidate>> platforms = Device.candidates().stream()
                .collect(Collectors.groupingBy(
                        candidate -> candidate.info().platform(), LinkedHashMap::new, Collectors.toList()));
        platforms.forEach((platform, candidates) -> {
            out.println(platform);
            for (DeviceCandidate candidate : candidates) {
                String mark = candidate.isDefault() ? ansi.string("@|bold,green * |@") : "  ";
                out.println(mark + candidate.info().name());
                facts(candidate).forEach((fact, value) -> out.printf("      %-22s %s%n", fact, value));
            }
            out.println();
        });
        out.println("* is the default. Another is taken with --device or " + Device.SELECTOR_VARIABLE
                + ", another strategy with --strategy or " + Device.STRATEGY_VARIABLE + ".");
    }

    private static Map<String, String> facts(DeviceCandidate candidate) {
        DeviceInfo info = candidate.info();
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("kind", info.kind().toString().toLowerCase(Locale.ROOT));
        facts.put("version", info.version());
        facts.put("largest allocation", megabytes(info.maxAllocationBytes()));
        facts.putAll(candidate.facts());
        facts.put("strategy", info.strategy());
        if (!candidate.why().isEmpty()) {
            facts.put(candidate.isDefault() ? "default because" : "note", candidate.why());
        }
        return facts;
    }

    private static String megabytes(long bytes) {
        return (bytes >> 20) + " MiB";
    }
}
