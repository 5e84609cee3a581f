package org.clnorm.verify;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BinaryOperator;
import org.clnorm.DataType;
import org.clnorm.opencl.EditedKernels;
import org.clnorm.opencl.OpenClBackend;

/** Runs trials with edited kernels in this process. */
final class KernelTrials implements AutoCloseable {
    private record Open(OpenClBackend backend, VerifierRun run) {}

    private final EditedKernels kernels;
    private final BinaryOperator<String> edit;
    private final Map<String, Open> open = new HashMap<>();
    private final Map<String, List<VerifierCase>> cases = new HashMap<>();

    /** @param programs a folder for what is compiled */
    KernelTrials(Path programs, BinaryOperator<String> edit) {
        this.kernels = new EditedKernels(programs);
        this.edit = edit;
    }

    /** All that the device has, the choice by shape first. */
    List<String> strategies() {
        return kernels.strategies();
    }

    VerifierCase caseOf(KernelTrial trial) {
        DataType type = trial.type();
        return cases.computeIfAbsent(
                        trial.strategy() + type, key -> KernelTrial.extent(type).cases(trial.strategy()))
                .get(trial.index());
    }

    CaseResult run(KernelTrial trial) {
        Open under = open.computeIfAbsent(trial.strategy(), strategy -> {
            OpenClBackend backend = kernels.under(strategy, edit);
            return new Open(backend, new VerifierRun(strategy, backend));
        });
        return under.run.verify(trial.index(), caseOf(trial));
    }

    @Override
    public void close() {
        open.values().forEach(one -> one.backend.close());
        kernels.close();
    }
}
