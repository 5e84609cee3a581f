package org.clnorm.opencl;

import java.nio.file.Path;
import java.util.List;
import java.util.function.BinaryOperator;
import org.clnorm.plan.Strategy;

/**
 * The device that tests run on with other sources of kernels than the library's, so that a test can ask who notices.
 * Programs that an edit does not touch are compiled once for all edits.
 */
public final class EditedKernels implements AutoCloseable {
    private final OpenClBackend open = DefaultDevice.open(Strategy.AUTO);
    private final BinaryCache cache;

    /** @param folder an empty one of the test's own, for programs */
    public EditedKernels(Path folder) {
        this.cache = new BinaryCache(folder, List.of());
    }

    /**
     * A backend to be closed before this.
     *
     * @param edit from a file's name and its text to the text that takes its place
     */
    public OpenClBackend under(String strategy, BinaryOperator<String> edit) {
        return open.under(Strategy.named(strategy, open.facts()), cache, edit);
    }

    @Override
    public void close() {
        open.close();
    }
}
