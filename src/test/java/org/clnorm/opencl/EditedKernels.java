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
     * @param strategy its name, or that of the choice by shape
     * @param edit from a file's name and its text to the text that takes its place
     */
    public OpenClBackend under(String strategy, BinaryOperator<String> edit) {
        return open.under(strategy.equals(Strategy.AUTO) ? null : Strategy.named(strategy, open.facts()), cache, edit);
    }

    /** All strategies of the device, the choice by shape among them. */
    public List<String> strategies() {
        return DefaultDevice.strategies();
    }

    @Override
    public void close() {
        open.close();
    }
}
