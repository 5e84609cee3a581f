package org.clnorm.bench;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.clnorm.DataType;
import org.clnorm.backend.Backend;
import org.clnorm.bench.Tensors.Part;
import org.clnorm.optim.Adam;
import org.clnorm.optim.AdamW;
import org.clnorm.optim.RmsProp;
import org.clnorm.optim.Sgd;
import org.clnorm.optim.UpdateRule;

/**
 * A step of an optimizer.
 *
 * @param optimizer which rule
 * @param tensors the elements of each tensor that it updates
 * @param clips whether gradients are clipped by their norm
 */
public record OptimizerStep(Optimizer optimizer, List<Long> tensors, boolean clips) implements Timed {
    /** The word for the rule. */
    static final String RULE = "optimizer";

    private static final String STEP = "step";
    private static final String CLIPPED = "step+clip";

    /** Not so small that no gradient would be changed. */
    static final double MAX_NORM = 1;

    /** The tensors of those that are timed unless others are asked for: one large one, and many small ones. */
    public static final List<List<Long>> TENSORS = List.of(List.of(16L << 20), residualNetwork());

    /** Which rule, with usual numbers. */
    public enum Optimizer {
        /** Stochastic gradient descent with momentum. */
        SGD("sgd", Sgd.rate(1e-3).momentum(0.9)),
        /** Adam. */
        ADAM("adam", Adam.rate(1e-3)),
        /** Adam with a weight decay of its own. */
        ADAMW("adamw", AdamW.rate(1e-3)),
        /** RMSprop without momentum. */
        RMSPROP("rmsprop", RmsProp.rate(1e-3));

        private final String label;
        private final UpdateRule rule;

        Optimizer(String label, UpdateRule rule) {
            this.label = label;
            this.rule = rule;
        }

        @Override
        public String toString() {
            return label;
        }
    }

    /** γ and β of all 53 batch normalizations of a ResNet-50 (He et al., 2016). */
    private static List<Long> residualNetwork() {
        List<Long> channels = new ArrayList<>(List.of(64L));
        int[] blocks = {3, 4, 6, 3};
        for (int stage = 0; stage < blocks.length; stage++) {
            long width = 64L << stage;
            for (int block = 0; block < blocks[stage]; block++) {
                channels.addAll(List.of(width, width, 4 * width));
            }
            channels.add(4 * width); // of the shortcut
        }
        return channels.stream().flatMap(each -> List.of(each, each).stream()).toList();
    }

    /** All rules, without and with clipping. */
    public static List<OptimizerStep> all(List<List<Long>> sizes) {
        List<OptimizerStep> all = new ArrayList<>();
        for (List<Long> tensors : sizes) {
            for (Optimizer optimizer : Optimizer.values()) {
                all.add(new OptimizerStep(optimizer, tensors, false));
                all.add(new OptimizerStep(optimizer, tensors, true));
            }
        }
        return all;
    }

    static OptimizerStep of(Map<String, String> words) {
        return new OptimizerStep(
                Arrays.stream(Optimizer.values())
                        .filter(each -> each.label.equals(words.get(RULE)))
                        .findFirst()
                        .orElseThrow(() ->
                                new UnsupportedOperationException("it has no optimizer '" + words.get(RULE) + "'")),
                Arrays.stream(words.get("tensors").split(","))
                        .map(Long::parseLong)
                        .toList(),
                words.get("operation").equals(CLIPPED));
    }

    /** The rule with its numbers. */
    UpdateRule rule() {
        return optimizer.rule;
    }

    private String operation() {
        return clips ? CLIPPED : STEP;
    }

    private String size() {
        return tensors.size() + " of " + elements();
    }

    @Override
    public Map<String, String> words() {
        Map<String, String> words = new LinkedHashMap<>();
        words.put(RULE, optimizer.label);
        words.put("tensors", tensors.stream().map(String::valueOf).collect(Collectors.joining(",")));
        words.put("operation", operation());
        return words;
    }

    @Override
    public Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put(RULE, optimizer.label);
        fields.put("tensors", tensors);
        fields.put("type", type().toString());
        fields.put("pass", operation());
        return fields;
    }

    @Override
    public Row row() {
        return new Row(optimizer.label, size(), "-", type().toString(), operation());
    }

    @Override
    public List<String> rowWords() {
        return List.of(optimizer.label, String.valueOf(tensors.size()), operation());
    }

    @Override
    public DataType type() {
        return DataType.FLOAT32;
    }

    @Override
    public long elements() {
        return tensors.stream().mapToLong(Long::longValue).sum();
    }

    /**
     * The parameters and each moment are read and written, and gradients read once; twice with clipping, since all must be
     * read before the first parameter can change.
     */
    @Override
    public long minimalBytes() {
        int moments = (rule().firstMoment() == null ? 0 : 1) + (rule().secondMoment() == null ? 0 : 1);
        return (2 + 2 * moments + (clips ? 2 : 1)) * elements() * Float.BYTES;
    }

    @Override
    public long copied() {
        return elements();
    }

    @Override
    public long room() {
        return elements();
    }

    @Override
    public List<Part> written() {
        return List.of(Part.VALUE);
    }

    @Override
    public Tensors tensors(int sets, TimedOperands from) {
        return Tensors.of(this, sets, from);
    }

    @Override
    public Calls calls(Backend backend, Tensors operands) {
        return new UpdateCalls(backend, this, operands);
    }
}
