package org.clnorm.state;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.DoubleUnaryOperator;

/**
 * What other programs call the arrays of a normalization layer. {@link StateDict#fromNames} and
 * {@link StateDict#toNames} rename by it; a layer's own names are {@link #PYTORCH}'s.
 *
 * <table>
 * <caption>Names; where there are two, both are read and the first is written</caption>
 * <tr><th></th><th>γ</th><th>β</th><th>running mean</th><th>running variance</th><th>count of batches</th></tr>
 * <tr><td>PyTorch</td><td>weight</td><td>bias</td><td>running_mean</td><td>running_var</td>
 * <td>num_batches_tracked</td></tr>
 * <tr><td>Keras</td><td>gamma, scale</td><td>beta</td><td>moving_mean</td><td>moving_variance</td><td></td></tr>
 * <tr><td>ONNX</td><td>scale, Scale</td><td>B, bias</td><td>input_mean, mean</td><td>input_var, var</td><td></td></tr>
 * <tr><td>DL4J</td><td>gamma</td><td>beta</td><td>mean</td><td>log10stdev, var</td><td></td></tr>
 * </table>
 */
public enum StateNames {
    /** PyTorch's, and this library's own. */
    PYTORCH(
            List.of("weight"),
            List.of("bias"),
            List.of("running_mean"),
            List.of("running_var"),
            List.of("num_batches_tracked")),
    /** Those of Keras; its RMS normalization alone calls γ {@code scale}. */
    KERAS(List.of("gamma", "scale"), List.of("beta"), List.of("moving_mean"), List.of("moving_variance"), List.of()),
    /**
     * The inputs of ONNX's operators: of BatchNormalization from version 14 on and before it, and of
     * InstanceNormalization, GroupNormalization and LayerNormalization. The initializers of a model are called whatever
     * its exporter called them: PyTorch's keeps PyTorch's names.
     */
    ONNX(
            List.of("scale", "Scale"),
            List.of("B", "bias"),
            List.of("input_mean", "mean"),
            List.of("input_var", "var"),
            List.of()),
    /**
     * The parameters of DL4J's BatchNormalization, whose running variance is the logarithm to base 10 of the standard
     * deviation ({@code log10stdev}) unless {@code useLogStd(false)} says that it is the variance ({@code var}). Reading
     * takes both, writing makes the former: the values are converted in double precision. In float32 a variance from
     * 1e-8 to 1e8 comes back from there to within 1e-6 of itself.
     */
    DL4J(List.of("gamma"), List.of("beta"), List.of("mean"), List.of("log10stdev", "var"), List.of());

    private static final String LOG_DEVIATION = "log10stdev";

    /** Names by what they are of, as {@code PYTORCH} has it: first the one that is written. */
    private final List<List<String>> names;

    StateNames(
            List<String> gamma,
            List<String> beta,
            List<String> runningMean,
            List<String> runningVariance,
            List<String> batches) {
        this.names = List.of(gamma, beta, runningMean, runningVariance, batches);
    }

    /** What another convention calls what this one calls so; none where it has no such array. */
    private Optional<String> in(StateNames other, String name) {
        for (int i = 0; i < names.size(); i++) {
            if (names.get(i).contains(name)) {
                return other.names.get(i).stream().findFirst();
            }
        }
        return Optional.empty();
    }

    private boolean has(String name) {
        return names.stream().anyMatch(each -> each.contains(name));
    }

    /**
     * The arrays of layers under another convention's names; what that has no name for is left out.
     *
     * @throws IllegalArgumentException where a name is none of this convention's, two are of the same array, or a
     *     deviation's logarithm is of an integer type; the message has all that is wrong
     */
    Map<String, StateArray> renamed(Map<String, StateArray> arrays, StateNames to) {
        Map<String, StateArray> renamed = new LinkedHashMap<>();
        Map<String, String> origins = new LinkedHashMap<>();
        List<String> unknown = new ArrayList<>();
        List<String> wrong = new ArrayList<>();
        arrays.forEach((name, array) -> {
            int prefix = name.lastIndexOf('.') + 1;
            String last = name.substring(prefix);
            if (!has(last)) {
                unknown.add(name);
                return;
            }
            in(to, last).ifPresent(other -> {
                String whole = name.substring(0, prefix) + other;
                String before = origins.put(whole, name);
                if (before != null) {
                    wrong.add(before + " and " + name + " are both " + whole);
                }
                boolean converts = last.equals(LOG_DEVIATION) != other.equals(LOG_DEVIATION);
                if (converts && !array.type().isFloat()) {
                    wrong.add(name + " must be of a floating-point type, but is " + array);
                    return;
                }
                DoubleUnaryOperator convert = last.equals(LOG_DEVIATION)
                        ? deviation -> Math.pow(10, 2 * deviation)
                        : variance -> Math.log10(variance) / 2;
                renamed.put(whole, converts ? converted(array, convert) : array);
            });
        });
        if (!unknown.isEmpty()) {
            wrong.add(0, "there are " + StateDict.some(unknown));
        }
        if (!wrong.isEmpty()) {
            throw new IllegalArgumentException("The names must be " + this + "'s, each "
                    + names.stream().flatMap(List::stream).toList() + " after any prefix and its dot, but "
                    + String.join("; ", wrong)
                    + (unknown.isEmpty() ? "" : "; take out the layers first, as with under(prefix)"));
        }
        return renamed;
    }

    /** In float64 if it was, else in float32, which is as exact as a layer is. */
    private static StateArray converted(StateArray array, DoubleUnaryOperator convert) {
        double[] values = Arrays.stream(array.toDoubles()).map(convert).toArray();
        if (array.type() == StateArray.Type.FLOAT64) {
            return StateArray.of(values, array.dimensions());
        }
        float[] rounded = new float[values.length];
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] = (float) values[i];
        }
        return StateArray.of(rounded, array.dimensions());
    }
}
