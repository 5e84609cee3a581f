package org.clnorm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.clnorm.replicas.ChannelMoments;

/**
 * Running statistics anew, from many batches and with the weights as they are: "precise batch normalization" (Wu and
 * Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3). All values count the same: the moments of the batches
 * are combined by their counts ({@link ChannelMoments#combine}), so that a small last batch does not matter more than
 * it should.
 *
 * <pre>{@code
 * PopulationStatistics population = PopulationStatistics.over(List.of(first, second));
 * for (Tensor batch : batches) {
 *     population.observe(() -> network.forward(batch));
 * }
 * population.apply();
 * }</pre>
 *
 * <p>During {@link #observe(Runnable)} every layer normalizes by its batch's own statistics, as in training, and the
 * running ones stay. The running variance is estimated as the layer is built to, by the unbiased variance of all values
 * unless said otherwise. As many batches count as tracked as were observed, which is where a cumulative or
 * bias-corrected average goes on. Under {@link NonFinitePolicy#SKIP_RUNNING_UPDATE}, a channel is without the batches
 * in which its statistics are not finite. An object of this class is used by one thread at a time.
 */
public final class PopulationStatistics {
    /** A count in float32 stays there, whatever is still added to it one by one. */
    private static final long MOST_ABSORBED = 1 << 24;

    /** What was observed of one layer, channel by channel, since a channel may sit out a batch. */
    private static final class Population {
        final long[] counts;
        final double[] mean;
        final double[] squares;
        final long[] absorbed;
        long batches;

        Population(int channels) {
            counts = new long[channels];
            mean = new double[channels];
            squares = new double[channels];
            absorbed = new long[channels];
        }

        void add(ChannelMoments batch, NonFinitePolicy policy) {
            if (batch.count() == 0) {
                return;
            }
            double[] batchMean = batch.mean();
            double[] batchSquares = batch.squares();
            for (int c = 0; c < counts.length; c++) {
                boolean finite = Float.isFinite((float) batchMean[c])
                        && Float.isFinite((float) (batchSquares[c] / batch.count()));
                if (finite || policy != NonFinitePolicy.SKIP_RUNNING_UPDATE) {
                    add(c, batch.count(), batchMean[c], batchSquares[c]);
                }
            }
            batches++;
        }

        private void add(int c, long count, double batchMean, double batchSquares) {
            double combined = ChannelMoments.combinedMean(counts[c], mean[c], count, batchMean);
            squares[c] = ChannelMoments.combinedSquares(counts[c], mean[c], squares[c], count, batchMean, batchSquares);
            mean[c] = combined;
            counts[c] = Math.addExact(counts[c], count);
            absorbed[c]++;
        }

        long mostValues() {
            return Arrays.stream(counts).max().orElse(0);
        }

        /** Puts what was observed into running statistics. Channels without values stay as they are. */
        void into(Running running, RunningVariance estimate) {
            float[] newMean = running.mean().download();
            float[] newVariance = running.variance().download();
            float[] newAbsorbed = running.absorbed().download();
            boolean unbiased = estimate == RunningVariance.UNBIASED;
            for (int c = 0; c < counts.length; c++) {
                if (counts[c] > 0) {
                    newMean[c] = (float) mean[c];
                    newVariance[c] = (float) (squares[c] / (unbiased ? counts[c] - 1 : counts[c]));
                    newAbsorbed[c] = Math.min(absorbed[c], MOST_ABSORBED);
                }
            }
            running.set(newMean, newVariance, newAbsorbed, batches);
        }
    }

    /** The populations in the order of the layers, which are told apart by identity. */
    private final Map<BatchNorm, Population> populations = new LinkedHashMap<>();

    private PopulationStatistics(Collection<BatchNorm> layers) {
        Objects.requireNonNull(layers, "layers").forEach(each -> Objects.requireNonNull(each, "layers has null in it"));
        for (BatchNorm layer : layers) {
            layer.checkOpen();
            if (layer.running() == null) {
                throw new IllegalArgumentException(
                        "Every layer must have running statistics, but number " + populations.size() + " has none");
            }
            if (populations.put(layer, new Population(layer.channels())) != null) {
                throw new IllegalArgumentException("Every layer must be given once, but one was given again");
            }
        }
        if (populations.isEmpty()) {
            throw new IllegalArgumentException("There must be a layer, but given was none");
        }
    }

    /**
     * The statistics of some layers, with nothing observed yet.
     *
     * @param layers at least one, each with running statistics
     * @throws IllegalArgumentException for no layer, one that is given twice, or one without running statistics
     * @throws IllegalStateException when a layer is closed
     */
    public static PopulationStatistics over(Collection<BatchNorm> layers) {
        return new PopulationStatistics(layers);
    }

