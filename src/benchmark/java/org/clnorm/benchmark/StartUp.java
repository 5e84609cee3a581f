package org.clnorm.benchmark;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.opencl.OpenCl;

/** The time from the start of a JVM to the first result, with caches of compiled kernels that are empty, or full. */
final class StartUp {
    private static final int COLD_RUNS = 3;
    private static final int WARM_RUNS = 7;

    private final OpenCl.Candidate candidate;

    StartUp(OpenCl.Candidate candidate) {
        this.candidate = candidate;
    }

    List<Figure> figures() {
        try {
            double[] cold = new double[COLD_RUNS];
            double[] warm = new double[WARM_RUNS];
            for (int run = 0; run < COLD_RUNS; run++) {
                Path caches = Files.createTempDirectory("clnorm-caches");
                try {
                    cold[run] = seconds(caches);
                    for (int next = 0; run == 0 && next < WARM_RUNS; next++) {
                        warm[next] = seconds(caches);
                    }
                } finally {
                    delete(caches);
                }
            }
            return List.of(
                    figure("first result, from the start of the JVM, on a cold kernel cache", cold, 2),
                    figure("first result, from the start of the JVM, on a warm kernel cache", warm, 0.5));
        } catch (IOException e) {
            throw new UncheckedIOException("The start of a program could not be measured", e);
        }
    }

    private static Figure figure(String what, double[] seconds, double most) {
        double median = Timing.median(seconds);
        String words = String.format(
                Locale.ROOT,
                "%.2f s (%s)",
                median,
                Arrays.stream(seconds)
                        .sorted()
                        .mapToObj(s -> String.format(Locale.ROOT, "%.2f", s))
                        .collect(Collectors.joining(", ")));
        return new Figure(what, words, most + " s", median <= most);
    }

    /** Of a program that has the library and what it needs on its class path, no more. */
    private double seconds(Path caches) throws IOException {
        String classPath = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> new File(entry).isDirectory()
                        || Stream.of("jocl-", "slf4j-api-").anyMatch(new File(entry).getName()::startsWith))
                .collect(Collectors.joining(File.pathSeparator));
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                classPath,
                FirstResult.class.getName(),
                candidate.index()));
        Path errors = caches.resolve("errors");
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(errors.toFile());
        builder.environment()
                .putAll(Map.of(
                        "POCL_CACHE_DIR", caches.resolve("pocl").toString(),
                        "CLNORM_CACHE_DIR", caches.resolve("clnorm").toString(),
                        "XDG_CACHE_HOME", caches.toString()));
        Files.createDirectories(caches.resolve("pocl"));
        long start = System.nanoTime();
        Process process = builder.start();
        try (BufferedReader words =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            String said = words.readLine();
            double seconds = (System.nanoTime() - start) * 1e-9;
            process.waitFor();
            if (!"read".equals(said) || process.exitValue() != 0) {
                throw new IllegalStateException("A program that normalizes one tensor said '" + said + "' and "
                        + Files.readString(errors).strip());
            }
            return seconds;
        } catch (InterruptedException e) {
            throw new IllegalStateException("The benchmark was interrupted", e);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
