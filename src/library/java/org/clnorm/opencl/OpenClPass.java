package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;
import org.clnorm.plan.PassPlan;
import org.clnorm.plan.ReduceFoldApply.Steps;

/**
 * A pass with kernels of its own, whose arguments stay set from one call to the next. It has them for operands that are
 * aligned and for others, each from the first call that needs them. Used under the lock of its queue.
 */
final class OpenClPass implements PreparedPass, HasKernels {
    private final PassQueue queue;
    private final PassPlan plan;
    private Launches aligned;
    private Launches unaligned;
    private boolean isClosed;

    OpenClPass(PassQueue queue, PassPlan plan) {
        this.queue = queue;
        this.plan = plan;
    }

    @Override
    public void run(Operands operands, Coefficients coefficients) {
        queue.run(this, operands, (OpenClCoefficients) coefficients);
    }

    @Override
    public void close() {
        queue.close(this);
    }

    PassPlan plan() {
        return plan;
    }

    /**
     * The launches over such operands.
     *
     * @param kernels of the queue
     */
    Launches launches(Operands operands, Kernels kernels) {
        if (isClosed) {
            throw new IllegalStateException("The prepared pass is closed");
        }
        if (plan.isAligned(operands)) {
            return aligned == null ? aligned = new Launches(plan, true, kernels) : aligned;
        }
        return unaligned == null ? unaligned = new Launches(plan, false, kernels) : unaligned;
    }

    /** How many sets of kernels there are. */
    int variants() {
        return (aligned == null ? 0 : 1) + (unaligned == null ? 0 : 1);
    }

    @Override
    public void release() {
        isClosed = true;
        if (aligned != null) {
            aligned.release();
            aligned = null;
        }
        if (unaligned != null) {
            unaligned.release();
            unaligned = null;
        }
    }

    /** The kernels of a pass over operands that are aligned, or not. */
    static final class Launches {
        /** Floats that the launches leave to each other. */
        final long partials;

        final List<Kernel> kernels = new ArrayList<>();
        final List<Kernel> kernelsAfterLook = new ArrayList<>();

        private Launches(PassPlan plan, boolean isAligned, Kernels from) {
            Steps steps = plan.steps(isAligned);
            Steps afterLook = plan.stepsAfterLook(isAligned);
            this.partials = Math.max(steps.partials(), afterLook.partials());
            try {
                steps.launches().forEach(launch -> kernels.add(from.prepare(launch)));
                afterLook.launches().forEach(launch -> kernelsAfterLook.add(from.prepare(launch)));
            } catch (RuntimeException e) {
                release();
                throw e;
            }
        }

        private void release() {
            kernels.forEach(Kernel::release);
            kernelsAfterLook.forEach(Kernel::release);
        }
    }
}
