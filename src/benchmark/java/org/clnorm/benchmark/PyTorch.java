package org.clnorm.benchmark;

import static org.bytedeco.pytorch.global.torch.from_blob;
import static org.bytedeco.pytorch.global.torch.native_batch_norm_backward;
import static org.bytedeco.pytorch.global.torch.native_batch_norm_out;
import static org.bytedeco.pytorch.global.torch.set_num_threads;

import org.bytedeco.javacpp.BoolPointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;

/** PyTorch on the CPU: the functions that its layer calls, without what the layer and autograd put around them. */
final class PyTorch implements Peer {
    @SuppressWarnings("unused") // acts while it lives
    private final NoGradGuard noGradients = new NoGradGuard();

    PyTorch(int threads) {
        set_num_threads(threads);
    }

    @Override
    public String name() {
        return "PyTorch";
    }

    @Override
    public boolean supports(Task task) {
        if (task.norm() != Norm.BATCH) {
            return PyTorchNorms.supports(task);
        }
        boolean fusedBackward = task.relu() && task.direction() == Direction.BACKWARD;
        return task.form() != Form.BLOCKED && !fusedBackward;
    }

    /** In the caller's scope, which frees it all. */
    @Override
    public Call prepare(Task task, Sets sets) {
        if (task.norm() != Norm.BATCH) {
            return PyTorchNorms.prepare(task, sets);
        }
        int count = sets.count();
        Arena arena = sets.arena();
        boolean backward = task.direction() == Direction.BACKWARD;
        Tensor[] x = new Tensor[count];
        Tensor[] second = new Tensor[count];
        Tensor[] y = new Tensor[count];
        for (int set = 0; set < count; set++) {
            x[set] = tensor(task, arena.nativeInput(sets.x(set)));
            second[set] = tensor(task, arena.nativeInput(sets.residual(set)));
            y[set] = tensor(task, arena.nativeOutput(sets.y(set)));
        }
        TensorOptional gamma = new TensorOptional(vector(task.gamma()));
        TensorOptional beta = new TensorOptional(vector(task.beta()));
        TensorOptional runningMean = new TensorOptional(vector(task.runningMean()));
        TensorOptional runningVariance = new TensorOptional(vector(task.runningVariance()));
        boolean inference = task.direction() == Direction.INFERENCE;
        Tensor mean = vector(new float[inference ? 0 : task.channels()]);
        Tensor invstd = vector(new float[inference ? 0 : task.channels()]);
        if (backward) {
            native_batch_norm_out(
                    y[0],
                    mean,
                    invstd,
                    x[0],
                    gamma,
                    beta,
                    runningMean,
                    runningVariance,
                    true,
                    Task.MOMENTUM,
                    Task.EPSILON);
        }
        TensorOptional savedMean = new TensorOptional(mean);
        TensorOptional savedInvstd = new TensorOptional(invstd);
        BoolPointer all = new BoolPointer(3).put(0, true).put(1, true).put(2, true);
        return new Call() {
            @Override
            public void run(int set) {
                try (PointerScope scope = new PointerScope()) {
                    compute(set);
                }
            }

            private T_TensorTensorTensor_T compute(int set) {
                if (backward) {
                    return native_batch_norm_backward(
                            second[set],
                            x[set],
                            gamma,
                            runningMean,
                            runningVariance,
                            savedMean,
                            savedInvstd,
                            true,
                            Task.EPSILON,
                            all);
                }
                T_TensorTensorTensor_T result = native_batch_norm_out(
                        y[set],
                        mean,
                        invstd,
                        x[set],
                        gamma,
                        beta,
                        runningMean,
                        runningVariance,
                        !inference,
                        Task.MOMENTUM,
                        Task.EPSILON);
                if (task.residual()) {
                    y[set].add_(second[set]);
                }
                if (task.relu()) {
                    y[set].relu_();
                }
                return result;
            }

            @Override
            public float[] result() {
                try (PointerScope scope = new PointerScope()) {
                    T_TensorTensorTensor_T computed = compute(0);
                    if (backward) {
                        y[0].copy_(computed.get0());
                    }
                }
                float[] result = new float[sets.elements()];
                arena.nativeOutput(sets.y(0)).get(result);
                return result;
            }
        };
    }

    private static Tensor tensor(Task task, FloatPointer at) {
        long[] dimensions = task.shape().toArray();
        if (task.form() == Form.CHANNELS_FIRST) {
            return from_blob(at, dimensions, new TensorOptions());
        }
        long channels = dimensions[1];
        long width = dimensions[3];
        long[] strides = {channels * dimensions[2] * width, 1, width * channels, channels};
        return from_blob(at, dimensions, strides, new TensorOptions());
    }

    private static Tensor vector(float[] values) {
        FloatPointer memory = new FloatPointer(Math.max(1, values.length));
        memory.put(values);
        return from_blob(memory, new long[] {values.length}, new TensorOptions());
    }
}
