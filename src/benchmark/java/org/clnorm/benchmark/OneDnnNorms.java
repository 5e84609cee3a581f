package org.clnorm.benchmark;

import static org.bytedeco.dnnl.global.dnnl.*;

import org.bytedeco.dnnl.IntMemoryMap;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.group_normalization_forward;
import org.bytedeco.dnnl.layer_normalization_backward;
import org.bytedeco.dnnl.layer_normalization_forward;
import org.bytedeco.dnnl.memory;
import org.bytedeco.dnnl.primitive;
import org.bytedeco.dnnl.stream;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;

/** oneDNN's layer and group normalization, of which instance normalization is one with as many groups as channels. */
final class OneDnnNorms {
    private static final int FLAGS = dnnl_use_scale | dnnl_use_shift;

    private final engine engine;
    private final Task task;
    private final memory.desc tensor;

    /** The forward primitive, and its statistics. */
    private primitive forward;

    private memory mean;
    private memory variance;

    /** Null where the forward pass is asked for. */
    private primitive backward;

    private OneDnnNorms(engine engine, Task task) {
        this.engine = engine;
        this.task = task;
        this.tensor = OneDnn.tensor(task);
        if (task.norm() == Norm.LAYER) {
            makeLayer();
        } else {
            makeGroup(task.norm() == Norm.GROUP ? Norm.GROUPS : task.channels());
        }
    }

    static boolean supports(Task task) {
        boolean known =
                switch (task.norm()) {
                    case LAYER -> true;
                    // Its backward pass is wrong up to version 3.8: uxlfoundation/oneDNN issue 3543.
                    case GROUP, INSTANCE -> task.direction() == Direction.FORWARD;
                    default -> false;
                };
        return known && task.form() != Form.BLOCKED;
    }

    private boolean isBackward() {
        return task.direction() == Direction.BACKWARD;
    }

    private void makeLayer() {
        layer_normalization_forward.primitive_desc description = new layer_normalization_forward.primitive_desc(
                engine, dnnl_forward_training, tensor, tensor, (float) Task.EPSILON, FLAGS);
        forward = new layer_normalization_forward(description);
        mean = new memory(description.mean_desc(), engine);
        variance = new memory(description.variance_desc(), engine);
        if (isBackward()) {
            backward = new layer_normalization_backward(new layer_normalization_backward.primitive_desc(
                    engine, dnnl_backward, tensor, tensor, tensor, (float) Task.EPSILON, FLAGS, description));
        }
    }

    private void makeGroup(int groups) {
        group_normalization_forward.primitive_desc description = new group_normalization_forward.primitive_desc(
                engine, dnnl_forward_training, tensor, tensor, groups, (float) Task.EPSILON, FLAGS);
        forward = new group_normalization_forward(description);
        mean = new memory(description.mean_desc(), engine);
        variance = new memory(description.variance_desc(), engine);
    }

    /** In the caller's scope, which frees it all. */
    static Peer.Call prepare(OneDnn peer, engine engine, stream stream, Task task, Sets sets) {
        OneDnnNorms norms = new OneDnnNorms(engine, task);
        Arena arena = sets.arena();
        memory scale = peer.vector(task.gamma());
        memory shift = peer.vector(task.beta());
        memory dgamma = peer.vector(task.gamma());
        memory dbeta = peer.vector(task.beta());
        IntMemoryMap[] arguments = new IntMemoryMap[sets.count()];
        for (int set = 0; set < arguments.length; set++) {
            arguments[set] = norms.common(arena, sets, set, scale)
                    .put(DNNL_ARG_DST, new memory(norms.tensor, engine, arena.nativeOutput(sets.y(set))))
                    .put(DNNL_ARG_SHIFT, shift);
        }
        if (!norms.isBackward()) {
            return peer.call(norms.forward, arguments, sets);
        }
        norms.forward.execute(stream, arguments[0]); // all sets go by the statistics of the first
        stream._wait();
        for (int set = 0; set < arguments.length; set++) {
            arguments[set] = norms.common(arena, sets, set, scale)
                    .put(DNNL_ARG_DIFF_DST, new memory(norms.tensor, engine, arena.nativeInput(sets.dy(set))))
                    .put(DNNL_ARG_DIFF_SRC, new memory(norms.tensor, engine, arena.nativeOutput(sets.dx(set))))
                    .put(DNNL_ARG_DIFF_SCALE, dgamma)
                    .put(DNNL_ARG_DIFF_SHIFT, dbeta);
        }
        return peer.call(norms.backward, arguments, sets);
    }

    private IntMemoryMap common(Arena arena, Sets sets, int set, memory scale) {
        return new IntMemoryMap()
                .put(DNNL_ARG_SRC, new memory(tensor, engine, arena.nativeInput(sets.x(set))))
                .put(DNNL_ARG_SCALE, scale)
                .put(DNNL_ARG_MEAN, mean)
                .put(DNNL_ARG_VARIANCE, variance);
    }
}
