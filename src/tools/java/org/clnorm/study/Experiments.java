package org.clnorm.study;

import java.util.ArrayList;
import java.util.List;

/** All there are, in the order of the page. */
final class Experiments {
    static final List<Experiment> ALL = List.of(
            new RatesExperiment(),
            new WeightsExperiment(),
            new SigmoidExperiment(),
            new ReluExperiment(),
            new SmoothnessExperiment(),
            new HessianExperiment(),
            new NoiseExperiment(),
            new BatchesExperiment(),
            new BiasExperiment(),
            new ShiftExperiment(),
            new ScaleExperiment(),
            new DecayExperiment(),
            new JacobianExperiment(),
            new DropoutExperiment(),
            new ShuffleExperiment(),
            new StyleExperiment(),
            new WhiteningExperiment());

    private Experiments() {}

    static List<String> names() {
        return ALL.stream().map(Experiment::name).toList();
    }

    /** Those of some names, in the order of the page; all for no names. */
    static List<Experiment> named(List<String> names) {
        List<String> unknown = new ArrayList<>(names);
        unknown.removeAll(names());
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("There is no experiment " + String.join(", ", unknown) + "; there are "
                    + String.join(", ", names()));
        }
        return ALL.stream()
                .filter(experiment -> names.isEmpty() || names.contains(experiment.name()))
                .toList();
    }
}
