package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.Device;
import org.clnorm.TestDevice;
import org.clnorm.cases.CaseFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Cases of every normalization that were computed elsewhere, under every strategy and on the reference. */
class CaseVectorsTest {
    /** Of the scale, as {@code compare} has it. ONNX's are float32 and would be held to a thousandth by ONNX itself. */
    private static final double TOLERANCE = 5e-7;

    @ParameterizedTest
    @EnumSource
    void run_everyCase_isAsComputedElsewhere(TestDevice on) throws IOException {
        Device device = on.device();
        List<String> wrong = new ArrayList<>();
        for (CaseFile file : files()) {
            for (CaseComparison.Row row : CaseComparison.of(file, CaseRunner.run(file, device), TOLERANCE)
                    .rows()) {
                if (!row.passed()) {
                    wrong.add(file.name() + ": " + row);
                }
            }
        }

        assertThat(wrong).isEmpty();
    }

    @Test
    void files_operations_areAllButThoseWithoutAnOracle() throws IOException {
        Set<CaseFile.Op> ops = files().stream().map(CaseFile::op).collect(Collectors.toSet());

        assertThat(ops).isEqualTo(EnumSet.complementOf(EnumSet.of(CaseFile.Op.L2_NORM)));
        assertThat(files()).hasSizeGreaterThanOrEqualTo(49);
    }

    private static List<CaseFile> files() throws IOException {
        List<CaseFile> files = new ArrayList<>();
        try (Stream<Path> paths = Files.walk(folder())) {
            for (Path path : paths.filter(path -> path.toString().endsWith(".npz"))
                    .sorted()
                    .toList()) {
                files.add(CaseFile.read(path));
            }
        }
        return files;
    }

    private static Path folder() {
        try {
            return Path.of(CaseVectorsTest.class.getResource("/vectors").toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
