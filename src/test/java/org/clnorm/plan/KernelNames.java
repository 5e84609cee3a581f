package org.clnorm.plan;

import java.util.Set;
import java.util.TreeSet;
import org.clnorm.view.View;

/** The kernels that passes launch under a strategy chosen for a view, said once more. */
public final class KernelNames {
    private KernelNames() {}

    /** Those of training, inference and a copy of a small tensor without a mask. */
    public static Set<String> of(Strategy strategy, View view) {
        Set<String> names = new TreeSet<>(Set.of("track", "copy"));
        View shaped = strategy.reshape(view);
        String pattern = pattern(shaped);
        if (strategy.fused()) {
            String form = strategy.items() == 1 ? "_pipelined" : strategy.isCached() ? "_cached" : "";
            names.add("normalize" + form + pattern);
            names.add("gradient" + form + pattern);
        } else {
            names.addAll(Set.of("moments" + pattern, "fold_moments", "gradient_sums" + pattern, "fold_gradients"));
            names.add("gradient_apply" + pattern);
        }
        boolean cpu = strategy.items() == 1;
        names.addAll(cpu ? Set.of("infer") : Set.of("fold_given", "apply" + pattern(view)));
        if (cpu && !strategy.fused()) {
            names.add(view instanceof View.Segmented ? "apply_planes" : "apply_columnar");
        }
        return names;
    }

    private static String pattern(View view) {
        return view instanceof View.Segmented ? "_segmented" : "_columnar";
    }
}
