package org.clnorm.study;

import static org.clnorm.study.Plot.even;
import static org.clnorm.study.Plot.share;

import java.util.List;
import java.util.stream.DoubleStream;

/** How many ReLUs are active, and how many are dead. */
final class ReluExperiment implements Experiment {
    private static final int LAYERS = 6;
    private static final int STEPS = 100;
    private static final double RATE = 0.3;
    private static final double[] DEPTHS = {1, 2, 3, 4, 5, 6};

    @Override
    public String name() {
        return "relu";
    }

    @Override
    public String title() {
        return "Active ReLUs and dead units";
    }

    @Override
    public String claim() {
        return "Before a ReLU, batch normalization keeps each unit active for about half of the samples, and no unit"
                + " dies.";
    }

    @Override
    public String source() {
        return "Follows from a symmetric distribution around β = 0; dying units: Lu et al., “Dying ReLU and"
                + " Initialization”, 2019";
    }

    @Override
    public String method(Lab lab) {
        return LAYERS + " hidden layers of 64 units, seen with the training digits before and after "
                + lab.steps(STEPS) + " steps of batches of 100 at rate " + RATE + ". The distance from one half is the"
                + " mean over a layer's units of |share of samples in which the unit is active − ½|, so that units"
                + " always on and units always off do not cancel. A dead unit is active for no sample.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes outcomes = lab.trials(2, (seed, i) -> {
            Norming norming = i == 0 ? Norming.BATCH : Norming.NONE;
            try (Net net = new Net.Plan(64, LAYERS, norming)
                    .build(lab.device(), lab.train().pixels(), seed)) {
                double[] before = look(net, lab.train());
                new Drill(100, RATE, lab.steps(STEPS)).run(net, lab.train(), seed);
                return DoubleStream.concat(DoubleStream.of(before), DoubleStream.of(look(net, lab.train())))
                        .toArray();
            }
        });
        return new Finding(
                List.of(
                        plot("Distance of the active share from one half", "mean distance", outcomes, 0),
                        plot("Dead units", "share of units", outcomes, LAYERS)),
                List.of(
                        Check.below(
                                "at the start each unit is active for about half of the samples",
                                "mean distance from one half",
                                mean(outcomes, 0, 0),
                                0.1),
                        Check.below(
                                "it stays so in training",
                                "mean distance from one half",
                                mean(outcomes, 0, 2 * LAYERS),
                                0.1),
                        Check.above(
                                "at the start the share is nearer to one half than without",
                                "distance without less distance with",
                                outcomes.estimate(seed -> mean(seed[1], 0) - mean(seed[0], 0)),
                                0),
                        Check.above(
                                "after training the share is nearer to one half than without",
                                "distance without less distance with",
                                outcomes.estimate(seed -> mean(seed[1], 2 * LAYERS) - mean(seed[0], 2 * LAYERS)),
                                0),
                        Check.below(
                                "hardly a unit is dead after training",
                                "share of dead units",
                                mean(outcomes, 0, 3 * LAYERS),
                                0.01),
                        Check.above(
                                "without it more are dead",
                                "share without less share with",
                                outcomes.estimate(seed -> mean(seed[1], 3 * LAYERS) - mean(seed[0], 3 * LAYERS)),
                                0)));
    }

    private static Plot plot(String title, String y, Outcomes outcomes, int from) {
        int after = 2 * LAYERS + from;
        return Plot.of(
                title,
                even("hidden layer"),
                share(y),
                outcomes.along("batch normalization, start", DEPTHS, 0, from),
                outcomes.along("none, start", DEPTHS, 1, from),
                outcomes.along("batch normalization, trained", DEPTHS, 0, after),
                outcomes.along("none, trained", DEPTHS, 1, after));
    }

    private static Estimate mean(Outcomes outcomes, int setting, int from) {
        return outcomes.estimate(seed -> mean(seed[setting], from));
    }

    private static double mean(double[] measures, int from) {
        return DoubleStream.of(measures).skip(from).limit(LAYERS).average().orElseThrow();
    }

    /** The distances of the layers, then the shares of dead units. */
    private static double[] look(Net net, Samples samples) {
        net.forward(samples.images(), Mode.ADAPTED);
        double[] seen = new double[2 * LAYERS];
        List<ReluStage> relus = net.stages(ReluStage.class);
        for (int layer = 0; layer < LAYERS; layer++) {
            double[] active = relus.get(layer).active();
            seen[layer] = DoubleStream.of(active)
                    .map(share -> Math.abs(share - 0.5))
                    .average()
                    .orElseThrow();
            seen[LAYERS + layer] =
                    DoubleStream.of(active).filter(share -> share == 0).count() / (double) active.length;
        }
        return seen;
    }
}
