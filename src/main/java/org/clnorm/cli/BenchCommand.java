package org.clnorm.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Bench;
import org.clnorm.bench.Measurement;
import org.clnorm.bench.Workload;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.Strategy;
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
            "Times the passes of batch normalization on an OpenCL device.",
            "GB/s counts each input read once and each output written once. The ratios are to copies of a tensor of the"
                    + " same shape, by plain stores and by stores that bypass the cache, measured in alternation in the"
                    + " same run."
        })
final class BenchCommand implements Callable<Integer> {
    private static final List<Shape> SHAPES = List.of(
            Shape.of(32, 64, 56, 56),
            Shape.of(32, 256, 14, 14),
            Shape.of(64, 512, 7, 7),
            Shape.of(8, 64, 112, 112),
            Shape.of(2, 2048, 7, 7),
            Shape.of(256, 16, 8, 8),
            Shape.of(1, 3, 1024, 1024),
            Shape.of(128, 128),
            Shape.of(4096, 1024));

    @Mixin
    private DeviceOptions device;

    @Option(names = "--shape", paramLabel = "<n,c,...>", description = "Only this shape, such as 32,64,56,56.")
    private String shape;

    @Option(names = "--layout", paramLabel = "<layout>", description = "Only channels-first or channels-last.")
    private String layout;

    @Option(
            names = "--direction",
            paramLabel = "<pass>",
            description = "Only this pass: ${COMPLETION-CANDIDATES}.",
            completionCandidates = Directions.class)
    private String direction;

    @Option(names = "--json", paramLabel = "<file>", description = "Also write the figures here.")
    private Path json;

    @Spec
    private CommandSpec spec;

    private static final class Directions extends ArrayList<String> {
        Directions() {
            for (Workload.Direction direction : Workload.Direction.values()) {
                add(direction.toString());
            }
        }
    }

    @Override
    public Integer call() throws IOException {
        OpenCl.Candidate candidate = device.candidate();
        List<Workload> workloads = workloads();
        PrintWriter out = spec.commandLine().getOut();
        out.printf("On %s, strategy %s%n%n", candidate.describe(), strategy());
        out.printf(
                "%-20s %-14s %-18s %9s %9s %8s %9s %7s %8s %9s%n",
                "shape", "layout", "pass", "ms", "kernel ms", "launches", "host us", "GB/s", "of copy", "of stream");
        out.flush();
        List<Measurement> all =
                new Bench(candidate, device.strategyName()).run(workloads, measurement -> print(out, measurement));
        if (json != null) {
            write(candidate, all);
        }
        return Main.OK;
    }

    private static void print(PrintWriter out, Measurement m) {
        out.printf(
                Locale.ROOT,
                "%-20s %-14s %-18s %9.3f %9.3f %8d %9.1f %7.1f %8.2f %9.2f%n",
                m.workload().shape(),
                m.workload().layout(),
                m.workload().operation(),
                m.milliseconds(),
                m.kernelMilliseconds(),
                m.launches(),
                m.hostMicroseconds(),
                m.gigabytesPerSecond(),
                m.ofCopy(),
                m.ofStreamedCopy());
        out.flush();
    }

    private String strategy() {
        return device.strategyName() == null ? Strategy.AUTO : device.strategyName();
    }

    private List<Workload> workloads() {
        List<Shape> shapes = shape == null ? SHAPES : List.of(parseShape(shape));
        List<Layout> layouts =
                layout == null ? List.of(Layout.values()) : List.of(oneOf("--layout", layout, Layout.values()));
        List<Workload.Direction> directions = direction == null
                ? List.of(Workload.Direction.values())
                : List.of(oneOf("--direction", direction, Workload.Direction.values()));
        List<Workload> workloads = new ArrayList<>();
        for (Shape s : shapes) {
            for (Layout l : s.rank() == 2 ? List.of(Layout.CHANNELS_FIRST) : layouts) {
                for (Workload.Direction d : directions) {
                    for (Workload.Fusion fusion : Workload.Fusion.values()) {
                        workloads.add(new Workload(d, s, l, fusion));
                    }
                }
            }
        }
        return workloads;
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

    private Shape parseShape(String text) {
        try {
            String[] parts = text.split(",");
            long[] dimensions = new long[parts.length];
            for (int i = 0; i < parts.length; i++) {
                dimensions[i] = Long.parseLong(parts[i].strip());
            }
            Shape parsed = Shape.of(dimensions);
            if (parsed.rank() < 2 || parsed.rank() > 5 || parsed.batch() * parsed.spatial() < 2) {
                throw new IllegalArgumentException("it needs 2 to 5 dimensions and two values per channel");
            }
            return parsed;
        } catch (IllegalArgumentException e) {
            throw new ParameterException(
                    spec.commandLine(), "--shape must be like 32,64,56,56, but is '" + text + "': " + e.getMessage());
        }
    }

    private void write(OpenCl.Candidate candidate, List<Measurement> all) throws IOException {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Measurement m : all) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("shape", m.workload().shape().toArray());
            row.put("layout", m.workload().layout().toString());
            row.put("pass", m.workload().operation());
            row.put("ms", m.milliseconds());
            row.put("kernel_ms", m.kernelMilliseconds());
            row.put("launches", m.launches());
            row.put("host_us", m.hostMicroseconds());
            row.put("gb_per_s", m.gigabytesPerSecond());
            row.put("of_copy", m.ofCopy());
            row.put("of_streamed_copy", m.ofStreamedCopy());
            rows.add(row);
        }
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("device", candidate.describe());
        report.put("facts", candidate.facts().toMap());
        report.put("strategy", strategy());
        report.put("measurements", rows);
        Files.writeString(
                json,
                new com.google.gson.GsonBuilder().setPrettyPrinting().create().toJson(report) + "\n");
    }
}
