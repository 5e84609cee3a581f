package org.clnorm.benchmark;

import static org.bytedeco.pytorch.global.torch.from_blob;
import static org.bytedeco.pytorch.global.torch.native_batch_norm_backward;
import static org.bytedeco.pytorch.global.torch.native_batch_norm_out;
import static org.bytedeco.pytorch.global.torch.native_group_norm;
import static org.bytedeco.pytorch.global.torch.native_group_norm_backward;
import static org.bytedeco.pytorch.global.torch.native_layer_norm;
import static org.bytedeco.pytorch.global.torch.native_layer_norm_backward;
import static org.bytedeco.pytorch.global.torch.normalize;
import static org.bytedeco.pytorch.global.torch.rms_norm;

import org.bytedeco.javacpp.BoolPointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;

/** PyTorch's normalizations but batch normalization; all but instance normalization's forward pass allocate their result. */
final class PyTorchNorms {
    /** A pass over a set: y or dx. */
    private interface Pass {
        Tensor of(int set);
    }

    private final Task task;
    private final Sets sets;
    private final Tensor[] x;
    private final Tensor[] dy;
    private final Tensor[] y;
    private final TensorOptional gamma;
    private final TensorOptional beta;
    private final BoolPointer all = new BoolPointer(3).put(0, true).put(1, true).put(2, true);

    private PyTorchNorms(Task task, Sets sets) {
        this.task = task;
        this.sets = sets;
        Arena arena = sets.arena();
        x = new Tensor[sets.count()];
        dy = new Tensor[sets.count()];
        y = new Tensor[sets.count()];
        for (int set = 0; set < x.length; set++) {
            x[set] = tensor(arena.nativeInput(sets.x(set)));
            dy[set] = tensor(arena.nativeInput(sets.dy(set)));
            y[set] = tensor(arena.nativeOutput(sets.y(set)));
        }
        gamma = new TensorOptional(vector(task.gamma()));
        beta = new TensorOptional(vector(task.beta()));
    }

    static boolean supports(Task task) {
        boolean forward = task.direction() == Direction.FORWARD;
        return switch (task.norm()) {
            case LAYER -> true;
            case GROUP -> task.form() != Form.BLOCKED;
            case INSTANCE -> task.form() == Form.CHANNELS_FIRST;
            case RMS, L2 -> forward; // the gradient is autograd's, from several operations
            default -> false;
        };
    }

    /** In the caller's scope, which frees it all. */
    static Peer.Call prepare(Task task, Sets sets) {
        PyTorchNorms norms = new PyTorchNorms(task, sets);
        Pass pass = task.direction() == Direction.BACKWARD ? norms.backward() : norms.forward();
        return new Peer.Call() {
            @Override
            public void run(int set) {
                try (PointerScope scope = new PointerScope()) {
                    pass.of(set);
                }
            }

            @Override
            public float[] result() {
                try (PointerScope scope = new PointerScope()) {
                    norms.y[0].copy_(pass.of(0));
                }
                float[] result = new float[sets.elements()];
                sets.arena().nativeOutput(sets.y(0)).get(result);
                return result;
            }
        };
    }

    private Pass forward() {
        DoubleOptional epsilon = new DoubleOptional(Task.EPSILON);
        return switch (task.norm()) {
            case LAYER, GROUP -> set -> normalized(set).get0();
            case RMS -> set -> rms_norm(x[set], row(), gamma, epsilon);
            case L2 -> set -> normalize(x[set]);
            case INSTANCE -> {
                Instances instances = new Instances();
                yield instances::forward;
            }
            default -> throw new IllegalArgumentException("PyTorch is not asked for " + task);
        };
    }

    private Pass backward() {
        if (task.norm() == Norm.INSTANCE) {
            Instances instances = new Instances();
            instances.forward(0); // all sets go by the statistics of the first
            return instances::backward;
        }
        T_TensorTensorTensor_T first = normalized(0);
        Tensor mean = first.get1();
        Tensor invstd = first.get2();
        return task.norm() == Norm.LAYER
                ? set -> native_layer_norm_backward(dy[set], x[set], row(), mean, invstd, gamma, beta, all)
                        .get0()
                : set -> native_group_norm_backward(
                                dy[set],
                                x[set],
                                mean,
                                invstd,
                                gamma,
                                task.batch(),
                                task.channels(),
                                task.spatial(),
                                Norm.GROUPS,
                                all)
                        .get0();
    }

    private T_TensorTensorTensor_T normalized(int set) {
        return task.norm() == Norm.LAYER
                ? native_layer_norm(x[set], row(), gamma, beta, Task.EPSILON)
                : native_group_norm(
                        x[set], gamma, beta, task.batch(), task.channels(), task.spatial(), Norm.GROUPS, Task.EPSILON);
    }

    private long[] row() {
        return new long[] {task.channels()};
    }

    /** As its layer does it: batch normalization of (1, N·C, H, W), γ and β repeated, which is done beforehand here. */
    private final class Instances {
        private final Tensor[] in = views(x);
        private final Tensor[] gradients = views(dy);
        private final Tensor[] out = views(y);
        private final TensorOptional scale = repeated(task.gamma());
        private final TensorOptional shift = repeated(task.beta());
        private final TensorOptional none = new TensorOptional();
        private final Tensor mean = vector(new float[task.batch() * task.channels()]);
        private final Tensor invstd = vector(new float[task.batch() * task.channels()]);
        private final TensorOptional savedMean = new TensorOptional(mean);
        private final TensorOptional savedInvstd = new TensorOptional(invstd);

        Tensor forward(int set) {
            native_batch_norm_out(
                    out[set], mean, invstd, in[set], scale, shift, none, none, true, Task.MOMENTUM, Task.EPSILON);
            return y[set];
        }

        Tensor backward(int set) {
            return native_batch_norm_backward(
                            gradients[set], in[set], scale, none, none, savedMean, savedInvstd, true, Task.EPSILON, all)
                    .get0()
                    .view(task.shape().toArray());
        }

        private Tensor[] views(Tensor[] tensors) {
            long[] dimensions = task.shape().toArray();
            Tensor[] views = new Tensor[tensors.length];
            for (int set = 0; set < views.length; set++) {
                views[set] = tensors[set].view(1, dimensions[0] * dimensions[1], dimensions[2], dimensions[3]);
            }
            return views;
        }

        private TensorOptional repeated(float[] values) {
            float[] all = new float[task.batch() * values.length];
            for (int n = 0; n < task.batch(); n++) {
                System.arraycopy(values, 0, all, n * values.length, values.length);
            }
            return new TensorOptional(vector(all));
        }
    }

    private Tensor tensor(FloatPointer at) {
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
        FloatPointer memory = new FloatPointer(values);
        return from_blob(memory, new long[] {values.length}, new TensorOptions());
    }
}
