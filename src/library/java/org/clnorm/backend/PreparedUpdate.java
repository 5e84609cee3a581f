package org.clnorm.backend;

import java.util.BitSet;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateStep;

/** Tensors that a backend is ready to update again and again. */
public interface PreparedUpdate extends AutoCloseable {
    /**
     * Makes a step. May return before the work is done; see {@link Backend}.
     *
     * @param change what is done to the gradients first; the norm is taken where there is room for it
     * @param skipped the tensors that are left as they are, whose gradients do not count for the norm either
     * @throws IllegalStateException when some of the memory is closed; nothing is changed then
     */
    void run(UpdateStep step, GradientChange change, BitSet skipped);

    /** Frees what was made ready; what was asked for is still done. Closing twice is harmless. */
    @Override
    void close();
}
