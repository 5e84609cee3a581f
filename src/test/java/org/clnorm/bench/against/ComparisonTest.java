package org.clnorm.bench.against;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Method;
import java.net.URISyntaxException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Tensors.Part;
import org.clnorm.bench.Timed;
import org.clnorm.bench.Workload;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.clnorm.opencl.OpenCl;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Builds that are made here from this one. A slowed kernel takes many times as long, and an interval leaves out the
 * farthest rounds, so that a busy machine makes no difference.
 */
final class ComparisonTest {
    private static final int ROUNDS = 24;
    private static final String STRATEGY = "cpu-split";
    private static final String SIGNATURE = "(void moments_segmented\\([^{]*)\\) \\{\\n";
    private static final String SLOWED = "$1) {\n    for (volatile int wait = 0; wait < 100000; wait++) {}\n";
    private static final Workload WORKLOAD =
            new Workload(Direction.FORWARD, Shape.of(8, 16, 16, 16), Layout.CHANNELS_FIRST, Fusion.NONE);

    @TempDir
    private Path folder;

    /** A copy of the kernels with moments.cl edited. */
    private Path kernels(String pattern, String replacement) throws IOException {
        Path kernels = Files.createDirectory(folder.resolve("kernels"));
        try (Stream<Path> files = Files.list(Path.of("opencl-kernels"))) {
            for (Path file : files.toList()) {
                Files.copy(file, kernels.resolve(file.getFileName()));
            }
        }
        Path moments = kernels.resolve("moments.cl");
        String text = Files.readString(moments);
        String edited = text.replaceFirst(pattern, replacement);
        assertThat(edited).as("the kernel to edit is there").isNotEqualTo(text);
        Files.writeString(moments, edited);
        return kernels;
    }