    /**
     * The statistics of one layer, with nothing observed yet.
     *
     * @param layer a layer with running statistics
     * @throws IllegalArgumentException for a layer without running statistics
     * @throws IllegalStateException when the layer is closed
     */
    public static PopulationStatistics over(BatchNorm layer) {
        Objects.requireNonNull(layer, "layer");
        return over(List.of(layer));
    }

    /**
     * Re-estimates one layer's running statistics from its inputs, without forward passes.
     *
     * @param layer a layer with running statistics
     * @param inputs tensors of shape (N, C, spatial...); one may be closed, or written anew, once the next is asked for
     * @throws IllegalArgumentException for a layer without running statistics, or a tensor that is not for it
     * @throws IllegalStateException when there were too few values, as {@link #apply} says, and when the layer is
     *     closed or in the middle of another call
     * @throws NonFiniteException under {@link NonFinitePolicy#THROW}, when statistics of an input are not finite
     */
    public static void estimate(BatchNorm layer, Iterator<Tensor> inputs) {
        Objects.requireNonNull(inputs, "inputs");
        PopulationStatistics population = over(layer);
        while (inputs.hasNext()) {
            population.observe(layer, inputs.next());
        }
        population.apply();
    }

    /**
     * Takes in what the layers are given in a forward pass of the network. They are in training mode meanwhile, and in
     * the mode that they had afterwards; {@link Normalizer#backward} needs another forward pass then. When the pass
     * throws, nothing of it is taken in. A {@link BatchNorm#forwardCombined} counts with the moments that it is given.
     *
     * @param forward calls {@code forward} of the layers, of one several times if it likes
     * @return this
     * @throws IllegalStateException when a layer is closed, in the middle of another call, or being observed already
     * @throws NonFiniteException for a layer whose policy is {@link NonFinitePolicy#THROW}
     */
    public PopulationStatistics observe(Runnable forward) {
        Objects.requireNonNull(forward, "forward");
        List<Runnable> seen = new ArrayList<>();
        List<Runnable> endings = new ArrayList<>();
        try {
            populations.forEach((layer, population) -> endings.add(
                    layer.calls().observe(batch -> seen.add(() -> population.add(batch, layer.nonFinite())))));
            forward.run();
        } finally {
            endings.forEach(Runnable::run);
        }
        seen.forEach(Runnable::run);
        return this;
    }

    /**
     * Takes in an input of one layer, without a forward pass. Waits for the device.
     *
     * @param layer one of the layers that this is over
     * @param x the input, of shape (N, C, spatial...)
     * @return this
     * @throws IllegalArgumentException for another layer, or a tensor that is not for it
     * @throws IllegalStateException when the layer is closed, or in the middle of another call
     * @throws NonFiniteException for a layer whose policy is {@link NonFinitePolicy#THROW}
     */
    public PopulationStatistics observe(BatchNorm layer, Tensor x) {
        Objects.requireNonNull(x, "x");
        Population population = populations.get(Objects.requireNonNull(layer, "layer"));
        if (population == null) {
            throw new IllegalArgumentException(
                    "The layer must be one of those that this is over, but given was another");
        }
        ChannelMoments moments = layer.moments(x);
        if (layer.nonFinite() == NonFinitePolicy.THROW && moments.count() > 0) {
            PassRunner.checkFinite(moments);
        }
        population.add(moments, layer.nonFinite());
        return this;
    }

    /**
     * Puts what was observed in the place of the layers' running statistics. More may be observed afterwards, and
     * applied with it.
     *
     * @throws IllegalStateException when a layer had too few values, none or one for the unbiased variance, or is
     *     closed, in which cases no layer was changed; and when a layer is in the middle of another call
     */
    public void apply() {
        int number = 0;
        for (Map.Entry<BatchNorm, Population> each : populations.entrySet()) {
            each.getKey().checkOpen();
            boolean unbiased = each.getKey().options().runningVariance == RunningVariance.UNBIASED;
            Population population = each.getValue();
            boolean lone = Arrays.stream(population.counts).anyMatch(count -> count == 1);
            if (population.batches == 0 || unbiased && lone) {
                throw new IllegalStateException("Layer number " + number + " needs " + (unbiased ? 2 : 1)
                        + " or more values per channel, but observed were " + population.mostValues());
            }
            number++;
        }
        populations.forEach((layer, population) ->
                layer.alone(() -> population.into(layer.running(), layer.options().runningVariance)));
    }

    /** Names the layers. */
    @Override
    public String toString() {
        return "population statistics of " + populations.keySet();
    }
}
