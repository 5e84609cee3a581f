package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.Device;
import org.clnorm.TestDevice;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.UpdateFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Cases of every normalization that were computed elsewhere, under every strategy and on the reference. */
class CaseVectorsTest {
    /** Of the scale, as {@code compare} has it. ONNX's are float32 and would be held to a thousandth by ONNX itself. */
    private static final double TOLERANCE = 5e-7;

    /**
     * Of sums of what came through an activation: dγ of bn-tanh is 5.3e-7 off under cpu-fused with vectors of eight, whose
     * order of summation is another than that of sixteen (3.8e-7 under cpu-split).
     */
    private static final double ACTIVATED_TOLERANCE = 6e-7;

    @ParameterizedTest
    @EnumSource
    void run_everyCase_isAsComputedElsewhere(TestDevice on) throws IOException {
        Device device = on.device();
        List<String> wrong = new ArrayList<>();
        for (CaseFile file : files()) {
            double tolerance = file.name().contains("activation") ? ACTIVATED_TOLERANCE : TOLERANCE;
            for (CaseComparison.Row row : CaseComparison.of(file, CaseRunner.run(file, device), tolerance)
                    .rows()) {
                if (!row.passed()) {
                    wrong.add(file.name() + ": " + row);
                }
            }
        }

        assertThat(wrong).isEmpty();
    }

    /** Rounded to float32 at each of a hundred steps, of values near 30. */
    @ParameterizedTest
    @EnumSource
    void run_everyOptimizer_isAsComputedElsewhere(TestDevice on) throws IOException {
        List<String> wrong = new ArrayList<>();
        int compared = 0;
        for (Path path : paths()) {
            Optional<UpdateFile> update = UpdateFile.read(path);
            if (update.isPresent()) {
                compared++;
                for (CaseComparison.Row row : CaseComparison.of(
                                update.get(), UpdateRunner.run(update.get(), on.device()), 2 * TOLERANCE)
                        .rows()) {
                    if (!row.passed()) {
                        wrong.add(path + ": " + row);
                    }
                }
            }
        }

        assertThat(wrong).isEmpty();
        assertThat(compared).isEqualTo(9);
    }

    @Test
    void files_operations_areAllButThoseWithoutAnOracle() throws IOException {
        Set<CaseFile.Op> ops = files().stream().map(CaseFile::op).collect(Collectors.toSet());

        assertThat(ops).isEqualTo(EnumSet.complementOf(EnumSet.of(CaseFile.Op.L2_NORM)));
        assertThat(files()).hasSizeGreaterThanOrEqualTo(75);
    }

    private static List<CaseFile> files() throws IOException {
        List<CaseFile> files = new ArrayList<>();
        for (Path path : paths()) {
            if (UpdateFile.read(path).isEmpty()) {
                files.add(CaseFile.read(path));
            }
        }
        return files;
    }

    private static List<Path> paths() throws IOException {
        try (Stream<Path> paths = Files.walk(folder())) {
            return paths.filter(path -> path.toString().endsWith(".npz"))
                    .sorted()
                    .toList();
        }
    }

    private static Path folder() {
        try {
            return Path.of(CaseVectorsTest.class.getResource("/vectors").toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
