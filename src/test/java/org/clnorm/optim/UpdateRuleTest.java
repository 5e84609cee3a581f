package org.clnorm.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class UpdateRuleTest {
    @Test
    void kinds_inTheKernels_haveTheSameNumbers() throws Exception {
        String source = Files.readString(Path.of("opencl-kernels/optimizer.cl"));
        for (UpdateStep.Kind kind : UpdateStep.Kind.values()) {
            assertThat(source)
                    .as("a kind that the host calls %d", kind.ordinal())
                    .containsPattern("#define " + kind + " " + kind.ordinal() + "\n");
        }
    }

    @Test
    void step_ofAdam_correctsTheBiasOfTheZeroStart() {
        UpdateStep first = Adam.rate(0.1).step(0.1, 1);
        assertThat(first.rate()).isCloseTo(0.1 / 0.1, within(1e-12));
        assertThat(first.root()).isCloseTo(1 / Math.sqrt(0.001), within(1e-9));
        assertThat(Adam.rate(0.1).step(0.1, 100_000).rate()).isCloseTo(0.1, within(1e-12));
    }

    @Test
    void step_ofAdamW_takesDecayFromTheParameterAndTheRateOfTheStep() {
        UpdateStep step = AdamW.rate(1).weightDecay(0.1).step(0.5, 7);
        assertThat(step.decay()).isZero();
        assertThat(step.shrink()).isEqualTo(0.05);
    }

    @Test
    void numbers_outOfRange_areRefusedByName() {
        assertThatThrownBy(() -> Sgd.rate(-1)).hasMessageContainingAll("rate", "-1.0");
        assertThatThrownBy(() -> Sgd.rate(Double.NaN)).hasMessageContaining("NaN");
        assertThatThrownBy(() -> Sgd.rate(1).momentum(1)).hasMessageContainingAll("momentum", "1.0");
        assertThatThrownBy(() -> Sgd.rate(1).nesterov(true)).hasMessageContaining("takes a momentum");
        assertThatThrownBy(() -> Adam.rate(1).betas(0.9, 1)).hasMessageContaining("beta2");
        assertThatThrownBy(() -> AdamW.rate(1).epsilon(-1e-8)).hasMessageContaining("epsilon");
        assertThatThrownBy(() -> RmsProp.rate(1).alpha(2)).hasMessageContaining("alpha");
        assertThatThrownBy(() -> new GradientChange(0, 1, 1)).hasMessageContaining("scale");
        assertThatThrownBy(() -> new GradientChange(1, 0, 1)).hasMessageContaining("magnitude");
        assertThatThrownBy(() -> new GradientChange(1, 1, Double.NaN)).hasMessageContaining("norm");
    }
}
