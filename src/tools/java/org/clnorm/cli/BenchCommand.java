package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Bench;
import org.clnorm.bench.BenchReport;
import org.clnorm.bench.Measurement;
import org.clnorm.bench.Norm;
import org.clnorm.bench.OptimizerStep;
import org.clnorm.bench.Timed;
import org.clnorm.bench.Workload;
import org.clnorm.bench.against.Build;
import org.clnorm.bench.against.ComparedRow;
import org.clnorm.bench.against.Comparison;
import org.clnorm.bench.against.ComparisonReport;
import org.clnorm.bench.against.Verdict;
import org.clnorm.files.WholeFile;
import org.clnorm.opencl.OpenCl;
import org.clnorm.plan.Strategy;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code clnorm bench}: the passes against the device's own copy. */
@Command(
        name = "bench",
        description = {
            "Times the passes of batch normalization, or of others, or optimizers' steps, on an OpenCL device: queued, with a wait after each"
                    + " call, and the kernels alone.",
            "GB/s counts each input read once and each output written once. The ratios are to copies of a tensor of the"
                    + " same shape, by plain stores and by stores that bypass the cache, measured in alternation in the"
                    + " same run. Every figure is the median over nine rounds.",
            "All of batch normalization, nine shapes and 144 cases, takes about five minutes, and the others about three"
                    + " more; the options leave out what is of no interest."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {
            "0:measured",
            "1:a row is slower, with --fail-slower",
            "2:wrong usage, no OpenCL device, a file that cannot be written, or a build that cannot be compared"
        })
final class BenchCommand implements Callable<Integer> {
    /** All normalizations, each where it can be. */
    private static final String ALL = "all";

    @Mixin
    private DeviceOptions device;

    @Option(
            names = "--norm",
            paramLabel = "<name>",
            split = ",",
            description = {
                "The normalizations, of ${COMPLETION-CANDIDATES}, or all of them. Default: batch.",
                "group has 32 groups, ghost virtual batches of 8; rows of layer, rms and l2 are the last dimension in"
                        + " memory, those of weight all but the first. Without --shape, each has shapes of its own."
            },
            completionCandidates = Norms.class)
    private List<String> norms = List.of(Norm.BATCH.toString());

    @Option(
            names = "--optimizers",
            description = {
                "Time optimizers' steps instead of passes: of SGD with momentum, Adam, AdamW and RMSprop, without and with"
                        + " clipping by the gradients' norm (step+clip), over one tensor of 16 Mi elements and over the 106"
                        + " tensors of a ResNet-50's batch normalizations; or over those of --shape.",
                "Bytes are those of parameters and moments, read and written, and of gradients, read once, with"
                        + " clipping twice. The copies have as many elements as all parameters."
            })
    private boolean optimizers;

    @Option(
            names = "--shape",
            paramLabel = "<n,c,...>",
            description =
                    "Only this shape, such as 32,64,56,56; with --optimizers the elements of each tensor, such as 64,64,256.")
    private String shape;

    @Option(names = "--layout", paramLabel = "<layout>", description = "Only channels-first or channels-last.")
    private String layout;

    @Option(
            names = "--direction",
            paramLabel = "<pass>",
            description = "Only this pass: ${COMPLETION-CANDIDATES}.",
            completionCandidates = Directions.class)
    private String direction;

    @Option(
            names = "--fusion",
            paramLabel = "<fusion>",
            description =
                    "Only what is fused with this, where something is: none, an activation such as relu or gelu, or add+ and one of"
                            + " them; of layer and RMS norm also add-before, which adds to x; masked, or masked+ and any of them:"
                            + " sequences of half to all steps, bytes counted as if all took part; of batch normalization also in-place,"
                            + " or that and leaky-relu: y in place of x. Default: of batch normalization none, relu and add+relu, of others none.")
    private String fusion;

    @Option(
            names = "--type",
            paramLabel = "<type>",
            description = {
                "How the tensors' elements are stored: ${COMPLETION-CANDIDATES}. Default: float32.",
                "Bytes are counted, and copied, accordingly."
            },
            completionCandidates = Types.class)
    private String type = DataType.FLOAT32.toString();

    @Option(
            names = "--rows",
            paramLabel = "<words>",
            description = {
                "Only rows that have all of these words, such as 'channels-last backward' or '32,64,56,56 forward+relu'."
                        + " May be given several times.",
                "A word is a norm, a shape as in --shape, a layout, or a pass as the table has it; with --optimizers a"
                        + " rule, how many tensors there are, or a step as the table has it."
            })
    private List<String> rows = List.of();

    @Option(
            names = "--against",
            paramLabel = "<path>",
            description = {
                "Compare with another build of clnorm: its jar, or the folder with its OpenCL kernels, which this build's"
                        + " classes then call. Each row has the ratio of the other's time to this build's, above 1 where"
                        + " this build is quicker, and as a control that of two copies of this build, each with the"
                        + " interval of 95 %% around its median. A row is slower or quicker only where the ratio's"
                        + " interval is farther from 1 than the control's, and that twice; wide is an interval of"
                        + " over 10 %%.",
                "Takes about 6 seconds for each row, so choose some by --rows."
            })
    private Path against;

    @Option(names = "--fail-slower", description = "With --against, exit with 1 when a row is slower.")
    private boolean failSlower;

    @Option(names = "--json", paramLabel = "<file>", description = "Also write the figures to a file, for programs.")
    private Path json;

    @Option(
            names = "--html",
            paramLabel = "<file>",
            description = "Also write them as a page with a picture, for people.")
    private Path html;

    @Spec
    private CommandSpec spec;

    private static final class Norms extends ArrayList<String> {
        Norms() {
            for (Norm norm : Norm.values()) {
                add(norm.toString());
            }
        }
    }

    private static final class Directions extends ArrayList<String> {
        Directions() {
            for (Workload.Direction direction : Workload.Direction.values()) {
                add(direction.toString());
            }
        }
    }

    private static final class Types extends ArrayList<String> {
        Types() {
            for (DataType type : DataType.values()) {
                add(type.toString());
            }
        }
    }

    @Override
    public Integer call() throws IOException {
        OpenCl.Candidate candidate = device.candidate();
        List<? extends Timed> workloads = chosen(optimizers ? steps() : workloads());
        if (json != null
                && html != null
                && json.toAbsolutePath()
                        .normalize()
                        .equals(html.toAbsolutePath().normalize())) {
            throw new ParameterException(
                    spec.commandLine(), "--json and --html need a file each, but both are " + json);
        }
        if (against != null && html != null) {
            throw new ParameterException(spec.commandLine(), "--against has no --html; --json has all its figures");
        }
        if (against == null && failSlower) {
            throw new ParameterException(
                    spec.commandLine(), "--fail-slower needs --against, which says slower than what");
        }
        Build other = against == null ? null : other();
        // Before the work: that one of them cannot be written is better known now than after minutes.
        WholeFile jsonFile = file("--json", json);
        WholeFile htmlFile = file("--html", html);
        Instant start = Instant.now();
        PrintWriter out = spec.commandLine().getOut();
        if (other != null) {
            return compare(candidate, other, workloads, start, jsonFile);
        }
        Bench bench = new Bench(candidate, device.strategyName());
        List<Measurement> all;
        out.printf("On %s, strategy %s%n%n", candidate.describe(), strategy());
        try (BenchTable table = new BenchTable(out, Terminal.isThere() ? System.err : null, workloads.size())) {
            all = bench.run(workloads, table);
        }
        BenchReport report = new BenchReport(
                candidate.describe(),
                candidate.facts(),
                strategy(),
                BenchReport.thisMachine(),
                start,
                Duration.between(start, Instant.now()).toMillis() / 1e3,
                all,
                Terminal.typed(spec));
        if (jsonFile != null) {
            jsonFile.write(report.toJson());
        }
        if (htmlFile != null) {
            htmlFile.write(report.toHtml());
            out.printf("%nReport: %s%n", html);
            out.flush();
        }
        return Main.OK;
    }

    private Build other() throws IOException {
        try {
            return Build.at(against);
        } catch (IOException e) {
            throw new IOException("--against: " + e.getMessage(), e);
        }
    }

    private int compare(
            OpenCl.Candidate candidate, Build other, List<? extends Timed> workloads, Instant start, WholeFile jsonFile)
            throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        out.printf("On %s, strategy %s, against %s%n%n", candidate.describe(), strategy(), other);
        List<ComparedRow> rows;
        try (ComparisonTable table =
                new ComparisonTable(out, Terminal.isThere() ? System.err : null, workloads.size())) {
            rows = new Comparison(candidate, device.strategyName(), other).run(workloads, table);
        }
        ComparisonReport report = new ComparisonReport(
                candidate.describe(),
                candidate.facts(),
                strategy(),
                BenchReport.thisMachine(),
                other.toString(),
                start,
                Duration.between(start, Instant.now()).toMillis() / 1e3,
                rows,
                Terminal.typed(spec));
        out.printf("%n%s%n", report.summary());
        out.flush();
        if (jsonFile != null) {
            jsonFile.write(report.toJson());
        }
        return failSlower && report.count(Verdict.SLOWER) > 0 ? Main.FAILED : Main.OK;
    }

    /** The file that an option names, or null; that it cannot be written is better known before the work than after. */
    static WholeFile file(String option, Path path) throws IOException {
        try {
            return path == null ? null : WholeFile.at(path);
        } catch (IOException e) {
            throw new IOException(option + " " + e.getMessage(), e);
        }
    }

    private String strategy() {
        return device.strategyName() == null ? Strategy.AUTO : device.strategyName();
    }

    private List<Workload> workloads() {
        boolean all = norms.contains(ALL);
        List<Norm> chosen = all
                ? List.of(Norm.values())
                : norms.stream()
                        .map(norm -> oneOf("--norm", norm, Norm.values()))
                        .distinct()
                        .toList();
        Shape only = shape == null ? null : parseShape(shape);
        List<Workload> workloads = new ArrayList<>();
        for (Norm norm : chosen) {
            if (only == null) {
                norm.shapes().forEach(s -> add(workloads, norm, s));
                continue;
            }
            Optional<String> objection = norm.objection(only);
            if (objection.isEmpty()) {
                add(workloads, norm, only);
            } else if (!all) {
                throw new ParameterException(
                        spec.commandLine(), "--norm " + norm + " " + objection.get() + ", but --shape is " + only);
            }
        }
        if (workloads.isEmpty()) {
            throw new ParameterException(
                    spec.commandLine(),
                    "Nothing is left to time: --norm " + String.join(",", norms) + " has no --direction " + direction
                            + " of its own");
        }
        return workloads;
    }

    private List<OptimizerStep> steps() {
        for (String option : List.of("--norm", "--layout", "--direction", "--fusion", "--type")) {
            if (spec.commandLine().getParseResult().hasMatchedOption(option)) {
                throw new ParameterException(
                        spec.commandLine(), "--optimizers has no " + option + "; --rows chooses some of its rows");
            }
        }
        return OptimizerStep.all(shape == null ? OptimizerStep.TENSORS : List.of(parseTensors(shape)));
    }

    /** Those that {@code --rows} asks for, or all. */
    private List<? extends Timed> chosen(List<? extends Timed> all) {
        List<Timed> chosen = new ArrayList<>();
        for (String wanted : rows) {
            List<String> words = List.of(wanted.strip().split("\\s+"));
            List<? extends Timed> found = all.stream()
                    .filter(each -> each.rowWords().containsAll(words))
                    .toList();
            if (found.isEmpty()) {
                throw new ParameterException(
                        spec.commandLine(),
                        "No row has all the words of --rows '" + wanted + "'; one of the " + all.size() + " rows has "
                                + String.join(" ", all.get(0).rowWords()));
            }
            chosen.addAll(found);
        }
        return rows.isEmpty() ? all : chosen.stream().distinct().toList();
    }

    private void add(List<Workload> workloads, Norm norm, Shape shape) {
        DataType stored = oneOf("--type", type, DataType.values());
        List<Layout> layouts = norm.layouts(shape);
        if (layout != null) {
            Layout asked = oneOf("--layout", layout, Layout.values());
            layouts = layouts.size() == 1 ? layouts : List.of(asked);
        }
        List<Workload.Direction> directions = norm.directions();
        if (direction != null) {
            Workload.Direction asked = oneOf("--direction", direction, Workload.Direction.values());
            directions = directions.contains(asked) ? List.of(asked) : List.of();
        }
        List<Workload.Fusion> fusions = norm.fusions();
        if (fusion != null && norm.isFused(fusionNamed(fusion))) {
            fusions = List.of(fusionNamed(fusion));
        }
        for (Layout l : layouts) {
            for (Workload.Direction d : directions) {
                for (Workload.Fusion f : fusions) {
                    workloads.add(new Workload(norm, d, shape, l, f, stored));
                }
            }
        }
    }

    private Workload.Fusion fusionNamed(String name) {
        try {
            return Workload.Fusion.named(name);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(
                    spec.commandLine(),
                    "--fusion must be none, an activation, add+ or add-before+ and one of them, or masked+ or in-place+ and any, but is '"
                            + name + "': " + e.getMessage(),
                    e);
        }
    }

    private <T> T oneOf(String option, String given, T[] values) {
        for (T value : values) {
            if (value.toString().equals(given)) {
                return value;
            }
        }
        throw new ParameterException(
                spec.commandLine(), option + " must be one of " + List.of(values) + ", but is '" + given + "'");
    }

    private List<Long> parseTensors(String text) {
        try {
            List<Long> elements = Arrays.stream(numbers(text)).boxed().toList();
            for (long each : elements) {
                if (each < 1) {
                    throw new IllegalArgumentException("each tensor needs an element");
                }
            }
            return elements;
        } catch (IllegalArgumentException e) {
            throw new ParameterException(
                    spec.commandLine(),
                    "--shape must be like 64,64,256 with --optimizers, but is '" + text + "': " + e.getMessage());
        }
    }

    private static long[] numbers(String text) {
        return Arrays.stream(text.split(","))
                .map(String::strip)
                .mapToLong(Long::parseLong)
                .toArray();
    }

    private Shape parseShape(String text) {
        try {
            Shape parsed = Shape.of(numbers(text));
            if (parsed.rank() < 2 || parsed.rank() > 5 || parsed.elements() < 1) {
                throw new IllegalArgumentException("it needs 2 to 5 dimensions, a channel and an element");
            }
            return parsed;
        } catch (IllegalArgumentException e) {
            throw new ParameterException(
                    spec.commandLine(), "--shape must be like 32,64,56,56, but is '" + text + "': " + e.getMessage());
        }
    }
}
