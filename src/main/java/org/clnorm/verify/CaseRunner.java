package org.clnorm.verify;

import java.util.LinkedHashMap;
import java.util.Map;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.RunningAverage;
import org.clnorm.Tensor;
import org.clnorm.io.CaseFile;
import org.clnorm.io.CaseOptions;
import org.clnorm.io.CaseOptions.Mode;
import org.clnorm.io.NpyArray;

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
     * @return {@code y}; in training mode {@code save_mean} and {@code save_invstd}, unless the batch is empty; where the
     *     case has running statistics {@code running_mean} and {@code running_var}; where it has {@code grad_y} also
     *     {@code grad_x} and, as far as it has their inputs, {@code grad_weight}, {@code grad_bias} and {@code
     *     grad_residual}. Those of x's shape are in the memory order of the case's layout
     * @throws IllegalArgumentException when the device or the layer refuses the case; the message names the file
     */
    public static Map<String, NpyArray> run(CaseFile file, Device device) {
        CaseRunner runner = new CaseRunner(file, device);
        try (BatchNorm layer = runner.layer()) {
            runner.run(layer);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(file.name() + ": " + e.getMessage(), e);
        }
        return runner.outputs;
    }

    private BatchNorm layer() {
        CaseOptions options = file.options();
        return BatchNorm.builder(Math.toIntExact(file.shape().channels()))
                .epsilon(options.epsilon())
                .scale(file.input("weight").isPresent())
                .shift(file.input("bias").isPresent())
                .activation(options.activation())
                .runningAverage(
                        file.input("running_mean").isPresent()
                                ? RunningAverage.exponential(options.updateRate())
                                : RunningAverage.none())
                .runningVariance(options.runningVariance())
                .build(device);
    }

    private void run(BatchNorm layer) {
        layer.gamma().ifPresent(gamma -> fill(gamma.value(), "weight"));
        layer.beta().ifPresent(beta -> fill(beta.value(), "bias"));
        layer.runningMean().ifPresent(mean -> fill(mean, "running_mean"));
        layer.runningVariance().ifPresent(variance -> fill(variance, "running_var"));
        boolean training = file.options().mode() == Mode.TRAIN;
        if (!training) {
            layer.eval();
        }
        try (Tensor x = upload("x");
                Tensor residual = upload("residual");
                Tensor y = empty();
                Tensor dy = upload("grad_y")) {
            layer.forward(x, residual, y);
            put("y", y);
            if (training && file.shape().elements() > 0) {
                put("save_mean", layer.savedMean());
                put("save_invstd", layer.savedInverseStandardDeviation());
            }
            layer.runningMean().ifPresent(mean -> put("running_mean", mean));
            layer.runningVariance().ifPresent(variance -> put("running_var", variance));
            if (dy != null) {
                backward(layer, dy, residual != null);
            }
        }
    }

    private void backward(BatchNorm layer, Tensor dy, boolean hasResidual) {
        try (Tensor dx = empty();
                Tensor dresidual = hasResidual ? empty() : null) {
            layer.backward(dy, dx, dresidual);
            put("grad_x", dx);
            layer.gamma().ifPresent(gamma -> put("grad_weight", gamma.gradient()));
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
