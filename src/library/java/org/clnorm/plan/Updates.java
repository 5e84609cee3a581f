package org.clnorm.plan;

import static org.clnorm.plan.Argument.arguments;
import static org.clnorm.plan.Argument.named;
import static org.clnorm.plan.Geometry.ceil;
import static org.clnorm.plan.Geometry.roundUp;

import java.util.ArrayList;
import java.util.List;

/**
 * The launches of an optimizer's step: tensors by sixteen, each in slices, and a fold of the norm's parts. Arguments that
 * are numbers of a step, and those that say which tensors are left out, are set anew for each and stand here with 0.
 *
 * @param batches the tensors of each launch
 * @param fold of what the slices found
 * @param partials floats that the launches of a norm leave to it
 */
public record Updates(List<Batch> batches, Launch fold, long partials) {
    /** Tensors that a launch has arguments for; MEMBERS in optimizer.cl. */
    public static final int MOST = 16;

    /** Numbers of a slice for the norm. */
    private static final int SUMS = 3;

    /** Slices that a fold should find at most, where tensors are large. */
    private static final long MOST_SLICES = 4096;

    /** Elements that are worth a work-group of a CPU, and for each work-item of a GPU. */
    private static final long LEAST_OF_CPU = 2048;

    private static final long LEAST_OF_ITEM = 4;

    /**
     * Some tensors.
     *
     * @param first the number of the first of them
     * @param count how many
     * @param update of the tensors
     * @param norm of their gradients
     */
    public record Batch(int first, int count, Launch update, Launch norm) {}

    /** @param elements of each tensor */
    public static Updates of(List<Long> elements, Strategy strategy, DeviceFacts facts) {
        Strategy by = strategy.items() == 1 ? strategy : strategy.forSingles();
        long total = elements.stream().mapToLong(Long::longValue).sum();
        long least = by.items() == 1 ? LEAST_OF_CPU : by.items() * LEAST_OF_ITEM;
        long perSlice = Math.max(least, roundUp(ceil(total, MOST_SLICES), least));
        int all = Math.toIntExact(
                elements.stream().mapToLong(each -> ceil(each, perSlice)).sum());
        List<Batch> batches = new ArrayList<>();
        long before = 0;
        long slices = 0;
        for (int first = 0; first < elements.size(); first += MOST) {
            List<Long> some = elements.subList(first, Math.min(elements.size(), first + MOST));
            long own = some.stream().mapToLong(each -> ceil(each, perSlice)).sum();
            batches.add(new Batch(
                    first,
                    some.size(),
                    update(some, perSlice, own, before, by),
                    norm(some, perSlice, own, Math.toIntExact(slices), all, by)));
            before += some.stream().mapToLong(Long::longValue).sum();
            slices += own;
        }
        Launch fold = new Launch(
                "fold_gradient_norm",
                by,
                "",
                1,
                arguments(Place.PARTIALS, named("slices", all), named("max_norm", 0f), named("norm", Place.ROOM)));
        return new Updates(List.copyOf(batches), fold, (long) SUMS * all);
    }

    private static Launch update(List<Long> elements, long perSlice, long slices, long before, Strategy by) {
        return over(
                elements,
                perSlice,
                slices,
                by,
                "update_parameters",
                arguments(
                        named("norm", Place.ROOM),
                        named("kind", 0),
                        named("decayed", 0),
                        named("rate", 0f),
                        named("decay", 0f),
                        named("shrink", 0f),
                        named("momentum", 0f),
                        named("first_gain", 0f),
                        named("second_gain", 0f),
                        named("epsilon", 0f),
                        named("root", 0f),
                        named("nesterov", 0),
                        named("first", Place.MEMBER),
                        named("second", Place.MEMBER),
                        named("first_element", before)));
    }

    private static Launch norm(List<Long> elements, long perSlice, long slices, int before, int all, Strategy by) {
        return over(
                elements,
                perSlice,
                slices,
                by,
                "gradient_norm",
                arguments(Place.PARTIALS, named("first_slice", before), named("slices", all)));
    }

    /** A launch over the tensors' slices, with what both kernels are told of the gradients. */
    private static Launch over(
            List<Long> elements, long perSlice, long slices, Strategy by, String kernel, List<Argument> rest) {
        return new Launch(
                kernel,
                by,
                "",
                Math.max(1, slices),
                arguments(
                        members(elements),
                        named("per_slice", perSlice),
                        named("skipped", 0),
                        named("scale", 0f),
                        named("most", 0f),
                        rest));
    }

    private static List<Argument> members(List<Long> elements) {
        List<Argument> members = new ArrayList<>();
        for (int i = 0; i < MOST; i++) {
            members.add(named("value_" + i, Place.MEMBER));
            members.add(named("gradient_" + i, Place.MEMBER));
            members.add(named("length_" + i, i < elements.size() ? elements.get(i) : 0L));
        }
        return members;
    }
}
