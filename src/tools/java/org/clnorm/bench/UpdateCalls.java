package org.clnorm.bench;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.bench.Tensors.Part;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateRule;

/** Those of an optimizer's step; each set of tensors is prepared by itself, and is in its first step at its first call. */
final class UpdateCalls implements Calls {
    private static final BitSet NONE_LEFT = new BitSet();

    private final UpdateRule rule;
    private final GradientChange change;
    private final List<PreparedUpdate> updates = new ArrayList<>();

    UpdateCalls(Backend backend, OptimizerStep step, Tensors tensors) {
        this.rule = step.rule();
        this.change = step.clips()
                ? new GradientChange(1, Double.POSITIVE_INFINITY, OptimizerStep.MAX_NORM)
                : GradientChange.NONE;
        for (int set = 0; set < tensors.sets(); set++) {
            List<Operand> values = tensors.all(Part.VALUE, set);
            List<Operand> gradients = tensors.all(Part.GRADIENT, set);
            List<Updated> updated = new ArrayList<>();
            for (int i = 0; i < values.size(); i++) {
                updated.add(new Updated(
                        values.get(i), gradients.get(i), step.tensors().get(i), true));
            }
            updates.add(backend.prepareUpdate(
                    updated,
                    new UpdateRoom(
                            tensors.get(Part.FIRST, set), tensors.get(Part.SECOND, set), tensors.get(Part.NORM, set))));
        }
    }

    @Override
    public void make(int i) {
        int sets = updates.size();
        updates.get(i % sets).run(rule.step(rule.rate(), i / sets + 1L), change, NONE_LEFT);
    }

    @Override
    public void close() {
        updates.forEach(PreparedUpdate::close);
    }
}
