package org.clnorm.benchmark;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.opencl.OpenCl;

/** The page about a run, in Markdown. */
final class Report {
    static final String CLNORM = "clnorm";
    static final String QUEUED = "clnorm, 20 queued";
    static final String DL4J = "DL4J";
    static final String LIMIT = "C loop";
    static final String LIMIT_COPY = Guest.copyOf(LIMIT);
    static final String NOTHING = "–";

    private final Measurements measurements;

    Report(Measurements measurements) {
        this.measurements = measurements;
    }

    /** The machine, in words. */
    static String machine(OpenCl.Candidate device, int threads) {
        return cpu() + ", " + threads + " cores; " + device.facts().platform() + ", "
                + device.facts().version() + ", driver " + device.facts().driver();
    }

    private static String cpu() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/cpuinfo"))) {
            return lines.filter(line -> line.startsWith("model name"))
                    .findFirst()
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .orElse("an unknown processor");
        } catch (IOException e) {
            return "an unknown processor";
        }
    }

    /** @param note a sentence about the run, or nothing */
    String page(String note) {
        StringBuilder page = new StringBuilder();
        page.append("""
                # Normalization on a CPU, side by side

                Written by `ci/benchmark`. Milliseconds are of this run on this machine; the ratios are what carries over. A ratio says
                how many times as long as clnorm the other takes: above 1, clnorm is the quicker one.

                ![Rates against a streamed copy](cpu.svg)

                """);
        page.append("Machine: ").append(measurements.machine()).append(note.isEmpty() ? ".\n\n" : ". " + note + "\n\n");
        Targets targets = new Targets(measurements.results());
        if (!targets.isEmpty()) {
            page.append("## Targets\n\n").append(targets.summary()).append(targets.table());
            page.append("""

                    "A C loop reaches" tells what a loop written by hand for this processor reaches at the same cases, in the same
                    rounds: a target beyond that is beyond what these cores and this memory allow.

                    """);
        }
        if (!measurements.figures().isEmpty()) {
            page.append("## Memory and start-up\n\n").append(figures()).append('\n');
        }
        if (measurements.results().stream().anyMatch(result -> result.timings().stream()
                .anyMatch(timing -> timing.peer().equals(LIMIT)))) {
            page.append("## Limits\n\n").append(limits()).append('\n');
        }
        for (Direction direction : Direction.values()) {
            List<Contest.Result> results = of(direction);
            if (!results.isEmpty()) {
                page.append(title(direction)).append(table(results)).append('\n');
            }
        }
        String fused = fused();
        if (fused.lines().count() > 2) {
            page.append("## Fused with ReLU, and with a residual and ReLU\n\n")
                    .append(fused)
                    .append('\n');
        }
        String others = others();
        if (!others.isEmpty()) {
            page.append("## Other normalizations\n\n").append(others).append('\n');
        }
        page.append(method());
        return page.toString();
    }

    private List<Contest.Result> of(Direction direction) {
        return measurements.results().stream()
                .filter(result -> result.norm() == Norm.BATCH && result.direction() == direction)
                .toList();
    }

    private static String title(Direction direction) {
        return switch (direction) {
            case FORWARD -> "## Training forward\n\n";
            case BACKWARD -> "## Training backward\n\n";
            case INFERENCE -> "## Inference\n\n";
        };
    }

    private static String table(List<Contest.Result> results) {
        StringBuilder table = new StringBuilder(
                "| shape | layout | clnorm | of a streamed copy | of a plain copy | PyTorch, same layout | oneDNN, same layout |"
                        + " oneDNN, best layout | DL4J | Java loop |\n|---|---|---|---|---|---|---|---|---|---|\n");
        for (Contest.Result result : results) {
            for (Form form : List.of(Form.CHANNELS_FIRST, Form.CHANNELS_LAST)) {
                for (String ours : List.of(CLNORM, QUEUED)) {
                    result.find(ours, form, Fusion.NONE).ifPresent(timing -> row(table, result, timing));
                }
            }
        }
        return table.toString();
    }

    private static void row(StringBuilder table, Contest.Result result, Timing ours) {
        Form form = ours.task().form();
        table.append("| ").append(result.shape()).append(" | ").append(form);
        table.append(ours.peer().equals(QUEUED) ? ", 20 queued" : "");
        table.append(" | ").append(milliseconds(ours));
        table.append(" | ").append(Targets.percent(result.ofCopy(ours, Copy.STREAMED)));
        table.append(" | ").append(Targets.percent(result.ofCopy(ours, Copy.PLAIN)));
        table.append(" | ").append(against(ours, result.find("PyTorch", form, Fusion.NONE)));
        table.append(" | ").append(against(ours, result.find("oneDNN", form, Fusion.NONE)));
        Optional<Timing> best = result.best("oneDNN", Fusion.NONE);
        table.append(" | ").append(against(ours, best));
        table.append(best.map(timing -> ", " + timing.task().form()).orElse(""));
        table.append(" | ").append(dl4j(ours, result));
        table.append(" | ").append(against(ours, result.find("Java loop", form, Fusion.NONE)));
        table.append(" |\n");
    }

    private static String milliseconds(Timing timing) {
        double value = timing.milliseconds();
        return String.format(Locale.ROOT, value < 0.1 ? "%.4f ms" : "%.2f ms", value);
    }

    /** Beside the copy in its own process: that is what its rate is of. */
    private static String dl4j(Timing ours, Contest.Result result) {
        return result.find(DL4J, ours.task().form(), Fusion.NONE)
                .map(timing -> against(ours, Optional.of(timing)) + ", "
                        + percent(result.ofCopy(timing, Guest.copyOf(DL4J))) + " of its copy")
                .orElse(NOTHING);
    }

    /** With a digit after the point where there is nothing much before it. */
    private static String percent(double fraction) {
        return fraction < 0.095 ? String.format(Locale.ROOT, "%.1f%%", fraction * 100) : Targets.percent(fraction);
    }

    private String figures() {
        StringBuilder table = new StringBuilder("| what | measured | at most | reached |\n|---|---|---|---|\n");
        for (Figure figure : measurements.figures()) {
            table.append("| ").append(figure.what());
            table.append(" | ").append(figure.measured());
            table.append(" | ").append(figure.target());
            table.append(" | ").append(figure.reached() ? "yes" : "**no**");
            table.append(" |\n");
        }
        return table.toString();
    }

    private String limits() {
        StringBuilder table = new StringBuilder("""
                What a loop written by hand reaches (`src/benchmark/c/limits.c`), in a process of its own beside a streamed copy of its
                own. The last column says how many times as long as clnorm it takes: below 1, there is something left to gain.

                | pass | shape | layout | clnorm, of a streamed copy | C loop, of its streamed copy | C loop | its time against clnorm's |
                |---|---|---|---|---|---|---|
                """);
        for (Contest.Result result : measurements.results()) {
            for (Form form : List.of(Form.CHANNELS_FIRST, Form.CHANNELS_LAST)) {
                for (String ours : List.of(CLNORM, QUEUED)) {
                    Optional<Timing> limit = result.find(LIMIT, form, Fusion.NONE);
                    Optional<Timing> timing = result.find(ours, form, Fusion.NONE);
                    if (limit.isEmpty() || timing.isEmpty()) {
                        continue;
                    }
                    table.append("| ").append(result.direction());
                    table.append(" | ").append(result.shape());
                    table.append(" | ").append(form).append(ours.equals(QUEUED) ? ", 20 queued" : "");
                    table.append(" | ").append(Targets.percent(result.ofCopy(timing.get(), Copy.STREAMED)));
                    table.append(" | ").append(Targets.percent(result.ofCopy(limit.get(), LIMIT_COPY)));
                    table.append(" | ").append(milliseconds(limit.get()));
                    table.append(" | ").append(Targets.times(timing.get().advantageOver(limit.get())));
                    table.append(" |\n");
                }
            }
        }
        return table.toString();
    }

    private static String against(Timing ours, Optional<Timing> other) {
        return other.map(timing -> milliseconds(timing) + " (" + Targets.times(ours.advantageOver(timing)) + ")")
                .orElse(NOTHING);
    }

    /** A row for each case of those that are not batch normalization; nothing if there are none. */
    private String others() {
        StringBuilder table = new StringBuilder();
        for (Contest.Result result : measurements.results()) {
            if (result.norm() == Norm.BATCH) {
                continue;
            }
            for (Form form : List.of(Form.CHANNELS_FIRST, Form.CHANNELS_LAST)) {
                result.find(CLNORM, form, Fusion.NONE).ifPresent(ours -> {
                    boolean layouts = result.norm().layouts(result.shape()).size() > 1;
                    table.append("| ").append(result.norm());
                    table.append(" | ").append(result.direction());
                    table.append(" | ").append(result.shape());
                    table.append(" | ").append(layouts ? form : NOTHING);
                    table.append(" | ").append(milliseconds(ours));
                    table.append(" | ").append(Targets.percent(result.ofCopy(ours, Copy.STREAMED)));
                    table.append(" | ").append(Targets.percent(result.ofCopy(ours, Copy.PLAIN)));
                    for (String peer : List.of("PyTorch", "oneDNN")) {
                        Optional<Timing> timing = result.find(peer, form, Fusion.NONE);
                        table.append(" | ").append(against(ours, timing));
                        timing.ifPresent(t -> table.append(", ")
                                .append(percent(result.ofCopy(t, Copy.STREAMED)))
                                .append(" of a streamed copy"));
                    }
                    table.append(" |\n");
                });
            }
        }
        return table.isEmpty() ? "" : """
                Group normalization has 32 groups; ghost is batch normalization in virtual batches of 8 samples, renorm batch
                renormalization; rows of layer, rms and l2 are of (N, C) along C, those of weight all but the first dimension. An
                evaluation that is like training, or like batch normalization's, is not measured again.

                | normalization | pass | shape | layout | clnorm | of a streamed copy | of a plain copy | PyTorch, same layout | oneDNN, same layout |
                |---|---|---|---|---|---|---|---|---|
                """ + table;
    }

    private String fused() {
        StringBuilder table = new StringBuilder(
                "| pass | shape | layout | fused | clnorm | time against not fused | of a streamed copy | PyTorch | oneDNN, best layout |\n"
                        + "|---|---|---|---|---|---|---|---|---|\n");
        for (Contest.Result result : measurements.results()) {
            for (Form form : List.of(Form.CHANNELS_FIRST, Form.CHANNELS_LAST)) {
                for (Fusion fusion : List.of(Fusion.RELU, Fusion.ADD_RELU)) {
                    result.find(CLNORM, form, fusion).ifPresent(ours -> {
                        String cost = result.find(CLNORM, form, Fusion.NONE)
                                .map(plain -> Targets.times(plain.advantageOver(ours)))
                                .orElse(NOTHING);
                        table.append("| ").append(result.direction());
                        table.append(" | ").append(result.shape());
                        table.append(" | ").append(form);
                        table.append(" | ").append(fusion.toString().substring(1));
                        table.append(" | ").append(milliseconds(ours));
                        table.append(" | ").append(cost);
                        table.append(" | ").append(Targets.percent(result.ofCopy(ours, Copy.STREAMED)));
                        table.append(" | ").append(against(ours, result.find("PyTorch", form, fusion)));
                        table.append(" | ").append(against(ours, result.best("oneDNN", fusion)));
                        table.append(" |\n");
                    });
                }
            }
        }
        return table.toString();
    }

    private String method() {
        return String.format(
                Locale.ROOT,
                """
                ## How it was measured

                - All but two are in one process, each with as many threads as there are cores, float32. In each of %d rounds every one has its
                  turn, a block of calls of some 15 ms; a ratio is the median of the rounds' ratios, a time the median of the rounds.
                - Between blocks is a pause in which OpenMP's threads go to sleep, and then a copy. When the copy before a block or the
                  one after it takes 1.3 times as long as usual, something else disturbed the machine: the block is done again, up to four
                  times, and if it does not get better the round does not count for that one. Here %d of %d blocks were discarded.
                - Tensors take turns: a pass goes over more than 300 MB before it comes back to the same ones, all written before. Of
                  the smallest there are 256 sets, so tensors of 64 KB are mostly from cache.
                - The results of all, once for each task, are compared with the formula in double precision; the largest differences of
                  values of about 1 are: %s.
                  The backward passes go by the statistics, and the masks, of the first set.
                - clnorm waits for the device after every call, as the others do; "20 queued" waits once for 20 calls. To wait costs tens
                  of microseconds, which the copies pay too: with small tensors, others pass 100%% of a copy. It runs on the OpenCL
                  device, through the layer under the public classes; tensors stay on the device.
                - A copy is the device's own, of one tensor; "streamed" stores past the cache. Rates count minimal bytes: x read and y written;
                  x and dy read and dx written; the residual's (and y's) besides where there is one.
                - PyTorch 2.7.1: `native_batch_norm_out` and `native_batch_norm_backward` without autograd (the latter allocates its result;
                  malloc is told to keep freed memory); then `add_` and `relu_` for the fused ones, which it does not fuse; its fused
                  backward is not measured. oneDNN 3.8.1: in the layouts nchw, nhwc and nChw16c, with
                  its own fusion of ReLU; one with a residual is not measured. Its plain nchw with ReLU is a slow reference. The
                  Java loop: float arrays, eight accumulators, as many threads as cores.
                - The other normalizations: PyTorch's are `native_layer_norm`, `native_group_norm` and their backward functions, `rms_norm`
                  and `normalize`, all of which allocate their results, and for instance normalization, as its layer does it,
                  `native_batch_norm_out` and `native_batch_norm_backward` of a view (1, N·C, H, W). Its gradients of RMS and L2
                  normalization are autograd's from several operations, and not measured. oneDNN's are its primitives of layer and
                  group normalization, with as many groups as channels for instance normalization; its backward pass of the latter
                  two is not measured, since its results are wrong in this version (its issue 3543).
                - DL4J 1.0.0-M2.1 (its layer BatchNormalization, without workspaces) and the C loops are processes of their own, which
                  take their turns in the same rounds, beside a copy of their own each: DL4J's is of Java arrays. DL4J's
                  backward pass uses up what its forward pass left, so one goes before it that is not timed. A call that takes 30 ms
                  or more is a block by itself.
                - The C loops work in double passes, the mean and then squared deviations, as clnorm does, with plain float32 sums within
                  a piece; each is the quickest of up to 84 ways to cut the tensor and to prefetch, tried beforehand.
                - Memory and start-up are measured first, with the public classes. Start-up: a new JVM opens the device, uploads
                  (32, 64, 56, 56), does a forward pass and reads y; PoCL's cache and clnorm's are empty folders, then those left by
                  the first run. Host time: 20 calls in a row, none of which the device may begin before the last; bare enqueues
                  launch a kernel that does nothing as often, on the same queue, in turns with the calls.
                """,
                measurements.rounds(),
                measurements.discarded(),
                measurements.blocks(),
                measurements.worstErrors());
    }
}
