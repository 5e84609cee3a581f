package org.clnorm.verify;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.optim.Adam;
import org.clnorm.optim.AdamW;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.RmsProp;
import org.clnorm.optim.Sgd;
import org.clnorm.optim.UpdateRule;
import org.clnorm.optim.UpdateStep;
import org.clnorm.reference.ReferenceBackend;
import org.clnorm.verify.VerifierExpectation.Expected;

/**
 * An optimizer's step beside a case: the residual is the parameters and dy their gradients, cut into tensors of one
 * element, of some, and of all the others, so that some begin at odd places; one of them is frozen.
 */
final class VerifierUpdate {
    private static final List<UpdateRule> RULES = List.of(
            Sgd.rate(0.1),
            Sgd.rate(0.1).momentum(0.9).nesterov(true).weightDecay(0.01),
            Adam.rate(0.1).weightDecay(0.1),
            AdamW.rate(0.1).weightDecay(0.1),
            RmsProp.rate(0.1).momentum(0.5));

    /** As the first tensors have; the last one takes what is left. */
    private static final int[] LENGTHS = {1, 13, 16, 207, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 64, 1000};

    private final float[] parameters;
    private final float[] gradients;
    private final float[] first;
    private final float[] second;
    private final UpdateStep step;
    private final GradientChange change;

    VerifierUpdate(VerifierCase c, VerifierInputs inputs) {
        this.parameters = inputs.residual();
        this.gradients = inputs.dy();
        int kind = (int) Math.floorMod(c.seed(), RULES.size() + 1L);
        UpdateRule rule = kind < RULES.size() ? RULES.get(kind) : null;
        this.step = rule == null ? UpdateStep.CLIP : rule.step(rule.rate(), 3);
        this.first = rule == null || rule.firstMoment() == null ? null : moments(false);
        this.second = rule == null || rule.secondMoment() == null ? null : moments(true);
        // The gradients' norm is about half of the root: mostly more than the most, and else not.
        double most = c.seed() / (RULES.size() + 1) % 3 == 2 ? 4 : 0.4;
        this.change = new GradientChange(0.5, 1, most * Math.sqrt(Math.max(1, parameters.length)));
    }

    private float[] moments(boolean positive) {
        float[] moments = new float[parameters.length];
        for (int i = 0; i < moments.length; i++) {
            float some = gradients[moments.length - 1 - i];
            moments[i] = positive ? some * some : some;
        }
        return moments;
    }

    /** How the arrays of the step are kept, by what they are called. */
    interface Keeper {
        Operand updated(String name, float[] values);
    }

    /** Makes the step on a backend, on arrays that a keeper makes there. */
    void run(Backend backend, Keeper keeper) {
        Operand values = keeper.updated("parameter", parameters);
        Operand slopes = keeper.updated("gradient", gradients);
        Operand one = first == null ? null : keeper.updated("first_moment", first);
        Operand two = second == null ? null : keeper.updated("second_moment", second);
        try (Memory norm = backend.allocate(2)) {
            UpdateRoom room = new UpdateRoom(one, two, new Operand(norm, 0));
            BitSet skipped = new BitSet();
            skipped.set(2);
            try (PreparedUpdate update = backend.prepareUpdate(tensors(values, slopes), room)) {
                update.run(step, change, skipped);
            }
        }
    }

    private List<Updated> tensors(Operand values, Operand slopes) {
        List<Updated> tensors = new ArrayList<>();
        int from = 0;
        for (int i = 0; from < parameters.length; i++) {
            int left = parameters.length - from;
            int length = i < LENGTHS.length ? Math.min(LENGTHS[i], left) : left;
            tensors.add(new Updated(at(values, from), at(slopes, from), length, i % 3 != 1));
            from += length;
        }
        return tensors;
    }

    private static Operand at(Operand all, int from) {
        return new Operand(all.memory(), all.offset() + from);
    }

    /** What the reference makes of it. */
    Map<String, Expected> expected() {
        Map<String, float[]> given = new LinkedHashMap<>();
        Map<String, Operand> arrays = new LinkedHashMap<>();
        Map<String, Expected> expected = new LinkedHashMap<>();
        try (ReferenceBackend reference = new ReferenceBackend()) {
            run(reference, (name, values) -> {
                Operand operand = new Operand(reference.allocate(values.length), 0);
                reference.write(operand, FloatBuffer.wrap(values));
                given.put(name, values);
                arrays.put(name, operand);
                return operand;
            });
            arrays.forEach((name, operand) -> {
                float[] values = new float[given.get(name).length];
                reference.read(operand, FloatBuffer.wrap(values));
                double[] wide = new double[values.length];
                Arrays.setAll(wide, i -> values[i]);
                double scale = Math.max(largest(values), largest(given.get(name)));
                expected.put(name, new Expected(wide, scale, VerifierExpectation.BOUND));
            });
        }
        return expected;
    }

    private static double largest(float[] values) {
        double largest = 0;
        for (float value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }
}
