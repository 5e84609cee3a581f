package org.clnorm.verify;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.clnorm.Device;
import org.clnorm.Optimizer;
import org.clnorm.Tensor;
import org.clnorm.cases.UpdateFile;
import org.clnorm.state.NpyArray;

/** Computes an {@link UpdateFile} on a device, through the API that training code uses. */
public final class UpdateRunner {
    private UpdateRunner() {}

    /**
     * Runs the optimizer for all steps, or clips.
     *
     * @return {@code parameter_K} after each step K; or {@code norm} and each {@code gradient_i}
     */
    public static Map<String, NpyArray> run(UpdateFile file, Device device) {
        return file.inputs().containsKey("parameter") ? steps(file, device) : clipped(file, device);
    }

    private static Map<String, NpyArray> steps(UpdateFile file, Device device) {
        NpyArray start = file.inputs().get("parameter");
        float[] gradients = file.inputs().get("gradients").toFloats();
        int elements = start.elements();
        Map<String, NpyArray> outputs = new LinkedHashMap<>();
        try (Tensor parameter = device.vector(start.toFloats());
                Tensor gradient = device.vector(new float[elements]);
                Optimizer optimizer = Optimizer.builder(file.rule())
                        .add("parameter", parameter, gradient)
                        .build(device)) {
            for (int step = 1; step * elements <= gradients.length; step++) {
                gradient.upload(Arrays.copyOfRange(gradients, (step - 1) * elements, step * elements));
                optimizer.step();
                outputs.put("parameter_" + step, NpyArray.of(parameter.download(), start.dimensions()));
            }
        }
        return outputs;
    }

    private static Map<String, NpyArray> clipped(UpdateFile file, Device device) {
        Map<String, NpyArray> outputs = new LinkedHashMap<>();
        List<Tensor> tensors = new ArrayList<>();
        try {
            Optimizer.Builder builder = Optimizer.builder(file.rule()).clipNorm(file.maxNorm());
            Map<String, Tensor> gradients = new TreeMap<>();
            file.inputs().forEach((name, array) -> {
                Tensor value = device.vector(new float[array.elements()]);
                tensors.add(value);
                Tensor gradient = device.vector(array.toFloats());
                tensors.add(gradient);
                gradients.put(name, gradient);
                builder.add(name, value, gradient);
            });
            try (Optimizer optimizer = builder.build(device)) {
                optimizer.clipGradients();
                outputs.put("norm", NpyArray.of(new float[] {(float) optimizer.gradientNorm()}, 1));
            }
            gradients.forEach((name, gradient) -> outputs.put(
                    name,
                    NpyArray.of(gradient.download(), file.inputs().get(name).dimensions())));
            return outputs;
        } finally {
            tensors.forEach(Tensor::close);
        }
    }
}
