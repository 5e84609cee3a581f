package org.clnorm.tune;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.opencl.DeviceFacts;
import org.clnorm.opencl.Pass;
import org.clnorm.opencl.Strategy;
import org.clnorm.opencl.StrategyTable;
import org.clnorm.opencl.StrategyTable.Pattern;
import org.clnorm.view.View;

/** What could be the fastest for a pass over a view: first the forms, then the best form with other parameters. */
final class Candidates {
    private Candidates() {}

    /** What there is to beat. */
    static Strategy byDefault(DeviceFacts facts, Pass pass, View view) {
        return Strategy.choose(facts, pass, view, StrategyTable.DEFAULTS);
    }

    /** The default, and each form that the device has, with stores through the cache and past it. */
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
        return forms.stream().distinct().toList();
    }

    /** The same form with other parameters, as far as the pass has a use for them. */
    static List<Strategy> variants(Strategy form, Pass pass, View view) {
        if (pass == Pass.INFERENCE) {
            return List.of();
        }
        List<Strategy> variants = new ArrayList<>();
        variants.add(form.withTile(2 * form.tile()));
        variants.add(form.withTile(Math.max(1, form.tile() / 2)));
        boolean columns = Pattern.of(view) == Pattern.COLUMNAR;
        // One work-item that has whole columns takes fewer of them by itself where fewer are better.
        if (columns && !(form.fused() && form.items() == 1)) {
            variants.add(form.withBlocks(2 * form.blocks()));
            variants.add(form.withBlocks(Math.max(1, form.blocks() / 2)));
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
                + (strategy.blocks() == usual.blocks() ? "" : " blocks=" + strategy.blocks())
                + (strategy.items() > 1 ? "" : strategy.stream() ? " past cache" : " in cache");
    }
}
