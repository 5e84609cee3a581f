package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.share;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/** Batches that are not shuffled. */
final class ShuffleExperiment implements Experiment {
    private static final double[] MIXED = {0, 0.25, 0.5, 0.75, 1};
    private static final int SORTED = 0;
    private static final int SHUFFLED = 4;
    private static final int BATCH = 50;
    private static final int STEPS = 200;
    private static final double RATE = 0.05;

    @Override
    public String name() {
        return "shuffle";
    }

    @Override
    public String title() {
        return "Unshuffled batches";
    }

    @Override
    public String claim() {
        return "Batch normalization needs batches that are drawn at random: trained with batches of like samples it fails"
                + " in the test, and does so more than a network without.";
    }

    @Override
    public String source() {
        return "A known pitfall; like samples in a batch: Ioffe, 2017, §4.4; Wu and Johnson, “Rethinking ‘Batch’ in"
                + " BatchNorm”, 2021, §5";
    }

    @Override
    public String method(Lab lab) {
        return "196 – 64 – 64 – 10 units, " + lab.steps(STEPS) + " steps of batches of " + BATCH + " at rate " + RATE
                + ". The digits are sorted by class, then a share of them is shuffled among each other; batches are cut"
                + " from that in order, and come in random order, so that each network sees the same classes over time."
                + " “Test statistics” evaluates with those of the whole, mixed test set.";
    }

    @Override
    public Finding run(Lab lab) {
        int n = MIXED.length;
        Outcomes outcomes = lab.trials(2 * n, (seed, i) -> {
            Norming norming = i < n ? Norming.BATCH : Norming.NONE;
            try (Net net =
                    new Net.Plan(64, 2, norming).build(lab.device(), lab.train().pixels(), seed)) {
                train(net, lab.train(), MIXED[i % n], lab.steps(STEPS), seed);
                return new double[] {net.accuracy(lab.test(), Mode.EVAL), net.accuracy(lab.test(), Mode.ADAPTED)};
            }
        });
        return new Finding(
                List.of(Plot.of(
                        "Test accuracy",
                        even("share of the training digits that was shuffled"),
                        share("share recognized"),
                        outcomes.series("batch normalization", MIXED, 0, 0),
                        outcomes.series("with test statistics", MIXED, 0, 1),
                        outcomes.series("none", MIXED, n, 0))),
                List.of(
                        Check.above(
                                "with batches of one class it loses over 20 points",
                                "accuracy shuffled less accuracy sorted",
                                outcomes.estimate(seed -> seed[SHUFFLED][0] - seed[SORTED][0]),
                                0.2),
                        Check.above(
                                "it loses more than a network without",
                                "loss with less loss without",
                                outcomes.estimate(seed -> seed[SHUFFLED][0]
                                        - seed[SORTED][0]
                                        - seed[n + SHUFFLED][0]
                                        + seed[n + SORTED][0]),
                                0),
                        Check.below(
                                "it is not the running statistics alone, since with those of the test set it loses over 20 points, too",
                                "accuracy sorted less accuracy shuffled",
                                outcomes.estimate(seed -> seed[SORTED][1] - seed[SHUFFLED][1]),
                                -0.2)));
    }

    private static void train(Net net, Samples samples, double mixed, int steps, long seed) {
        Random random = new Random(~seed);
        int[] order = sortedButFor(mixed, samples, random);
        int batches = order.length / BATCH;
        int[] turns = {};
        for (int step = 0; step < steps; step++) {
            if (step % batches == 0) {
                turns = Drill.shuffled(batches, random);
            }
            int from = turns[step % batches] * BATCH;
            net.loss(samples.rows(order, from, from + BATCH));
            net.step(RATE);
        }
    }

    /** Sorted by class, with a random share of the places shuffled among each other. */
    static int[] sortedButFor(double mixed, Samples samples, Random random) {
        List<Integer> sorted = new ArrayList<>(IntStream.range(0, samples.size())
                .boxed()
                .sorted(Comparator.comparing(i -> samples.labels()[i]))
                .toList());
        int[] places = Drill.shuffled(samples.size(), random);
        int count = (int) (mixed * samples.size());
        int[] among = Drill.shuffled(count, random);
        int[] order = sorted.stream().mapToInt(Integer::intValue).toArray();
        for (int i = 0; i < count; i++) {
            order[places[i]] = sorted.get(places[among[i]]);
        }
        return order;
    }
}
