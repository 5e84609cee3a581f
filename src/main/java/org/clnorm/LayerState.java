package org.clnorm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What of a layer is kept in a {@link StateDict}: its parameters and, where there are, its running statistics with their
 * count of batches. An array is found by its name, and must have the tensor's dimensions and a floating-point type.
 */
final class LayerState {
    /** Running statistics, vectors on the layer's device. */
    interface Tracked {
        Tensor mean();

        Tensor variance();

        /** How many batches each element of these holds. */
        Tensor absorbed();
    }

    /** Values that fit the layer and are yet to go there. */
    record Loading(Map<Tensor, float[]> values, long batches, StateDict.Difference difference) {
        /** Into the layer; returns how many batches its running statistics then hold. */
        long upload() {
            values.forEach(Tensor::upload);
            return batches;
        }
    }

    private static final String BATCHES = "num_batches_tracked";
    /** A count in float32 stays there, whatever is still added to it one by one. */
    private static final long MOST_ABSORBED = 1 << 24;

    /** Float32 vectors by name, in PyTorch's order. */
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();

    private final Tracked tracked;
    private final long batches;

    /** @param tracked null without running statistics; {@code batches} does not matter then */
    LayerState(List<Parameter> parameters, Tracked tracked, long batches) {
        parameters.forEach(parameter -> tensors.put(parameter.name(), parameter.value()));
        if (tracked != null) {
            tensors.put("running_mean", tracked.mean());
            tensors.put("running_var", tracked.variance());
        }
        this.tracked = tracked;
        this.batches = batches;
    }

    /** As it is now. */
    StateDict save() {
        Map<String, StateArray> arrays = new LinkedHashMap<>();
        tensors.forEach((name, tensor) ->
                arrays.put(name, StateArray.of(tensor.download(), tensor.shape().toArray())));
        if (tracked != null) {
            arrays.put(BATCHES, StateArray.scalar(batches));
        }
        return StateDict.of(arrays);
    }

    /**
     * What of a state is to go where.
     *
     * @param strict whether the state must have all that the layer has, but for the count of batches, and nothing else
     * @throws IllegalArgumentException when it does not fit; the message has all that is wrong
     */
    Loading check(StateDict state, boolean strict) {
        Set<String> known = new LinkedHashSet<>(tensors.keySet());
        if (tracked != null) {
            known.add(BATCHES);
        }
        StateDict.Difference difference = new StateDict.Difference(
                tensors.keySet().stream()
                        .filter(name -> state.get(name).isEmpty())
                        .toList(),
                state.names().stream().filter(name -> !known.contains(name)).toList());
        List<String> wrong = new ArrayList<>();
        if (strict && !difference.missing().isEmpty()) {
            wrong.add("missing are " + difference.missing());
        }
        if (strict && !difference.unexpected().isEmpty()) {
            wrong.add("unexpected are " + difference.unexpected());
        }
        tensors.forEach((name, tensor) -> state.get(name)
                .filter(array -> !array.type().isFloat()
                        || !array.hasDimensions(tensor.shape().toArray()))
                .ifPresent(
                        array -> wrong.add(name + " must be floating-point " + tensor.shape() + ", but is " + array)));
        Optional<StateArray> count = tracked == null ? Optional.empty() : state.get(BATCHES);
        count.filter(array -> !isCount(array))
                .ifPresent(array -> wrong.add(BATCHES + " must be an int64 scalar that is 0 or more, but is " + array
                        + (array.type() == StateArray.Type.INT64 && array.elements() == 1
                                ? " " + array.toLongs()[0]
                                : "")));
        if (!wrong.isEmpty()) {
            throw new IllegalArgumentException("The state does not fit a layer of " + known
                    + ", and nothing of it was loaded: " + String.join("; ", wrong));
        }
        return loading(state, count, difference);
    }

    private static boolean isCount(StateArray array) {
        return array.type() == StateArray.Type.INT64 && array.hasDimensions() && array.toLongs()[0] >= 0;
    }

    private Loading loading(StateDict state, Optional<StateArray> count, StateDict.Difference difference) {
        Map<Tensor, float[]> values = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> state.get(name).ifPresent(array -> values.put(tensor, array.toFloats())));
        if (count.isEmpty()) {
            return new Loading(values, batches, difference);
        }
        long loaded = count.get().toLongs()[0];
        float[] absorbed = new float[Math.toIntExact(tracked.absorbed().shape().elements())];
        Arrays.fill(absorbed, Math.min(loaded, MOST_ABSORBED));
        values.put(tracked.absorbed(), absorbed);
        return new Loading(values, loaded, difference);
    }
}
