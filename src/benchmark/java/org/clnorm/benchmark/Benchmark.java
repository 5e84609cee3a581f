package org.clnorm.benchmark;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Measures clnorm and its peers side by side and writes a page about it. */
@Command(name = "benchmark", mixinStandardHelpOptions = true, description = "Normalizations side by side with peers.")
final class Benchmark implements Callable<Integer> {
    /** What there is beside clnorm and the copies. */
    enum Part {
        PYTORCH,
        ONEDNN,
        DL4J,
        JAVA,
        LIMITS,
        MEMORY,
        STARTUP
    }

    /** Shapes that are also measured with ReLU, and with residual and ReLU: large planes and a small one. */
    private static final List<Shape> FUSED =
            List.of(Shape.of(32, 64, 56, 56), Shape.of(8, 64, 112, 112), Shape.of(32, 256, 14, 14));

    private static final Path BUILT = Path.of("target", "benchmark");

    private static final List<String> LIMITS =
            List.of(BUILT.resolve("limits").toAbsolutePath().toString());

    /** A run's measurements, for {@code --from}. */
    private static final Path KEPT = BUILT.resolve("cpu.csv");

    /** γ and β by the sample, and layer norm over channels that lie apart, are in none of the peers, and in `bench`. */
    private static final List<Norm> PEERS_HAVE = Stream.of(Norm.values())
            .filter(norm -> norm != Norm.ADAPTIVE && norm != Norm.LAYER_CHANNELS)
            .toList();

    @Option(
            names = "--norm",
            paramLabel = "NORM",
            split = ",",
            description = "${COMPLETION-CANDIDATES}; may be repeated. All unless given.")
    private List<Norm> norms = PEERS_HAVE;

    @Option(
            names = "--shape",
            paramLabel = "N,C[,H,W]",
            description = "A shape; may be repeated. All of the report's unless given.")
    private List<String> shapes = List.of();

    @Option(
            names = "--direction",
            paramLabel = "D",
            description = "${COMPLETION-CANDIDATES}; may be repeated. All unless given.")
    private List<Direction> directions = List.of();

    @Option(
            names = "--only",
            paramLabel = "PART",
            split = ",",
            description = "What is measured beside clnorm and the copies: ${COMPLETION-CANDIDATES}; may be repeated."
                    + " All unless given, or with --rows pytorch and onednn; with memory and startup alone, nothing is"
                    + " raced.")
    private List<Part> parts;

    @Option(
            names = "--rows",
            paramLabel = "WORDS",
            description =
                    "Only rows that have all of these words, such as 'channels-last backward' or '64,512,7,7 forward';"
                            + " may be repeated. Prints each ratio with the interval of 95 % around its median, and writes no page.")
    private List<String> rows = List.of();

    @Option(
            names = "--rounds",
            paramLabel = "N",
            description = "How often each has its turn. 9 unless given, or with --rows 41.")
    private Integer rounds;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of each peer; all processors unless given.")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(names = "--device", paramLabel = "D", description = "The OpenCL device; the best one unless given.")
    private String device;

    @Option(names = "--out", paramLabel = "FOLDER", description = "Where cpu.md and cpu.svg go (${DEFAULT-VALUE}).")
    private Path out = Path.of("target", "benchmark");

    @Option(
            names = "--note",
            paramLabel = "TEXT",
            description = "A sentence about the machine or the run, for the page.")
    private String note = "";

    @Option(
            names = "--from",
            paramLabel = "FILE",
            description = "Writes the page from an earlier run's cpu.csv, measuring nothing.")
    private Path from;

    public static void main(String[] arguments) {
        // The native libraries' threads may outlive main.
        System.exit(new CommandLine(new Benchmark())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setExecutionExceptionHandler((exception, command, parsed) -> {
                    if (!(exception instanceof IllegalArgumentException)) {
                        throw exception;
                    }
                    command.getErr().println("benchmark: " + exception.getMessage());
                    return command.getCommandSpec().exitCodeOnInvalidInput();
                })
                .execute(arguments));
    }

