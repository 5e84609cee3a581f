package org.clnorm.mpi;

import java.nio.FloatBuffer;
import java.util.List;
import java.util.stream.Collectors;
import org.clnorm.Parameter;
import org.clnorm.Tensor;
import org.clnorm.mpi.DataParallel.Call;
import org.clnorm.mpi.DataParallel.Gathered;

/**
 * Adds up the gradients of parameters over all ranks, so that every rank's optimizer does the same step. Each element is summed in
 * double precision in the order of ranks and rounded once, so that all ranks have the same bits.
 *
 * <p>All parameters go in one message of 8 bytes an element, or in several of {@value #CHUNK} elements. It costs a copy of all
 * gradients to the host and back, for which the device is waited for, and every rank gets the numbers of all: 8·(size − 1) bytes
 * an element. That is as good as any for two ranks, and for many as good as any while the message is small; for large networks on
 * many ranks, an all-reduce in parts sends less.
 *
 * <p>Parameters that are frozen are left out; the same ones must be frozen on all ranks.
 */
public final class GradientSum {
    /** How many elements a message has at most. */
    static final int CHUNK = 1 << 17;

    /**
     * Where a gradient is.
     *
     * @param parameter whose it is; null for a tensor of a program's own
     */
    record Source(Tensor gradient, Parameter parameter) {
        static Source of(Parameter parameter) {
            return new Source(parameter.gradient(), parameter);
        }

        static Source of(Tensor gradient) {
            return new Source(gradient, null);
        }

        private boolean isFrozen() {
            return parameter != null && parameter.isFrozen();
        }

        private String words() {
            return parameter == null ? gradient.shape() + " " + gradient.type() : parameter.toString();
        }
    }

    private final DataParallel ranks;
    private final int member;
    private final List<Source> sources;
    private Call call;
    /** What the call was made of, once all ranks have agreed on it. */
    private List<Tensor> agreed;

    private int agreedDivisor;

    GradientSum(DataParallel ranks, int member, List<Source> sources) {
        this.ranks = ranks;
        this.member = member;
        this.sources = sources;
    }

    /**
     * Sets the gradients to their sums over the ranks, as where the loss is the mean over the whole batch and each rank's
     * gradients are of its part of that mean. All ranks must make this call.
     *
     * @throws GroupException when ranks are not in the same call with the same parameters, or one is missing
     * @throws IllegalStateException when a layer or the group is closed
     */
    public void sum() {
        apply(1);
    }

    /**
     * Sets the gradients to their averages over the ranks, as where each rank's loss is the mean over its own part and all parts
     * are of one size. All ranks must make this call.
     *
     * @throws GroupException when ranks are not in the same call with the same parameters, or one is missing
     * @throws IllegalStateException when a layer or the group is closed
     */
    public void average() {
        apply(ranks.group().size());
    }

    private void apply(int divisor) {
        List<Tensor> gradients = sources.stream()
                .filter(each -> !each.isFrozen())
                .map(Source::gradient)
                .toList();
        boolean isAgreed = gradients.equals(agreed) && divisor == agreedDivisor;
        if (!isAgreed) {
            call = new Call(member, 0, this + (divisor == 1 ? ", sum" : ", average"), words());
        }
        float[] values;
        try {
            values = download(gradients);
        } catch (RuntimeException e) {
            ranks.tell(call, isAgreed ? (int) Math.min(CHUNK, elements(gradients)) : 0, e);
            throw e;
        }
        if (!isAgreed) {
            ranks.agree(call);
            agreed = gradients;
            agreedDivisor = divisor;
        }
        for (int from = 0; from < values.length; from += CHUNK) {
            sum(values, from, Math.min(CHUNK, values.length - from), divisor);
        }
        FloatBuffer from = FloatBuffer.wrap(values);
        for (Tensor gradient : gradients) {
            int count = (int) gradient.shape().elements();
            gradient.upload(from.slice(from.position(), count));
            from.position(from.position() + count);
        }
    }

    private void sum(float[] values, int from, int count, int divisor) {
        double[] numbers = new double[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = values[from + i];
        }
        Gathered gathered = ranks.gather(call, numbers);
        for (int i = 0; i < count; i++) {
            double sum = gathered.get(0, i);
            for (int r = 1; r < ranks.group().size(); r++) {
                sum += gathered.get(r, i);
            }
            values[from + i] = (float) (sum / divisor);
        }
    }

    private static float[] download(List<Tensor> gradients) {
        float[] values = new float[Math.toIntExact(elements(gradients))];
        FloatBuffer to = FloatBuffer.wrap(values);
        for (Tensor gradient : gradients) {
            int count = (int) gradient.shape().elements();
            gradient.download(to.slice(to.position(), count));
            to.position(to.position() + count);
        }
        return values;
    }

    private static long elements(List<Tensor> gradients) {
        return gradients.stream().mapToLong(each -> each.shape().elements()).sum();
    }

    private String words() {
        return sources.stream().map(Source::words).collect(Collectors.joining("; "));
    }

    /** The number among what the group's ranks have asked for, and of how many parameters it is. */
    @Override
    public String toString() {
        return "gradient sum " + member + " of " + sources.size() + " parameters";
    }
}