    /** A jar of this build's classes with other kernels, without those in whose names there is a word. */
    private Path jar(Path kernels, String without) throws IOException, URISyntaxException {
        Path jar = folder.resolve("other.jar");
        try (OutputStream out = Files.newOutputStream(jar);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Class<?> one : List.of(Device.class, Contender.class)) { // of the library, and of the tools
                Path from = Path.of(
                        one.getProtectionDomain().getCodeSource().getLocation().toURI());
                if (Files.isDirectory(from)) {
                    copy(from, zip, kernels, without);
                } else {
                    try (FileSystem files = FileSystems.newFileSystem(from)) {
                        copy(files.getPath("/"), zip, kernels, without);
                    }
                }
            }
        }
        return jar;
    }

    private static void copy(Path root, ZipOutputStream zip, Path kernels, String without) throws IOException {
        try (Stream<Path> files = Files.walk(root.resolve("org/clnorm"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String name = root.relativize(file).toString().replace('\\', '/');
                if (!name.contains(without) && !name.contains("/example/")) {
                    zip.putNextEntry(new ZipEntry(name));
                    Path content = name.contains("/kernels/")
                            ? kernels.resolve(file.getFileName().toString())
                            : file;
                    Files.copy(content, zip);
                }
            }
        }
    }

    private static ComparedRow compare(Path other) throws IOException {
        return compare(other, WORKLOAD);
    }

    private static ComparedRow compare(Path other, Timed workload) throws IOException {
        OpenCl.Candidate device = OpenCl.require(OpenCl.devices(), Device.variable(Device.SELECTOR_VARIABLE));
        List<ComparedRow> rows = new Comparison(device, STRATEGY, Build.at(other), ROUNDS)
                .run(List.of(workload), new Comparison.Progress() {
                    @Override
                    public void starting(Timed workload) {}

                    @Override
                    public void compared(ComparedRow row) {}
                });
        assertThat(rows).hasSize(1);
        return rows.get(0);
    }

    @Test
    void compare_slowedKernels_findsThisBuildQuicker() throws IOException {
        ComparedRow row = compare(kernels(SIGNATURE, SLOWED));

        assertThat(row.verdict()).as(row.toString()).isEqualTo(Verdict.QUICKER);
        assertThat(row.ratio().median()).isGreaterThan(3);
    }

    @Test
    void compare_sameKernels_findsNoDifference() throws IOException {
        ComparedRow row = compare(Path.of("opencl-kernels"));

        assertThat(row.verdict()).as(row.toString()).isEqualTo(Verdict.SAME);
        assertThat(row.milliseconds()).isPositive();
    }

    /** Both are to find the running statistics that they go by as they were at first, or their results differ. */
    @Test
    void compare_renormalization_startsFromTheSameRunningStatistics() throws IOException {
        Workload renorm = new Workload(
                Norm.RENORM, Direction.BACKWARD, Shape.of(8, 16, 16, 16), Layout.CHANNELS_LAST, Fusion.NONE);

        assertThat(compare(Path.of("opencl-kernels"), renorm).milliseconds()).isPositive();
    }

    @Test
    void compare_jar_runsItsOwnClassesAndKernels() throws Exception {
        ComparedRow row = compare(jar(kernels(SIGNATURE, SLOWED), "/tune/"));

        assertThat(row.ratio().median()).as("%s", row).isGreaterThan(3);
    }

    @Test
    void compare_kernelsThatDoNotBuild_saysWhichAndWhy() throws IOException {
        Path kernels = kernels(SIGNATURE, "$1) {\n    no_such_function();\n");

        assertThatThrownBy(() -> compare(kernels))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll(kernels.toString(), "moments.cl does not build", "no_such_function");
    }

    @Test
    void compare_kernelsWithOneMoreArgument_saysWhichKernel() throws IOException {
        Path kernels = kernels(SIGNATURE, "$1, int another) {\n");

        assertThatThrownBy(() -> compare(kernels))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll(kernels.toString(), "kernel moments_segmented");
    }

    @Test
    void at_jarFromBeforeThereWereContenders_saysThatItIsTooOld() throws Exception {
        Path jar = jar(Path.of("opencl-kernels"), "/bench/");

        assertThatThrownBy(() -> Build.at(jar))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll(jar.toString(), "too old to be compared");
    }

    @Test
    void at_jarOfSomethingElse_saysWhatItLacks() throws IOException {
        Path jar = folder.resolve("some.jar");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(jar))) {
            zip.putNextEntry(new ZipEntry("org/clnorm/Device.class"));
        }

        assertThatThrownBy(() -> Build.at(jar))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("no jar of this library");
    }

    @Test
    void results_ofOtherArguments_areDifferentWhereThoseOfAnotherRoundingAreNot() {
        float[] expected = new float[2000];
        for (int i = 0; i < expected.length; i++) {
            expected[i] = (i - 1000) * 1e-3f;
        }
        float[] rounded = expected.clone();
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] *= 1.0001f;
        }
        rounded[7] = 0; // an activation that flipped
        float[] unwritten = expected.clone();
        Arrays.fill(unwritten, 0, 3, Float.NaN);

        assertThat(results(expected).differenceTo(results(rounded))).isEmpty();
        assertThat(results(expected).differenceTo(results(unwritten)))
                .hasValue("3 of 2000 elements of y by more than 1e-03 of the largest");
    }

    private static Results results(float[] y) {
        return new Results(DataType.FLOAT32, Map.of(Part.Y, List.of(y)));
    }

    /** Or a build from before a change could not be compared with one from after it. */
    @Test
    void contender_betweenBuilds_speaksOfTheJdksClassesOnly() {
        for (Class<?> shared : List.of(Contender.class, Contender.Work.class)) {
            for (Method method : shared.getMethods()) {
                assertThat(Stream.concat(Stream.of(method.getReturnType()), Arrays.stream(method.getParameterTypes())))
                        .as("what %s takes and gives", method)
                        .allMatch(type -> type.isPrimitive()
                                || type.getName().startsWith("java.")
                                || type == Contender.Work.class);
            }
        }
        assertThat(Arrays.stream(Contender.class.getDeclaredMethods()).map(Method::getName))
                .as("methods that builds of other commits have; another one needs a default")
                .contains("prepare", "close");
        assertThat(Contender.IMPLEMENTATION).isEqualTo("org.clnorm.bench.against.BackendContender");
        assertThat(BackendContender.class.getName()).isEqualTo(Contender.IMPLEMENTATION);
    }
}