    @Override
    public Integer call() throws IOException {
        if (from != null) {
            render(Measurements.read(from));
            return 0;
        }
        Rows chosen = new Rows(rows);
        if (parts == null) {
            parts = chosen.all() ? List.of(Part.values()) : List.of(Part.PYTORCH, Part.ONEDNN);
        }
        if (rounds == null) {
            rounds = chosen.all() ? 9 : 41;
        }
        List<Shape> asked = shapes.stream().map(Benchmark::parse).toList();
        if (!chosen.all() && heats(asked, chosen).isEmpty()) {
            throw new IllegalArgumentException("No row has all the words of --rows " + rows
                    + "; one of them has batch 64,512,7,7 channels-last forward");
        }
        OpenCl.Candidate candidate = OpenCl.require(OpenCl.devices(), device);
        System.out.println("benchmark: on " + candidate.describe());
        List<Figure> figures = figures(candidate, shapes(Norm.BATCH, asked));
        List<Contest.Result> results = new ArrayList<>();
        Measurements measurements;
        if (parts.stream().allMatch(part -> part == Part.MEMORY || part == Part.STARTUP)) {
            measurements = new Measurements(results, figures, Report.machine(candidate, threads), 0, 0, 0, "");
            return keep(measurements);
        }
        Path pattern = BUILT.resolve("pattern");
        Files.createDirectories(BUILT);
        Arena.writePattern(pattern);
        try (OpenClBackend backend = (OpenClBackend) candidate.open(null);
                Clnorm clnorm = new Clnorm(backend, 1);
                Clnorm queued = new Clnorm(backend, 20);
                JavaLoop loop = new JavaLoop(threads);
                Guest limits = guest(Part.LIMITS, Report.LIMIT, LIMITS, pattern);
                Guest dl4j = guest(Part.DL4J, Report.DL4J, dl4jCommand(), pattern)) {
            Copy streamed = new Copy(backend, true);
            List<Peer> peers = new ArrayList<>(List.of(clnorm, queued, new Copy(backend, false), streamed));
            if (parts.contains(Part.PYTORCH)) {
                peers.add(new PyTorch(threads));
            }
            if (parts.contains(Part.ONEDNN)) {
                peers.add(new OneDnn());
            }
            if (parts.contains(Part.JAVA)) {
                peers.add(loop);
            }
            if (limits != null) {
                peers.add(limits.peer(Benchmark::fitsLimits));
                peers.add(limits.copy());
            }
            if (dl4j != null) {
                peers.add(dl4j.peer(task -> task.form() != Form.BLOCKED));
                peers.add(dl4j.copy());
            }
            Contest contest = new Contest(new Arena(backend), peers, streamed, rounds);
            for (Heat heat : heats(asked, chosen)) {
                Contest.Result result = contest.run(heat.norm, heat.shape, heat.direction, heat.fusions(), chosen);
                results.add(result);
                if (chosen.all()) {
                    print(result);
                } else {
                    chosen.print(result);
                }
            }
            System.out.printf(
                    "benchmark: %d blocks, %d of them disturbed and discarded; largest errors: %s%n",
                    contest.blocks(), contest.discarded(), contest.worstErrors());
            if (!chosen.all()) {
                return 0;
            }
            measurements = new Measurements(
                    results,
                    figures,
                    Report.machine(candidate, threads),
                    rounds,
                    contest.blocks(),
                    contest.discarded(),
                    contest.worstErrors());
        }
        return keep(measurements);
    }

    /** What is raced together. */
    private record Heat(Norm norm, Direction direction, Shape shape) {
        List<Fusion> fusions() {
            return FUSED.contains(shape) ? norm.fusions() : List.of(Fusion.NONE);
        }
    }

    private List<Heat> heats(List<Shape> asked, Rows chosen) {
        return norms.stream()
                .flatMap(norm -> passes(norm).stream().flatMap(direction -> shapes(norm, asked).stream()
                        .map(shape -> new Heat(norm, direction, shape))))
                .filter(heat -> chosen.any(heat.norm, heat.shape, heat.direction, heat.fusions()))
                .toList();
    }

