package org.clnorm.study;

import static org.clnorm.study.Plot.share;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.InstanceNorm;
import org.clnorm.Normalizer;
import org.clnorm.RunningAverage;
import org.clnorm.Shape;

/** Instance against batch normalization, for style. */
final class StyleExperiment implements Experiment {
    private static final List<String> NAMES = List.of("batch normalization", "instance normalization", "none");
    private static final List<String> TASKS = List.of("digit, seen styles", "digit, unseen style", "which style");
    private static final double[] PLACES = {1, 2, 3};
    /** Contrast and brightness; the last one is for the test alone. */
    private static final double[][] STYLES = {{1, 0}, {0.7, 0.3}, {0.4, 0.1}, {0.5, 0.5}, {0.25, 0.6}};

    private static final int SEEN = 4;
    private static final int FILTERS = 8;
    private static final int SIDE = 14;
    private static final int BLOCK = 3;
    private static final int STEPS = 150;

    @Override
    public String name() {
        return "style";
    }

    @Override
    public String title() {
        return "Instance against batch normalization, for style";
    }

    @Override
    public String claim() {
        return "Instance normalization takes the style, contrast and brightness, out of each image, which batch"
                + " normalization cannot; so it carries over to styles that were never seen, and is the wrong choice"
                + " where the style is the answer.";
    }

    @Override
    public String source() {
        return "Ulyanov, Vedaldi and Lempitsky, “Instance Normalization: The Missing Ingredient for Fast Stylization”,"
                + " 2016; Huang and Belongie, “Arbitrary Style Transfer in Real-Time with Adaptive Instance"
                + " Normalization”, 2017";
    }

    @Override
    public String method(Lab lab) {
        return "Each digit has one of four styles, a contrast and a brightness: x ← a·x + b. Features are " + FILTERS
                + " random filters of 3 by 3, normalized, ReLU, means over squares of 3 by 3; on them softmax regression,"
                + " " + lab.steps(STEPS)
                + " steps of 100 at rate 0.5, with labels of the digit or of the style. The unseen"
                + " style is paler and brighter than all four. Guessing the style is right in a quarter.";
    }

    @Override
    public Finding run(Lab lab) {
        Outcomes outcomes = lab.trials(NAMES.size(), (seed, kind) -> measure(lab, kind, seed));
        Series[] lines = IntStream.range(0, NAMES.size())
                .mapToObj(kind -> outcomes.along(NAMES.get(kind), PLACES, kind, 0))
                .toArray(Series[]::new);
        return new Finding(
                List.of(Plot.over("Test accuracy", "what is asked", TASKS, share("share recognized"), lines)),
                List.of(
                        Check.above(
                                "in an unseen style digits are recognized better by instance normalization",
                                "accuracy less that by batch normalization",
                                outcomes.estimate(seed -> seed[1][1] - seed[0][1]),
                                0),
                        Check.below(
                                "with instance normalization the unseen style costs next to nothing",
                                "accuracy in seen styles less that in the unseen",
                                outcomes.estimate(seed -> seed[1][0] - seed[1][1]),
                                0.02),
                        Check.below(
                                "the style is gone from instance-normalized features",
                                "share of styles recognized",
                                outcomes.at(1, 2),
                                0.3),
                        Check.above(
                                "batch normalization keeps the style",
                                "share of styles recognized",
                                outcomes.at(0, 2),
                                0.8),
                        Check.above(
                                "in seen styles instance normalization costs less than a point",
                                "its accuracy less that by batch normalization",
                                outcomes.estimate(seed -> seed[1][0] - seed[0][0]),
                                -0.01)));
    }

    /** Accuracy for digits of the seen styles, for digits of the unseen one, and for the style. */
    private static double[] measure(Lab lab, int kind, long seed) {
        Random random = new Random(seed);
        Filters filters = Filters.random(SIDE, FILTERS, random);
        int[] trainStyles = random.ints(lab.train().size(), 0, SEEN).toArray();
        int[] testStyles = random.ints(lab.test().size(), 0, SEEN).toArray();
        int[] unseen = IntStream.generate(() -> SEEN).limit(lab.test().size()).toArray();
        try (NormStage norm = stage(lab.device(), kind, filters)) {
            Samples train = features(filters, norm, styled(lab.train(), trainStyles), Mode.TRAIN);
            Samples test = features(filters, norm, styled(lab.test(), testStyles), Mode.EVAL);
            Samples other = features(filters, norm, styled(lab.test(), unseen), Mode.EVAL);
            Samples styleTrain = new Samples(train.pixels(), train.images(), trainStyles);
            Samples styleTest = new Samples(test.pixels(), test.images(), testStyles);
            int steps = lab.steps(STEPS);
            try (Net digit = classifier(train, steps, seed);
                    Net style = classifier(styleTrain, steps, seed)) {
                return new double[] {
                    digit.accuracy(test, Mode.EVAL),
                    digit.accuracy(other, Mode.EVAL),
                    style.accuracy(styleTest, Mode.EVAL)
                };
            }
        }
    }

    private static Net classifier(Samples samples, int steps, long seed) {
        Net net = new Net(List.of(new DenseStage(samples.pixels(), Net.CLASSES, 0.1, true, new Random(seed))));
        new Drill(100, 0.5, steps).run(net, samples, seed);
        return net;
    }

    /** Null for no normalization. Running statistics of one batch, the whole training set, are those of the set. */
    private static NormStage stage(Device device, int kind, Filters filters) {
        if (kind == 2) {
            return null;
        }
        Normalizer norm = kind == 0
                ? BatchNorm.builder(FILTERS)
                        .runningAverage(RunningAverage.cumulative())
                        .build(device)
                : InstanceNorm.builder(FILTERS).build(device);
        int side = filters.mapSide();
        return new NormStage(device, norm, FILTERS * side * side, rows -> Shape.of(rows, FILTERS, side, side));
    }

    private static Samples styled(Samples samples, int[] styles) {
        float[] images = samples.images().clone();
        for (int i = 0; i < images.length; i++) {
            double[] style = STYLES[styles[i / samples.pixels()]];
            images[i] = (float) (style[0] * images[i] + style[1]);
        }
        return samples.with(images);
    }

    private static Samples features(Filters filters, NormStage norm, Samples samples, Mode mode) {
        float[] maps = filters.apply(samples.images());
        float[] pooled = Filters.reluAndPool(norm == null ? maps : norm.forward(maps, mode), filters.mapSide(), BLOCK);
        return new Samples(pooled.length / samples.size(), pooled, samples.labels());
    }
}
