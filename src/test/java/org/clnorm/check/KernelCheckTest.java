package org.clnorm.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class KernelCheckTest {
    @ParameterizedTest
    @ValueSource(
            strings = {
                "batch-norm-forward",
                "batch-norm-inference",
                "batch-norm-backward",
                "layer-norm",
                "rms-norm",
                "split-batch-norm"
            })
    void examples_ofTheDocumentation_pass(String name) throws IOException {
        CheckReport report = Examples.check(name).quick(true).on(Examples.device());

        assertThat(report.passed()).as(report.toText()).isTrue();
        assertThat(report.outcomes()).hasSizeGreaterThan(50);
    }
}
