package org.clnorm.verify;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.clnorm.BatchNorm;
import org.clnorm.ChannelNormalizer;
import org.clnorm.Device;
import org.clnorm.GroupNorm;
import org.clnorm.InstanceNorm;
import org.clnorm.L2Norm;
import org.clnorm.LastVirtualBatch;
import org.clnorm.LayerNorm;
import org.clnorm.Mask;
import org.clnorm.Normalizer;
import org.clnorm.RenormalizationSchedule;
import org.clnorm.RmsNorm;
import org.clnorm.RowNormalizer;
import org.clnorm.RunningAverage;
import org.clnorm.RunningNormalizer;
import org.clnorm.Tensor;
import org.clnorm.WeightNorm;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.CaseOptions;
import org.clnorm.cases.CaseOptions.MaskArray;
import org.clnorm.cases.CaseOptions.Mode;
import org.clnorm.state.NpyArray;

/** Computes a {@link CaseFile} on a device, through the API that training code uses. */
public final class CaseRunner {
    private final CaseFile file;
    private final Device device;
    private final Map<String, NpyArray> outputs = new LinkedHashMap<>();

    private CaseRunner(CaseFile file, Device device) {
        this.file = file;
        this.device = device;
    }

    /**
     * Computes all that the case's inputs allow.
     *
     * @return {@code y}; of x's own statistics {@code save_mean} and {@code save_invstd}, where the layer shows them and x
     *     is not empty: batch-norm without several virtual batches, batch-renorm, layer-norm of rows, and of rms-norm the second;
     *     where the case has running statistics {@code running_mean} and {@code running_var}; where it has {@code grad_y}
     *     also {@code grad_x} and, as far as it has their inputs, {@code grad_weight}, {@code grad_bias} and {@code
     *     grad_residual}; where the residual is added before, {@code sum}, of which {@code grad_x} is the gradient. Those of x's shape are in the memory order of the case's layout
     * @throws IllegalArgumentException when the device or the layer refuses the case; the message names the file
     */
    public static Map<String, NpyArray> run(CaseFile file, Device device) {
        CaseRunner runner = new CaseRunner(file, device);
        try (Normalizer layer = runner.layer()) {
            runner.run(layer);
        } catch (IllegalArgumentException | IllegalStateException e) {
            throw new IllegalArgumentException(file.name() + ": " + e.getMessage(), e);
        }
        return runner.outputs;
    }

    private Normalizer layer() {
        return switch (file.op()) {
            case BATCH_NORM -> {
                Long samples = file.options().virtualBatch();
                LastVirtualBatch last = file.options().lastVirtualBatch();
                BatchNorm.Builder builder = batchNorm().inPlace(file.options().inPlace());
                yield (samples == null
                                ? builder
                                : builder.virtualBatch(samples, last == null ? LastVirtualBatch.REFUSE : last))
                        .build(device);
            }
            case BATCH_RENORM ->
                batchNorm()
                        .renormalization(RenormalizationSchedule.constant(
                                file.options().rMax(), file.options().dMax()))
                        .build(device);
            case LAYER_NORM ->
                (file.isOverChannels() ? LayerNorm.overChannels(channels()) : LayerNorm.builder(file.row()))
                        .epsilon(file.options().epsilon())
                        .gamma(has("weight"))
                        .beta(has("bias"))
                        .activation(file.options().activation())
                        .build(device);
            case RMS_NORM ->
                RmsNorm.builder(file.row())
                        .epsilon(file.options().epsilon())
                        .gamma(has("weight"))
                        .activation(file.options().activation())
                        .build(device);
            case GROUP_NORM ->
                GroupNorm.builder(file.options().groups(), channels())
                        .epsilon(file.options().epsilon())
                        .gamma(has("weight"))
                        .beta(has("bias"))
                        .activation(file.options().activation())
                        .build(device);
            case INSTANCE_NORM ->
                InstanceNorm.builder(channels())
                        .epsilon(file.options().epsilon())
                        .gamma(has("weight"))
                        .beta(has("bias"))
                        .activation(file.options().activation())
                        .runningAverage(average())
                        .runningVariance(file.options().runningVariance())
                        .build(device);
            case WEIGHT_NORM ->
                WeightNorm.builder(file.shape().batch())
                        .epsilon(file.options().epsilon())
                        .build(device);
            case L2_NORM ->
                L2Norm.builder()
                        .dimensions(file.row().length)
                        .epsilon(file.options().epsilon())
                        .build(device);
        };
    }

    private BatchNorm.Builder batchNorm() {
        return BatchNorm.builder(channels())
                .epsilon(file.options().epsilon())
                .gamma(has("weight"))
                .beta(has("bias"))
                .activation(file.options().activation())
                .runningAverage(average())
                .runningVariance(file.options().runningVariance());
    }

    private int channels() {
        return Math.toIntExact(file.shape().channels());
    }

