package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.opencl.OpenCl;
import org.clnorm.verify.Fuzzer;
import org.clnorm.verify.Fuzzer.Finding;
import org.clnorm.verify.Verifier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code clnorm fuzz}: the kernels against the reference, by chance. */
@Command(
        name = "fuzz",
        description = {
            "Runs cases drawn by chance against the double-precision reference: any shape, layout, element type, normalization,"
                    + " fusion, mask, running average, place in memory and output in place of an input that go together, under"
                    + " each strategy in turn (or those that are named, with commas between).",
            "Each is checked as verify checks its own: within the bound, inputs and what lies around outputs unchanged, the same"
                    + " bits in a second run. One that fails is made simpler as long as it fails, and written to a folder"
                    + " with the words that run it again."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:no case failed", "1:a case failed", "2:wrong usage, or no OpenCL device"})
final class FuzzCommand implements Callable<Integer> {
    private static final double USUAL_SECONDS = 60;

    /** Of one seed: what is wrong in one case mostly is in others too. */
    private static final int MOST_FINDINGS = 10;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            description =
                    "Begin no case after so long. Default: 60, or as long as it takes where --cases says how many.")
    private Double seconds;

    @Option(names = "--cases", paramLabel = "N", description = "So many cases. Default: as many as there is time for.")
    private Long cases;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Which cases: two runs of one seed have the same. Default: another one each time.")
    private Long seed;

    @Option(names = "--first", paramLabel = "K", description = "The number of the first case. Default: 0.")
    private long first;

    @Option(names = "--case", paramLabel = "K", description = "This case alone, under --strategy.")
    private Long number;

    @Option(
            names = "--simplified",
            paramLabel = "WORDS",
            split = ",",
            description = "What --case is made simpler by, as a finding says.")
    private List<String> simplified = List.of();

    @Option(
            names = "--report",
            paramLabel = "DIR",
            description =
                    "Where findings go, and which case is under way, in case the driver ends the process. Default: target/fuzz.")
    private Path report = Path.of("target/fuzz");

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        if (seconds != null && !(seconds > 0)) {
            throw new IllegalArgumentException("--seconds must be more than 0, but is " + seconds);
        }
        if (cases != null && cases < 1) {
            throw new IllegalArgumentException("--cases must be at least 1, but is " + cases);
        }
        if (first < 0 || number != null && number < 0) {
            throw new IllegalArgumentException(
                    "The number of a case must be at least 0, but is " + (number == null ? first : number));
        }
        if (!simplified.isEmpty() && number == null) {
            throw new IllegalArgumentException("--simplified is for one case, which --case is to name");
        }
        OpenCl.Candidate on = device.candidate();
        String named = device.strategyName();
        List<String> strategies = named == null
                ? Verifier.strategies(on.facts())
                : Stream.of(named.split(",")).map(String::strip).distinct().toList();
        Files.createDirectories(report);
        long its = seed != null ? seed : System.nanoTime() & 0xffff_ffffL;
        try (Fuzzer fuzzer = new Fuzzer(on, strategies, its)) {
            return number == null ? many(fuzzer, its, strategies) : one(fuzzer);
        }
    }

    private int one(Fuzzer fuzzer) {
        PrintWriter out = spec.commandLine().getOut();
        return fuzzer.run(
                        number,
                        fuzzer.strategyOf(number),
                        simplified,
                        (k, strategy, description) -> out.printf("Case %d under %s: %s%n", k, strategy, description))
                .map(finding -> {
                    finding.failures().forEach(failure -> out.printf("  FAIL %s%n", failure.problem()));
                    return Main.FAILED;
                })
                .orElseGet(() -> {
                    out.println("  pass");
                    return Main.OK;
                });
    }

    private int many(Fuzzer fuzzer, long its, List<String> strategies) {
        PrintWriter out = spec.commandLine().getOut();
        out.printf("Seed %d, under %s%n", its, String.join(", ", strategies));
        out.flush();
        long start = System.nanoTime();
        double most = seconds != null ? seconds : cases != null ? Double.POSITIVE_INFINITY : USUAL_SECONDS;
        long[] run = {0};
        int[] found = {0};
        BooleanSupplier goesOn = () -> (System.nanoTime() - start) / 1e9 < most && (cases == null || run[0]++ < cases);
        Path underWay = report.resolve("under-way.txt");
        long done = fuzzer.run(
                first,
                goesOn,
                (k, strategy, description) -> write(
                        underWay,
                        "clnorm fuzz --seed " + its + " --case " + k + " --strategy " + strategy + "\n" + description
                                + "\n"),
                finding -> {
                    String text = text(finding);
                    write(report.resolve("finding-" + its + "-" + finding.number() + ".txt"), text);
                    out.print(text);
                    out.flush();
                    return ++found[0] < MOST_FINDINGS;
                });
        write(underWay, "");
        out.printf(
                Locale.ROOT,
                "%d cases in %.1f s, %d failed%s%n",
                done,
                (System.nanoTime() - start) / 1e9,
                found[0],
                found[0] == 0 ? "" : "; see " + report);
        return found[0] == 0 ? Main.OK : Main.FAILED;
    }

    private static String text(Finding finding) {
        return "FAIL " + finding.failures().get(0).caseDescription() + "\n"
                + finding.failures().stream()
                        .map(failure -> "  " + failure.array() + ", by " + String.join(" or ", failure.kernels()) + ": "
                                + failure.problem() + "\n")
                        .distinct()
                        .collect(Collectors.joining())
                + "  " + finding.command() + "\n";
    }

    private static void write(Path file, String text) {
        try {
            Files.writeString(
                    file,
                    text,
                    StandardCharsets.UTF_8,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new UncheckedIOException("--report: " + file + " cannot be written: " + e, e);
        }
    }
}
