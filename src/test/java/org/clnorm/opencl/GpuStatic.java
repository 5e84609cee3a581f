package org.clnorm.opencl;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Calls;
import org.clnorm.bench.Norm;
import org.clnorm.bench.TimedOperands;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.plan.Facts;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Launch;

/**
 * What {@code ci/gpu-static} runs: the passes that matter on a GPU, the code of each kernel that they launch, what that says of
 * their speed, and whether it is within the budget.
 */
public final class GpuStatic {
    private static final Shape[] PLANES = {
        Shape.of(32, 64, 56, 56), Shape.of(8, 64, 112, 112), Shape.of(32, 256, 14, 14), Shape.of(64, 512, 7, 7)
    };
    private static final Shape[] SMALL = {Shape.of(256, 16, 8, 8), Shape.of(4096, 1024)};
    private static final Shape[] ROWS = {Shape.of(4096, 1024), Shape.of(8192, 768), Shape.of(8192, 8192)};

    private final GpuCode code;
    private final Map<Workload, List<Launch>> passes = new LinkedHashMap<>();

    private GpuStatic(GpuCode code) {
        this.code = code;
    }

    /** Arguments: a folder for what is compiled, and the page to write. */
    public static void main(String[] arguments) throws IOException {
        GpuStatic all = new GpuStatic(new GpuCode(Path.of(arguments[0])));
        for (DataType type : DataType.values()) {
            all.add(Norm.BATCH, type, PLANES);
            all.add(Norm.LAYER, type, ROWS);
        }
        all.add(Norm.BATCH, DataType.FLOAT32, SMALL);
        all.add(Norm.GROUP, DataType.FLOAT32, PLANES);
        all.add(Norm.INSTANCE, DataType.FLOAT32, PLANES);
        all.add(Norm.RMS, DataType.FLOAT32, ROWS);
        Files.writeString(Path.of(arguments[1]), all.page());
        List<String> over = all.overBudget();
        over.forEach(line -> System.err.println("gpu-static: over its budget: " + line));
        System.out.printf(
                "gpu-static: %d passes, %d programs, %d over their budget; %s%n",
                all.passes.size(), all.code.programs(), over.size(), arguments[1]);
        System.exit(over.isEmpty() ? 0 : 1);
    }

    private void add(Norm norm, DataType type, Shape... shapes) {
        for (Shape shape : shapes) {
            for (Layout layout : norm.layouts(shape)) {
                for (Direction direction : norm.directions()) {
                    Workload pass = new Workload(norm, direction, shape, layout, Fusion.NONE, type);
                    passes.put(pass, launches(pass));
                }
            }
        }
    }

    /** Those of a pass on a device with the facts of an H200. */
    static List<Launch> launches(Workload pass) {
        PlanningBackend backend = new PlanningBackend(Facts.h200(), "auto");
        try (TimedOperands operands = new TimedOperands(backend, 1);
                Calls calls = pass.calls(backend, pass.tensors(1, operands))) {
            backend.takeLaunches();
            calls.make(0);
            return backend.takeLaunches();
        }
    }

    /**
     * What no kernel may have: a work-group that does not fit a unit; registers spilled; 16 bits an access where vectors are
     * whole. And a kernel that goes over tensors must have as many bytes on their way as keep memory busy, where its launch has
     * work-groups enough.
     */
    private List<String> overBudget() {
        List<String> over = new ArrayList<>();
        passes.forEach((pass, launches) -> launches.forEach(launch -> {
            GpuCode.Facts facts = code.of(launch);
            String name = launch.kernel() + " " + launch.options();
            if (GpuCode.perUnit(facts, launch.strategy().items()) == 0) {
                over.add(name + ": no work-group fits a unit");
            }
            if (facts.spilled() > GpuCode.SPILL_ALLOWED) {
                over.add(name + ": " + facts.spilled() + " bytes spilled");
            }
            boolean goesOverTensors = KernelCatalogue.entry(launch.kernel()).step() != KernelCatalogue.Step.FOLD;
            if (goesOverTensors
                    && launch.workGroups() >= 4L * GpuModel.UNITS
                    && launch.strategy().vectorWidth() > 1) {
                double way = GpuModel.onTheirWay(launch, facts, Float.BYTES);
                if (pass.type() == DataType.FLOAT32 && way < GpuModel.enough()) {
                    over.add(String.format("%s: %.0f KB on their way in a unit", name, way / 1024));
                }
            }
        }));
        return over.stream().distinct().toList();
    }

