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

    /** The tensor that is frozen. */
    private static final int SKIPPED = 2;

    private final float[] parameters;
    private final float[] gradients;
    private final float[] first;
    private final float[] second;
    private final UpdateStep step;
    private final GradientChange change;

    VerifierUpdate(VerifierCase c, VerifierInputs inputs) {
        this.parameters = inputs.residual();
        // Of small and of large data, gradients whose squares are summed in units of their own, most of them.
        float size = c.data() == VerifierCase.Data.SMALL ? 0x1p-55f : c.data() == VerifierCase.Data.LARGE ? 0x1p55f : 1;
        this.gradients = times(inputs.dy(), size);
        int kind = (int) Math.floorMod(c.seed(), RULES.size() + 1L);
        UpdateRule rule = kind < RULES.size() ? RULES.get(kind) : null;
        this.step = rule == null ? UpdateStep.CLIP : rule.step(rule.rate(), 3);
        this.first = rule == null || rule.firstMoment() == null ? null : moments(false);
        this.second = rule == null || rule.secondMoment() == null ? null : moments(true);
        // The gradients' norm is about half of the root: mostly more than the most, and else not.
        double most = c.seed() / (RULES.size() + 1) % 3 == 2 ? 4 : 0.4;
        this.change = new GradientChange(0.5, 1, size * most * Math.sqrt(Math.max(1, parameters.length)));
    }

    private static float[] times(float[] values, float factor) {
        float[] times = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            times[i] = values[i] * factor;
        }
        return times;
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
        run(step, backend, keeper);
    }

    private void run(UpdateStep some, Backend backend, Keeper keeper) {
        Operand values = keeper.updated("parameter", parameters);
        Operand slopes = keeper.updated("gradient", gradients);
        Operand one = first == null ? null : keeper.updated("first_moment", first);
        Operand two = second == null ? null : keeper.updated("second_moment", second);
        try (Memory norm = backend.allocate(2)) {
            UpdateRoom room = new UpdateRoom(one, two, new Operand(norm, 0));
            BitSet skipped = new BitSet();
            skipped.set(SKIPPED);
            try (PreparedUpdate update = backend.prepareUpdate(tensors(values, slopes), room)) {
                update.run(some, change, skipped);
            }
        }
    }

    private List<Updated> tensors(Operand values, Operand slopes) {
        List<Updated> tensors = new ArrayList<>();
        int from = 0;
        for (int i = 0; from < parameters.length; i++) {
            int length = length(i, from);
            tensors.add(new Updated(at(values, from), at(slopes, from), length, isDecayed(i)));
            from += length;
        }
        return tensors;
    }

    private int length(int tensor, int from) {
        int left = parameters.length - from;
        return tensor < LENGTHS.length ? Math.min(LENGTHS[tensor], left) : left;
    }

    private static boolean isDecayed(int tensor) {
        return tensor % 3 != 1;
    }

    private static Operand at(Operand all, int from) {
        return new Operand(all.memory(), all.offset() + from);
    }

    /** What the reference makes of it. */
    Map<String, Expected> expected() {
        Map<String, float[]> given = new LinkedHashMap<>();
        Map<String, Expected> expected = new LinkedHashMap<>();
        byReference(step, given).forEach((name, values) -> {
            double[] wide = new double[values.length];
            Arrays.setAll(wide, i -> values[i]);
            double scale = Math.max(largest(values), largest(given.get(name)));
            double lost = name.equals("parameter") && second != null ? ofQuotients() / scale : 0;
            expected.put(name, new Expected(wide, scale, VerifierExpectation.BOUND + lost));
        });
        return expected;
    }

    /** @param given gets the arrays as they were before */
    private Map<String, float[]> byReference(UpdateStep some, Map<String, float[]> given) {
        Map<String, float[]> made = new LinkedHashMap<>();
        try (ReferenceBackend reference = new ReferenceBackend()) {
            Map<String, Operand> arrays = new LinkedHashMap<>();
            run(some, reference, (name, values) -> {
                Operand operand = new Operand(reference.allocate(values.length), 0);
                reference.write(operand, FloatBuffer.wrap(values));
                given.put(name, values);
                arrays.put(name, operand);
                return operand;
            });
            arrays.forEach((name, operand) -> {
                float[] values = new float[given.get(name).length];
                reference.read(operand, FloatBuffer.wrap(values));
                made.put(name, values);
            });
        }
        return made;
    }

    /**
     * The most that a parameter may be off because a step divides by a root of squares. g is the gradient and decay·p, which may
     * cancel, so that it is off by δ = BOUND·(|gradient| + decay·|p|), and that may be much of g. Where the moments of before are as small as
     * g then is, the quotient n/d is as large as ever: n is g or its share in the first moment, and moves by that share of δ; d is
     * root·√v + ε, and with v's b·g² it moves by root·b·|g|·δ/√v.
     */
    private double ofQuotients() {
        float[] clipped = byReference(UpdateStep.CLIP, new LinkedHashMap<>()).get("gradient");
        boolean isAdam = step.kind() == UpdateStep.Kind.ADAM;
        double share = isAdam ? step.firstGain() : 1;
        double largest = 0;
        int from = 0;
        for (int t = 0; from < parameters.length; t++) {
            int to = from + length(t, from);
            double decay = isDecayed(t) ? step.decay() : 0;
            for (int i = from; i < to && t != SKIPPED; i++) {
                double delta = VerifierExpectation.BOUND * (Math.abs(clipped[i]) + decay * Math.abs(parameters[i]));
                double g = clipped[i] + decay * parameters[i];
                double n = isAdam ? first[i] + share * (g - first[i]) : g;
                double root = Math.sqrt(second[i] + step.secondGain() * (g * g - second[i]));
                double d = step.root() * root + step.epsilon();
                double moved = root > 0 ? step.root() * step.secondGain() * Math.abs(g) * delta / root : 0;
                largest = Math.max(largest, step.rate() * (share * delta + Math.abs(n) * moved / d) / d);
            }
            from = to;
        }
        return largest;
    }

    private static double largest(float[] values) {
        double largest = 0;
        for (float value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }
}
