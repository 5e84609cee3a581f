package org.clnorm.benchmark;

import static org.bytedeco.dnnl.global.dnnl.*;

import org.bytedeco.dnnl.IntMemoryMap;
import org.bytedeco.dnnl.batch_normalization_backward;
import org.bytedeco.dnnl.batch_normalization_forward;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.memory;
import org.bytedeco.dnnl.primitive;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.FloatPointer;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;

/** oneDNN on the CPU. */
final class OneDnn implements Peer {
    private final engine engine = new engine(org.bytedeco.dnnl.engine.kind.cpu, 0);
    private final stream stream = new stream(engine);

    @Override
    public String name() {
        return "oneDNN";
    }

    @Override
    public boolean supports(Task task) {
        return task.norm() == Norm.BATCH ? task.fusion() != Fusion.ADD_RELU : OneDnnNorms.supports(task);
    }

    /** In the caller's scope, which frees it all. */
    @Override
    public Call prepare(Task task, Sets sets) {
        if (task.norm() != Norm.BATCH) {
            return OneDnnNorms.prepare(this, engine, stream, task, sets);
        }
        memory.desc tensor = tensor(task);
        Arena arena = sets.arena();
        int flags = dnnl_use_scale | dnnl_use_shift | (task.relu() ? dnnl_fuse_norm_relu : 0);
        boolean inference = task.direction() == Direction.INFERENCE;
        boolean backward = task.direction() == Direction.BACKWARD;
        batch_normalization_forward.primitive_desc forward = new batch_normalization_forward.primitive_desc(
                engine,
                inference ? dnnl_forward_inference : dnnl_forward_training,
                tensor,
                tensor,
                (float) Task.EPSILON,
                inference ? flags | dnnl_use_global_stats : flags);
        memory scale = vector(task.gamma());
        memory shift = vector(task.beta());
        memory mean = vector(task.runningMean());
        memory variance = vector(task.runningVariance());
        memory workspace = task.relu() && !inference ? new memory(forward.workspace_desc(), engine) : null;
        primitive primitive = new batch_normalization_forward(forward);
        IntMemoryMap[] arguments = new IntMemoryMap[sets.count()];
        for (int set = 0; set < arguments.length; set++) {
            arguments[set] = new IntMemoryMap()
                    .put(DNNL_ARG_SRC, new memory(tensor, engine, arena.nativeInput(sets.x(set))))
                    .put(DNNL_ARG_DST, new memory(tensor, engine, arena.nativeOutput(sets.y(set))))
                    .put(DNNL_ARG_SCALE, scale)
                    .put(DNNL_ARG_SHIFT, shift)
                    .put(DNNL_ARG_MEAN, mean)
                    .put(DNNL_ARG_VARIANCE, variance);
            if (workspace != null) {
                arguments[set].put(DNNL_ARG_WORKSPACE, workspace);
            }
        }
        if (!backward) {
            return call(primitive, arguments, sets);
        }
        primitive.execute(stream, arguments[0]); // all sets go by the statistics and the mask of the first
        stream._wait();
        batch_normalization_backward.primitive_desc description = new batch_normalization_backward.primitive_desc(
                engine, dnnl_backward, tensor, tensor, tensor, (float) Task.EPSILON, flags, forward);
        memory dgamma = vector(task.gamma());
        memory dbeta = vector(task.beta());
        for (int set = 0; set < arguments.length; set++) {
            arguments[set] = new IntMemoryMap()
                    .put(DNNL_ARG_SRC, new memory(tensor, engine, arena.nativeInput(sets.x(set))))
                    .put(DNNL_ARG_DIFF_DST, new memory(tensor, engine, arena.nativeInput(sets.dy(set))))
                    .put(DNNL_ARG_DIFF_SRC, new memory(tensor, engine, arena.nativeOutput(sets.dx(set))))
                    .put(DNNL_ARG_SCALE, scale)
                    .put(DNNL_ARG_MEAN, mean)
                    .put(DNNL_ARG_VARIANCE, variance)
                    .put(DNNL_ARG_DIFF_SCALE, dgamma)
                    .put(DNNL_ARG_DIFF_SHIFT, dbeta);
            if (workspace != null) {
                arguments[set].put(DNNL_ARG_WORKSPACE, workspace);
            }
        }
        return call(new batch_normalization_backward(description), arguments, sets);
    }

    /** The call that executes a primitive with the arguments of each set. */
    Call call(primitive primitive, IntMemoryMap[] arguments, Sets sets) {
        return new Call() {
            @Override
            public void run(int set) {
                primitive.execute(stream, arguments[set]);
                stream._wait();
            }

            @Override
            public float[] result() {
                run(0);
                float[] result = new float[sets.elements()];
                sets.arena().nativeOutput(sets.y(0)).get(result);
                return result;
            }
        };
    }

    static memory.desc tensor(Task task) {
        memory.format_tag tag =
                switch (task.form()) {
                    case CHANNELS_FIRST -> task.shape().rank() == 2 ? memory.format_tag.nc : memory.format_tag.nchw;
                    case CHANNELS_LAST -> memory.format_tag.nhwc;
                    case BLOCKED -> memory.format_tag.nChw16c;
                };
        return new memory.desc(task.shape().toArray(), memory.data_type.f32, tag);
    }

    memory vector(float[] values) {
        memory.desc description =
                new memory.desc(new long[] {values.length}, memory.data_type.f32, memory.format_tag.x);
        FloatPointer content = new FloatPointer(values);
        return new memory(description, engine, content);
    }
}
