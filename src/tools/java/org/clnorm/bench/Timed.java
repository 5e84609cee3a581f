package org.clnorm.bench;

import java.util.List;
import java.util.Map;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.bench.Tensors.Part;

/** What is timed against a copy of its bytes: a pass of a normalization, or a step of an optimizer. */
public sealed interface Timed permits Workload, OptimizerStep {
    /**
     * What the {@link #words} of some build mean here.
     *
     * @throws UnsupportedOperationException when one has no meaning here; the message says which
     */
    static Timed of(Map<String, String> words) {
        return words.containsKey(OptimizerStep.RULE) ? OptimizerStep.of(words) : Workload.of(words);
    }

    /** Itself in words, those of the command, which other builds know too. */
    Map<String, String> words();

    /** The same for a report that programs read. */
    Map<String, Object> fields();

    /** What its row of a table begins with. */
    Row row();

    /**
     * What a row of a table begins with.
     *
     * @param name which normalization, or which rule
     * @param size the shape, or how many tensors of how many elements together
     * @param layout of elements; - where there is none
     * @param type of elements
     * @param operation the pass and what is fused with it
     */
    record Row(String name, String size, String layout, String type, String operation) {
        /** What is above. */
        public static final Row HEAD = new Row("norm", "shape", "layout", "type", "pass");

        /** In columns. */
        @Override
        public String toString() {
            return String.format("%-9s %-20s %-14s %-8s %-18s", name, size, layout, type, operation);
        }
    }

    /** The words by which a person chooses its row. */
    List<String> rowWords();

    /** How elements are stored. */
    DataType type();

    /** The elements of an input, of all tensors together. */
    long elements();

    /** The bytes that any implementation must move. */
    long minimalBytes();

    /** The float32 elements that a copy to compare with goes over. */
    long copied();

    /** The elements that a tensor has room for. */
    long room();

    /** What a call writes that depends on all that it reads. */
    List<Part> written();

    /** New tensors, in sets. */
    Tensors tensors(int sets, TimedOperands from);

    /** A backend's calls, on memory of its own or of a sibling's. */
    Calls calls(Backend backend, Tensors tensors);
}
