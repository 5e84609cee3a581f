package org.clnorm.reference;

import java.util.BitSet;
import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateStep;

/** An optimizer's step in double, each kept number rounded once to float32. */
final class ReferenceUpdate implements PreparedUpdate {
    private final ReferenceBackend owner;
    private final List<Updated> tensors;
    private final UpdateRoom room;
    private boolean closed;

    ReferenceUpdate(ReferenceBackend owner, List<Updated> tensors, UpdateRoom room) {
        this.owner = owner;
        this.tensors = List.copyOf(tensors);
        this.room = room;
    }

    @Override
    public void run(UpdateStep step, GradientChange change, BitSet skipped) {
        synchronized (owner) {
            if (closed) {
                throw new IllegalStateException("The prepared update is closed");
            }
            double[][] gradients = new double[tensors.size()][];
            double[][] values = new double[tensors.size()][];
            for (int t = 0; t < tensors.size(); t++) { // all are read before one is written
                gradients[t] = changed(
                        owner.load(tensors.get(t).gradient(), tensors.get(t).elements()), change);
                values[t] = owner.load(tensors.get(t).value(), tensors.get(t).elements());
            }
            double factor = room.norm() == null ? 1 : factor(gradients, change, skipped);
            long from = 0;
            for (int t = 0; t < tensors.size(); t++) {
                if (!skipped.get(t)) {
                    for (int i = 0; i < gradients[t].length; i++) {
                        gradients[t][i] *= factor;
                    }
                    update(tensors.get(t), step, values[t], gradients[t], from);
                }
                from += tensors.get(t).elements();
            }
        }
    }

    private static double[] changed(double[] gradient, GradientChange change) {
        double most = change.most();
        for (int i = 0; i < gradient.length; i++) {
            double scaled = gradient[i] * change.scale();
            gradient[i] = scaled > most ? most : scaled < -most ? -most : scaled;
        }
        return gradient;
    }

    private double factor(double[][] gradients, GradientChange change, BitSet skipped) {
        double squares = 0;
        for (int t = 0; t < gradients.length; t++) {
            for (int i = 0; i < gradients[t].length && !skipped.get(t); i++) {
                squares += gradients[t][i] * gradients[t][i];
            }
        }
        double norm = Math.sqrt(squares);
        double factor = Double.isInfinite(change.maxNorm()) ? 1 : change.maxNorm() / (norm + 1e-6);
        factor = factor > 1 ? 1 : factor;
        owner.store(new double[] {norm, factor}, room.norm());
        return factor;
    }

    private void update(Updated tensor, UpdateStep step, double[] p, double[] g, long from) {
        if (step.kind() == UpdateStep.Kind.CLIP) {
            owner.store(g, tensor.gradient());
            return;
        }
        Operand firstAt = at(room.first(), from);
        Operand secondAt = at(room.second(), from);
        double[] first = owner.load(firstAt, tensor.elements());
        double[] second = owner.load(secondAt, tensor.elements());
        for (int i = 0; i < p.length; i++) {
            double direction = g[i];
            if (tensor.decays() && step.decay() != 0) {
                direction += step.decay() * p[i];
            }
            if (tensor.decays() && step.shrink() != 0) {
                p[i] *= 1 - step.shrink();
            }
            if (second != null) {
                // What is kept is a float32 from here on: an overflow is one for this step too.
                second[i] = (float) ((1 - step.secondGain()) * second[i] + step.secondGain() * direction * direction);
            }
            switch (step.kind()) {
                case ADAM -> {
                    first[i] = (1 - step.firstGain()) * first[i] + step.firstGain() * direction;
                    direction = first[i] / (Math.sqrt(second[i]) * step.root() + step.epsilon());
                }
                case RMSPROP ->
                    direction = withMomentum(step, first, i, direction / (Math.sqrt(second[i]) + step.epsilon()));
                default -> direction = withMomentum(step, first, i, direction);
            }
            p[i] -= step.rate() * direction;
        }
        owner.store(p, tensor.value());
        owner.store(first, firstAt);
        owner.store(second, secondAt);
    }

    private static double withMomentum(UpdateStep step, double[] momentum, int i, double direction) {
        if (momentum == null) {
            return direction;
        }
        momentum[i] = step.momentum() * momentum[i] + step.firstGain() * direction;
        return step.nesterov() ? direction + step.momentum() * momentum[i] : momentum[i];
    }

    private static Operand at(Operand all, long from) {
        return all == null ? null : new Operand(all.memory(), all.offset() + from);
    }

    @Override
    public void close() {
        synchronized (owner) {
            closed = true;
        }
    }
}
