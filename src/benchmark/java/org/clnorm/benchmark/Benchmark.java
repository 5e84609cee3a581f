package org.clnorm.benchmark;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.clnorm.Shape;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Measures clnorm and its peers side by side and writes a page about it. */
@Command(
        name = "benchmark",
        mixinStandardHelpOptions = true,
        description = "Batch normalization side by side with peers.")
final class Benchmark implements Callable<Integer> {
    private static final List<Shape> SHAPES = List.of(
            Shape.of(32, 64, 56, 56),
            Shape.of(8, 64, 112, 112),
            Shape.of(32, 256, 14, 14),
            Shape.of(64, 512, 7, 7),
            Shape.of(2, 2048, 7, 7),
            Shape.of(256, 16, 8, 8),
            Shape.of(1, 3, 1024, 1024),
            Shape.of(128, 128),
            Shape.of(4096, 1024));

    /** Shapes that are also measured with ReLU, and with residual and ReLU: a large plane and a small one. */
    private static final List<Shape> FUSED = SHAPES.subList(0, 3);

    /** A run's measurements, for {@code --from}. */
    private static final Path KEPT = Path.of("target", "benchmark", "cpu.csv");

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

    @Option(names = "--rounds", paramLabel = "N", description = "How often each has its turn (${DEFAULT-VALUE}).")
    private int rounds = 9;

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
        List<Shape> chosen = shapes.isEmpty()
                ? SHAPES
                : shapes.stream().map(Benchmark::parse).toList();
        List<Direction> passes = directions.isEmpty() ? List.of(Direction.values()) : directions;
        OpenCl.Candidate candidate = OpenCl.require(OpenCl.devices(), device);
        System.out.println("benchmark: on " + candidate.describe());
        List<Contest.Result> results = new ArrayList<>();
        try (OpenClBackend backend = (OpenClBackend) candidate.open(null);
                JavaLoop loop = new JavaLoop(threads)) {
            Copy streamed = new Copy(backend, true);
            List<Peer> peers = List.of(
                    new Clnorm(backend, 1),
                    new Clnorm(backend, 20),
                    new PyTorch(threads),
                    new OneDnn(),
                    loop,
                    new Copy(backend, false),
                    streamed);
            Contest contest = new Contest(new Arena(backend), peers, streamed, rounds);
            for (Direction direction : passes) {
                for (Shape shape : chosen) {
                    List<Fusion> fusions = FUSED.contains(shape) ? List.of(Fusion.values()) : List.of(Fusion.NONE);
                    Contest.Result result = contest.run(shape, direction, fusions);
                    results.add(result);
                    print(result);
                }
            }
            System.out.printf(
                    "benchmark: %d blocks, %d of them disturbed and discarded; largest errors: %s%n",
                    contest.blocks(), contest.discarded(), contest.worstErrors());
            Measurements measurements = new Measurements(
                    results,
                    Report.machine(candidate, threads),
                    rounds,
                    contest.blocks(),
                    contest.discarded(),
                    contest.worstErrors());
            Files.createDirectories(KEPT.getParent());
            measurements.write(KEPT);
        }
        render(Measurements.read(KEPT));
        return 0;
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
        System.out.println(result.direction() + " " + result.shape());
        for (Timing timing : result.timings()) {
            System.out.printf(
                    "    %-18s %-15s %-10s %9.4f ms%n",
                    timing.peer(), timing.task().form(), timing.task().fusion(), timing.milliseconds());
        }
    }
}