    private List<Direction> passes(Norm norm) {
        return norm.directions().stream()
                .filter(direction -> directions.isEmpty() || directions.contains(direction))
                .toList();
    }

    /** Those asked for that it is for, as rows of (N, C) where it is one of rows. */
    private static List<Shape> shapes(Norm norm, List<Shape> asked) {
        boolean rows = norm == Norm.LAYER || norm == Norm.RMS || norm == Norm.L2;
        return asked.isEmpty()
                ? norm.shapes()
                : asked.stream()
                        .filter(shape -> norm.objection(shape).isEmpty() && (!rows || shape.rank() == 2))
                        .toList();
    }

    private int keep(Measurements measurements) throws IOException {
        Files.createDirectories(BUILT);
        measurements.write(KEPT);
        render(Measurements.read(KEPT));
        return 0;
    }

    /** Before all else: nothing else runs in this process yet. */
    private List<Figure> figures(OpenCl.Candidate candidate, List<Shape> chosen) {
        List<Figure> figures = new ArrayList<>();
        if (parts.contains(Part.STARTUP)) {
            figures.addAll(new StartUp(candidate).figures());
        }
        if (parts.contains(Part.MEMORY)) {
            figures.addAll(new Footprint(candidate).figures(chosen));
        }
        figures.forEach(figure -> System.out.println(figure.what() + ": " + figure.measured()));
        return figures;
    }

    /** Nobody where the part is not wanted. */
    private Guest guest(Part part, String name, List<String> command, Path pattern) {
        if (!parts.contains(part)) {
            return null;
        }
        List<String> whole = new ArrayList<>(command);
        whole.add(pattern.toString());
        whole.add(Integer.toString(Arena.ELEMENTS));
        return new Guest(name, whole);
    }

    private static List<String> dl4jCommand() throws IOException {
        Path folder = BUILT.resolve("dl4j");
        return List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx3g",
                "-XX:+UseSerialGC",
                "-cp",
                folder.resolve("classes")
                        + File.pathSeparator
                        + Files.readString(folder.resolve("classpath")).strip(),
                "org.clnorm.benchmark.dl4j.Dl4j");
    }

    /** Whether its channels, or its rows, come out as whole vectors. */
    private static boolean fitsLimits(Task task) {
        int lanes = 16;
        boolean planes = task.form() == Form.CHANNELS_FIRST && task.spatial() > 1;
        long together =
                planes ? (long) task.channels() * task.spatial() : task.shape().elements();
        return task.form() != Form.BLOCKED && together % lanes == 0;
    }

    private void render(Measurements measurements) throws IOException {
        Files.createDirectories(out);
        Files.writeString(out.resolve("cpu.md"), new Report(measurements).page(note));
        Files.writeString(out.resolve("cpu.svg"), new Chart(measurements.results()).svg());
        System.out.println("benchmark: wrote " + out.resolve("cpu.md") + " and " + out.resolve("cpu.svg"));
    }

    static Shape parse(String text) {
        try {
            Shape shape = Shape.of(Arrays.stream(text.split(","))
                    .mapToLong(part -> Long.parseLong(part.strip()))
                    .toArray());
            if ((shape.rank() == 2 || shape.rank() == 4) && shape.elements() > 0) {
                return shape;
            }
        } catch (NumberFormatException e) {
            // told below
        }
        throw new IllegalArgumentException(
                "A shape is N,C or N,C,H,W with positive numbers, but given was '" + text + "'");
    }

    private static void print(Contest.Result result) {
        System.out.println(result.norm() + " " + result.direction() + " " + result.shape());
        for (Timing timing : result.timings()) {
            System.out.printf(
                    "    %-18s %-15s %-10s %9.4f ms%n",
                    timing.peer(), timing.task().form(), timing.task().fusion(), timing.milliseconds());
        }
    }
}