    private String page() {
        StringBuilder page = new StringBuilder();
        page.append("# What a GPU would do, by its compiler alone\n\n")
                .append(
                        "Made by `ci/gpu-static`, which says what it needs. No GPU was asked: clang 16 and libclc make PTX of each\n")
                .append(
                        "program that these passes build on a device with the facts of an H200, and ptxas machine code for sm_90.\n")
                .append(
                        "NVIDIA's OpenCL compiler may take a fifth more or fewer registers; how wide accesses are, what is spilled and\n")
                .append("the number of barriers are telling.\n\n## Model\n\n")
                .append(String.format(
                        "%d units; a copy moves %.1f TB/s, the level-2 cache gives %.1f TB/s of up to %d MB that were read last; %.1f µs from%n"
                                + "asking memory to having it, so that %.0f KB must be on their way in each unit; %.1f µs from a launch to the next.%n"
                                + "A launch takes its bytes at these rates (less where fewer bytes are on their way), or two latencies; a fold three.%n%n",
                        GpuModel.UNITS,
                        GpuModel.COPIED / 1e12,
                        GpuModel.CACHED / 1e12,
                        GpuModel.CACHE >> 20,
                        GpuModel.LATENCY * 1e6,
                        GpuModel.enough() / 1024,
                        GpuModel.LAUNCH * 1e6))
                .append("| pass | launches | µs | of a copy |\n|---|---|---|---|\n");
        passes.forEach((pass, launches) -> {
            double seconds = GpuModel.seconds(pass, launches, code::of);
            page.append(String.format(
                    "| %s | %d | %.1f | %.2f |%n",
                    name(pass), launches.size(), seconds * 1e6, GpuModel.copySeconds(pass) / seconds));
        });
        page.append(
                        "\n## Kernels\n\n`regs`: of a work-item. `fit`: work-groups that a unit has room for at a time. `waves`: how often the device is\n")
                .append(
                        "filled. `way`: KB on their way in a unit. Loads and stores of global memory, as many as the code has: `12×16` is 12 of\n")
                .append(
                        "16 bytes. Each kernel with the first pass, of each size of its work-group, that launches it.\n\n")
                .append(
                        "| kernel | pass | groups × items | regs | spilled | stack | local | barriers | fit | waves | way | loads | stores |\n")
                .append("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        Map<String, String> rows = new TreeMap<>();
        passes.forEach((pass, launches) ->
                launches.forEach(launch -> rows.putIfAbsent(launch.kernel() + launch.options(), row(pass, launch))));
        rows.values().forEach(page::append);
        return page.toString();
    }

    private String row(Workload pass, Launch launch) {
        GpuCode.Facts facts = code.of(launch);
        int items = launch.strategy().items();
        int fit = GpuCode.perUnit(facts, items);
        boolean fold = KernelCatalogue.entry(launch.kernel()).step() == KernelCatalogue.Step.FOLD;
        return String.format(
                "| %s | %s | %d × %d | %d | %d | %d | %d | %d | %d | %.2f | %s | %s | %s |%n",
                launch.kernel(),
                name(pass),
                launch.workGroups(),
                items,
                facts.registers(),
                facts.spilled(),
                facts.stack(),
                facts.shared(),
                facts.barriers(),
                fit,
                launch.workGroups() / (double) (fit * GpuModel.UNITS),
                fold
                        ? "–"
                        : Math.round(
                                GpuModel.onTheirWay(launch, facts, pass.type().bytes()) / 1024),
                accesses(facts.loads()),
                accesses(facts.stores()));
    }

    private static String name(Workload pass) {
        return String.join(
                        " ",
                        pass.norm().toString(),
                        pass.direction().toString(),
                        pass.shape().toString(),
                        pass.shape().rank() == 2 ? "" : pass.layout() == Layout.CHANNELS_FIRST ? "nchw" : "nhwc",
                        pass.type() == DataType.FLOAT32 ? "" : pass.type().toString())
                .strip()
                .replaceAll(" +", " ");
    }

    private static String accesses(Map<Integer, Integer> byBytes) {
        return new TreeMap<>(byBytes)
                .descendingMap().entrySet().stream()
                        .map(one -> one.getValue() + "×" + one.getKey())
                        .collect(Collectors.joining(" "));
    }
}
