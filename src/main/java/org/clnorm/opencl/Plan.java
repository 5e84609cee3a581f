package org.clnorm.opencl;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.DataType;
import org.clnorm.backend.Operand;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.PassKind;
import org.clnorm.plan.Place;
import org.clnorm.plan.ReduceFoldApply;
import org.clnorm.plan.Strategy;
import org.clnorm.view.View;

/** The launches of a pass, ready to be enqueued again and again. Used under the backend's lock. */
final class Plan<P> {
    private final Kernels owner;
    private final PassKind<P> kind;
    private final P made;
    /** What was asked for, which goes over aligned operands. */
    private final Strategy asked;

    private final boolean aligned;
    private final ReduceFoldApply over;
    /** Of the operands; null where there is none. */
    private final DataType[] types = new DataType[Place.values().length];

    private final long partials;
    private final List<Kernel> launches = new ArrayList<>();

    /**
     * @param kernels of the backend that it is for; two backends may share a layer's statistics
     * @param pass serves as the example: the plan is for all that are like it
     * @param places its operands
     */
    Plan(Kernels kernels, PassKind<P> kind, P pass, Operand[] places, View view, Strategy strategy, DeviceFacts facts) {
        this.owner = kernels;
        this.kind = kind;
        this.made = pass;
        this.asked = strategy;
        this.aligned = ReduceFoldApply.isAligned(view, strategy, kind.tensors(), places);
        this.over = over(kind, pass, places, view, strategy, facts);
        for (int i = 0; i < types.length; i++) {
            types[i] = places[i] == null ? null : places[i].type();
        }
        ReduceFoldApply.Steps steps = kind.steps().apply(pass, over);
        this.partials = steps.partials();
        try {
            steps.launches().forEach(launch -> launches.add(kernels.prepare(launch.storing(types))));
        } catch (RuntimeException e) {
            release();
            throw e;
        }
    }

    /** What makes the launches of a pass, whose operands are in their places. */
    static <P> ReduceFoldApply over(
            PassKind<P> kind, P pass, Operand[] places, View view, Strategy strategy, DeviceFacts facts) {
        boolean aligned = ReduceFoldApply.isAligned(view, strategy, kind.tensors(), places);
        return new ReduceFoldApply(
                view,
                aligned ? strategy : strategy.unaligned(facts, view),
                facts.computeUnits(),
                kind.byElement().test(pass));
    }

    /** Whether a pass takes the same launches. */
    @SuppressWarnings("unchecked") // a kind has one type of pass
    boolean serves(Kernels kernels, PassKind<?> kind, Object pass, Operand[] places) {
        if (owner != kernels || this.kind != kind || !this.kind.alike().test(made, (P) pass)) {
            return false;
        }
        for (int i = 0; i < types.length; i++) {
            if (types[i] != (places[i] == null ? null : places[i].type())) {
                return false;
            }
        }
        return aligned == ReduceFoldApply.isAligned(over.view(), asked, this.kind.tensors(), places);
    }

    /** Floats that its launches leave to each other. */
    long partials() {
        return partials;
    }

    /** In their order. */
    List<Kernel> launches() {
        return launches;
    }

    void release() {
        launches.forEach(Kernel::release);
        launches.clear();
    }
}
