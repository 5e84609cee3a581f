package org.clnorm.tune;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Pass;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyTable;
import org.clnorm.plan.StrategyTable.Pattern;
import org.clnorm.view.View;

/** What could be the fastest for a pass over a view: first the forms, then the best form with other parameters. */
final class Candidates {
    private Candidates() {}

    /** What there is to beat. */
    static Strategy byDefault(DeviceFacts facts, Pass pass, View view) {
        return Strategy.choose(facts, pass, view, StrategyTable.DEFAULTS);
    }

    /**
     * The default, and each form that the device has, with stores through the cache and past it; of those that come to
     * the same launches the first.
     */
    static List<Strategy> forms(DeviceFacts facts, Pass pass, View view) {
        Strategy byDefault = byDefault(facts, pass, view);
        List<Strategy> forms = new ArrayList<>(List.of(byDefault));
        for (Strategy strategy : Strategy.all(facts)) {
            // In inference there is nothing to fuse.
            if (pass != Pass.INFERENCE || !strategy.fused()) {
                forms.add(strategy.withStream(byDefault.stream() && strategy.items() == 1));
                if (strategy.items() == 1) {
                    forms.add(strategy.withStream(!byDefault.stream()));
                }
            }
        }
        // One that does not hold the view goes over it as another of its family does, which is there itself.
        Set<Strategy> seen = new HashSet<>();
        return forms.stream()
                .filter(form -> form.forView(facts, view).isCached() == form.isCached())
                .filter(form -> seen.add(form.forView(facts, view)))
                .toList();
    }

    /** The same form with other parameters, as far as the pass has a use for them. */
    static List<Strategy> variants(DeviceFacts facts, Strategy best, Pass pass, View view) {
        if (pass == Pass.INFERENCE) {
            return List.of();
        }
        // The default may have the work-group that the view gets already; a row of a table is to have what comes before
        // that.
        Strategy form = best.isCached() ? Strategy.named(best.name(), facts).withStream(best.stream()) : best;
        List<Strategy> variants = new ArrayList<>();
        variants.add(form.withTile(2 * form.tile()));
        variants.add(form.withTile(Math.max(1, form.tile() / 2)));
        boolean columns = Pattern.of(view) == Pattern.COLUMNAR;
        // One work-item that has whole columns takes fewer of them by itself where fewer are better; and a stripe of
        // columns
        // that stay in registers is one vector wide.
        if (columns && !form.isCached() && !(form.fused() && form.items() == 1)) {
            variants.add(form.withVectors(2 * form.vectors()));
            variants.add(form.withVectors(Math.max(1, form.vectors() / 2)));
        }
        return variants.stream()
                .filter(variant -> !variant.equals(form))
                .distinct()
                .toList();
    }

    /** A strategy's name, and what of its parameters is not as usual. */
    static String label(Strategy strategy, DeviceFacts facts) {
        Strategy usual = Strategy.named(strategy.name(), facts);
        return strategy.name()
                + (strategy.tile() == usual.tile() ? "" : " tile=" + strategy.tile())
                + (strategy.vectors() == usual.vectors() ? "" : " vectors=" + strategy.vectors())
                + (strategy.items() > 1 ? "" : strategy.stream() ? " past cache" : " in cache");
    }
}
