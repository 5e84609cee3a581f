package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.reference.ReferenceBackend;
import org.junit.jupiter.api.Test;

/** That the tests ran kernels: what else they say is worth nothing where they did not. The test script reads the file. */
class KernelsRanTest {
    private static final Path FILE = Path.of("target", "kernels-run.txt");
    private static final Shape SHAPE = Shape.of(5, 13, 7, 3);

    @Test
    void kernels_onTheDefaultDevice_runAndAreRight() throws IOException {
        long launched = 0;
        OpenCl.Candidate device = DefaultDevice.candidate();
        for (Layout layout : Layout.values()) {
            try (OpenClBackend backend = (OpenClBackend) device.open(null);
                    TrainingStep step = new TrainingStep(backend, SHAPE, layout, 1);
                    ReferenceBackend reference = new ReferenceBackend();
                    TrainingStep expected = new TrainingStep(reference, SHAPE, layout, 1)) {
                step.enqueue();
                expected.enqueue();

                assertClose(step.read(), expected.read());
                Map<String, Long> launches = backend.launches();
                assertThat(launches).as("kernels launched").isNotEmpty();
                launched +=
                        launches.values().stream().mapToLong(Long::longValue).sum();
            }
        }
        Files.createDirectories(FILE.getParent());
        Files.writeString(
                FILE, device.facts().platform() + "\t" + device.facts().name() + "\t" + launched + "\n");
    }

    private static void assertClose(List<float[]> got, List<float[]> expected) {
        for (int array = 0; array < expected.size(); array++) {
            float largest = 0;
            for (float value : expected.get(array)) {
                largest = Math.max(largest, Math.abs(value));
            }
            assertThat(largest)
                    .as("array %d is of some use for a comparison", array)
                    .isPositive();
            for (int i = 0; i < expected.get(array).length; i++) {
                float difference = Math.abs(got.get(array)[i] - expected.get(array)[i]);
                assertThat(difference <= 1e-6f * largest)
                        .as("array %d, element %d: %s, %s", array, i, got.get(array)[i], expected.get(array)[i])
                        .isTrue();
            }
        }
    }
}
