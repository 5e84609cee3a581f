package org.clnorm.check;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.clnorm.Layout;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Operation;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;

/** A case as a file that {@code clnorm compare} takes: the inputs, and as what is expected what the kernel wrote. */
final class SavedCase {
    private final CheckCase c;
    private final Binding binding;
    private final Map<Part, float[]> inputs;

    SavedCase(CheckCase c, Map<Part, float[]> inputs) {
        this.c = c;
        this.binding = c.binding();
        this.inputs = inputs;
    }

    /**
     * Writes it.
     *
     * @param outputs what the kernel wrote; empty where it did not come to that
     */
    void write(Path file, Map<Part, float[]> outputs) throws IOException {
        Map<String, NpyArray> arrays = new LinkedHashMap<>();
        byte[] options = options().toString().getBytes(StandardCharsets.UTF_8);
        arrays.put("case", NpyArray.of(options, options.length));
        inputs.forEach((part, values) -> {
            String name = nameOf(part);
            if (name != null) {
                arrays.put(name, NpyArray.of(values, dimensions(part)));
            }
        });
        if (binding.direction() == Direction.INFERENCE && !inputs.containsKey(Part.VARIANCE)) {
            arrays.put(
                    "running_var",
                    NpyArray.of(varianceOfInvstd(), c.dimensions().channels()));
        }
        // Without parameters there are no gradients by them.
        if (outputs.containsKey(Part.DGAMMA)) {
            arrays.putIfAbsent("weight", parameters(1));
        }
        if (outputs.containsKey(Part.DBETA)) {
            arrays.putIfAbsent("bias", parameters(0));
        }
        outputs.forEach((part, values) -> {
            boolean ofGroups = part.size == Part.Size.GROUP && binding.operation() != Operation.BATCH_NORM;
            if (part.inCase != null && !ofGroups) {
                arrays.put(part.inCase, NpyArray.of(values, dimensions(part)));
            }
        });
        Npz.write(file, arrays);
    }

    private NpyArray parameters(float value) {
        float[] values = new float[c.dimensions().channels()];
        Arrays.fill(values, value);
        return NpyArray.of(values, values.length);
    }

    private float[] varianceOfInvstd() {
        float[] invstd = inputs.get(Part.INVSTD);
        float[] variance = new float[c.dimensions().channels()];
        for (int i = 0; i < variance.length; i++) {
            variance[i] = invstd == null ? 1 : (float) (1 / ((double) invstd[i] * invstd[i]) - binding.epsilon());
        }
        return variance;
    }

    /** An input's name in case files; statistics of x itself are not handed in there. */
    private String nameOf(Part part) {
        boolean inference = binding.direction() == Direction.INFERENCE;
        return switch (part) {
            case MEAN -> inference ? "running_mean" : null;
            case VARIANCE -> inference ? "running_var" : null;
            case INVSTD -> null;
            case RUNNING_MEAN -> inputs.containsKey(Part.RUNNING_VARIANCE) ? "running_mean" : null;
            case RUNNING_VARIANCE -> inputs.containsKey(Part.RUNNING_MEAN) ? "running_var" : null;
            default -> part.inCase;
        };
    }

    private JsonObject options() {
        JsonObject options = new JsonObject();
        options.addProperty("op", binding.operation().toString());
        options.addProperty("mode", binding.direction() == Direction.INFERENCE ? "eval" : "train");
        options.addProperty("eps", binding.epsilon());
        if (binding.operation().isOfRows()) {
            options.addProperty("normalized_dims", 1);
        } else {
            options.addProperty("layout", binding.layout().toString());
        }
        if (binding.operation() == Operation.GROUP_NORM) {
            options.addProperty("groups", c.dimensions().groups());
        }
        if (binding.has(Part.RUNNING_MEAN) || binding.has(Part.RUNNING_VARIANCE)) {
            options.addProperty("update_rate", binding.momentum());
            options.addProperty("running_variance", binding.unbiased() ? "unbiased" : "biased");
        }
        return options;
    }

    private long[] dimensions(Part part) {
        Dimensions d = c.dimensions();
        if (part.size != Part.Size.TENSOR) {
            return new long[] {d.channels()};
        }
        if (d.spatial() == 1) {
            return new long[] {d.samples(), d.channels()};
        }
        return c.layout() == Layout.CHANNELS_FIRST
                ? new long[] {d.samples(), d.channels(), d.spatial()}
                : new long[] {d.samples(), d.spatial(), d.channels()};
    }
}
