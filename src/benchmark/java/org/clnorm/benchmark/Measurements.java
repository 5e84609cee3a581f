package org.clnorm.benchmark;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/**
 * All of a run, as it is kept in a file: a line about the run, then one for each figure, then one for each timing with its
 * seconds by round.
 *
 * @param machine in words
 * @param blocks how many were measured
 * @param discarded how many of them did not count
 * @param worstErrors by peer, the largest difference of a result from double precision
 */
record Measurements(
        List<Contest.Result> results,
        List<Figure> figures,
        String machine,
        int rounds,
        int blocks,
        int discarded,
        String worstErrors) {
    private static final String FIGURE = "figure\t";

    void write(Path file) throws IOException {
        List<String> lines = new ArrayList<>();
        lines.add(rounds + ";" + blocks + ";" + discarded + ";" + worstErrors + ";" + machine);
        figures.forEach(figure -> lines.add(FIGURE + figure.toLine()));
        for (Contest.Result result : results) {
            for (Timing timing : result.timings()) {
                lines.add(String.join(
                        ";",
                        result.norm().name(),
                        result.direction().name(),
                        Arrays.stream(result.shape().toArray())
                                .mapToObj(Long::toString)
                                .collect(Collectors.joining(",")),
                        timing.task().form().name(),
                        timing.task().fusion().toString(),
                        timing.peer(),
                        Arrays.stream(timing.seconds())
                                .mapToObj(Double::toString)
                                .collect(Collectors.joining(","))));
            }
        }
        Files.write(file, lines);
    }

    static Measurements read(Path file) throws IOException {
        List<String> lines = Files.readAllLines(file);
        String[] run = lines.get(0).split(";", 5);
        Map<String, List<Timing>> byResult = new LinkedHashMap<>();
        List<Figure> figures = new ArrayList<>();
        for (String line : lines.subList(1, lines.size())) {
            if (line.startsWith(FIGURE)) {
                figures.add(Figure.ofLine(line.substring(FIGURE.length())));
                continue;
            }
            String[] parts = line.split(";");
            Task task = new Task(
                    Norm.valueOf(parts[0]),
                    Benchmark.parse(parts[2]),
                    Form.valueOf(parts[3]),
                    Direction.valueOf(parts[1]),
                    Fusion.named(parts[4]));
            double[] seconds = Arrays.stream(parts[6].split(","))
                    .mapToDouble(Double::parseDouble)
                    .toArray();
            byResult.computeIfAbsent(parts[0] + parts[1] + parts[2], key -> new ArrayList<>())
                    .add(new Timing(parts[5], task, seconds));
        }
        List<Contest.Result> results = byResult.values().stream()
                .map(timings -> {
                    Task task = timings.get(0).task();
                    return new Contest.Result(task.norm(), task.shape(), task.direction(), timings);
                })
                .toList();
        return new Measurements(
                results,
                figures,
                run[4],
                Integer.parseInt(run[0]),
                Integer.parseInt(run[1]),
                Integer.parseInt(run[2]),
                run[3]);
    }
}