    private boolean has(String input) {
        return file.input(input).isPresent();
    }

    private RunningAverage average() {
        return has("running_mean") ? RunningAverage.exponential(file.options().updateRate()) : RunningAverage.none();
    }

    private void run(Normalizer layer) {
        // A weight-norm without a weight has lengths of 1, as the layer does.
        layer.gamma().filter(gamma -> has("weight")).ifPresent(gamma -> fill(gamma.value(), "weight"));
        layer.beta().ifPresent(beta -> fill(beta.value(), "bias"));
        if (layer instanceof RunningNormalizer tracking) {
            tracking.runningMean().ifPresent(mean -> fill(mean, "running_mean"));
            tracking.runningVariance().ifPresent(variance -> fill(variance, "running_var"));
        }
        if (file.options().mode() == Mode.EVAL) {
            layer.eval();
        }
        try (Mask mask = mask();
                Tensor x = upload("x");
                Tensor residual = upload("residual");
                Tensor sum = addsBefore() ? empty() : null;
                Tensor beside = file.options().inPlace() ? null : empty();
                Tensor dy = upload("grad_y");
                Tensor past = upload("grad_sum")) {
            Tensor y = beside == null ? x : beside;
            if (layer instanceof ChannelNormalizer channels) {
                channels.mask(mask);
            } else if (layer instanceof RowNormalizer rows) {
                rows.mask(mask);
            }
            if (sum != null && layer instanceof RowNormalizer rows) {
                rows.forwardAdding(x, residual, sum, y);
                put("sum", sum);
            } else {
                layer.forward(x, residual, y);
            }
            put("y", y);
            if (!file.isFrozen() && file.shape().elements() > 0) {
                putStatistics(layer);
            }
            if (layer instanceof RunningNormalizer tracking) {
                tracking.runningMean().ifPresent(mean -> put("running_mean", mean));
                tracking.runningVariance().ifPresent(variance -> put("running_var", variance));
            }
            if (dy != null) {
                backward(layer, dy, past, residual != null && sum == null);
            }
        }
    }

    private void putStatistics(Normalizer layer) {
        if (layer instanceof BatchNorm batch && CaseComparison.isOneBatch(file)) {
            put("save_mean", batch.savedMean());
            put("save_invstd", batch.savedInverseStandardDeviation());
        } else if (layer instanceof LayerNorm rows && !file.isOverChannels()) {
            put("save_mean", rows.savedMean());
            put("save_invstd", rows.savedInverseStandardDeviation());
        } else if (layer instanceof RmsNorm rows) {
            put("save_invstd", rows.savedInverseRootMeanSquare());
        }
    }

    /** Null where all steps take part. */
    private Mask mask() {
        if (file.options().mask() == null) {
            return null;
        }
        float[] values = file.input(file.options().mask().toString()).orElseThrow();
        Mask mask = Mask.of(
                device,
                Math.toIntExact(file.shape().batch()),
                Math.toIntExact(file.steps()),
                file.options().outside());
        if (file.options().mask() == MaskArray.LENGTHS) {
            int[] lengths = new int[values.length];
            Arrays.setAll(lengths, i -> (int) values[i]);
            mask.setLengths(lengths);
        } else {
            byte[] valid = new byte[values.length];
            for (int i = 0; i < valid.length; i++) {
                valid[i] = (byte) (values[i] == 0 ? 0 : 1);
            }
            mask.setBytes(valid);
        }
        return mask;
    }

    private boolean addsBefore() {
        return file.options().addition() == CaseOptions.Addition.BEFORE;
    }

    private void backward(Normalizer layer, Tensor dy, Tensor past, boolean hasResidual) {
        try (Tensor dx = empty();
                Tensor dresidual = hasResidual ? empty() : null) {
            if (past == null) {
                layer.backward(dy, dx, dresidual);
            } else {
                layer.backwardAdding(dy, past, dx, dresidual);
            }
            put("grad_x", dx);
            layer.gamma().filter(gamma -> has("weight")).ifPresent(gamma -> put("grad_weight", gamma.gradient()));
            layer.beta().ifPresent(beta -> put("grad_bias", beta.gradient()));
            if (hasResidual) {
                put("grad_residual", dresidual);
            }
        }
    }

    private void fill(Tensor tensor, String input) {
        tensor.upload(file.input(input).orElseThrow());
    }

    /** Null where there is no such input. */
    private Tensor upload(String input) {
        return file.input(input)
                .map(values ->
                        device.upload(values, file.shape(), file.options().layout()))
                .orElse(null);
    }

    private Tensor empty() {
        return device.tensor(file.shape(), file.options().layout());
    }

    private void put(String output, Tensor tensor) {
        outputs.put(output, NpyArray.of(tensor.download(), tensor.layout().memoryOrder(tensor.shape())));
    }
}
