package org.clnorm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.clnorm.state.StateNames;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What of a layer is kept in a {@link StateDict}: its parameters and, where there are, its running statistics with
 * their count of batches. An array is found by its name, and must have a floating-point type and the tensor's
 * dimensions, but for some of 1: (1, C, 1, 1) is C, as some programs have it for broadcasting. A count is one whole
 * number of any type.
 */
final class LayerState {
    /** Running statistics, vectors on the layer's device. */
    interface Tracked {
        Tensor mean();

        Tensor variance();

        /** How many batches each element of the running statistics holds. */
        Tensor absorbed();
    }

    /** Values that fit the layer and are yet to go there. */
    record Loading(Map<Tensor, float[]> values, long batches, StateDict.Difference difference) {
        /** Puts the values into the layer; returns how many batches its running statistics then hold. */
        long upload() {
            values.forEach(Tensor::upload);
            return batches;
        }
    }

    private static final Logger log = LoggerFactory.getLogger(LayerState.class);

    private static final String BATCHES = "num_batches_tracked";
    /** How many names a message lists at most; the next says the same of prefixes. */
    private static final int MOST_NAMES = 10;

    private static final int MOST_PREFIXES = 3;
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

    /** The layer's state as it is now. */
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
     * Finds what of a state is to go where.
     *
     * @param strict whether the state must have all that the layer has, but for the count of batches, and nothing else
     * @throws IllegalArgumentException when the state does not fit; the message has all that is wrong
     */
    Loading check(StateDict state, boolean strict) {
        Objects.requireNonNull(state, "state");
        List<String> wrong = problems(state, strict);
        if (!wrong.isEmpty()) {
            throw new IllegalArgumentException("The state does not fit a layer of " + known()
                    + ", and nothing of it was loaded: " + String.join("; ", wrong));
        }
        return loading(state, count(state).map(LayerState::count), difference(state));
    }

    /** All that keeps a state from being loaded; see {@link #check}. */
    List<String> problems(StateDict state, boolean strict) {
        StateDict.Difference difference = difference(state);
        List<String> wrong = new ArrayList<>();
        if (strict && !difference.missing().isEmpty()) {
            wrong.add("missing are " + some(difference.missing())
                    + convention(state)
                            .map(names -> " (did you mean .fromNames(StateNames." + names + ")?)")
                            .orElseGet(() -> suggestion(state)));
        }
        if (strict && !difference.unexpected().isEmpty()) {
            wrong.add("unexpected are " + some(difference.unexpected()));
        }
        tensors.forEach((name, tensor) -> state.get(name).ifPresent(array -> problem(array, tensor)
                .ifPresent(problem -> wrong.add(name + " must " + problem + ", but is " + array))));
        count(state)
                .filter(array -> count(array) < 0)
                .ifPresent(array -> wrong.add(BATCHES + " must be one whole number that is 0 or more, but is " + array
                        + (array.elements() == 1 ? " " + number(array) : "")));
        return wrong;
    }

    /** The names of all that the layer has. */
    private Set<String> known() {
        Set<String> known = new LinkedHashSet<>(tensors.keySet());
        if (tracked != null) {
            known.add(BATCHES);
        }
        return known;
    }

    private StateDict.Difference difference(StateDict state) {
        Set<String> known = known();
        return new StateDict.Difference(
                tensors.keySet().stream()
                        .filter(name -> state.get(name).isEmpty())
                        .toList(),
                state.names().stream().filter(name -> !known.contains(name)).toList());
    }

    private Optional<StateArray> count(StateDict state) {
        return tracked == null ? Optional.empty() : state.get(BATCHES);
    }

    private static String some(List<String> names) {
        return names.size() <= MOST_NAMES
                ? names.toString()
                : names.subList(0, MOST_NAMES) + " and " + (names.size() - MOST_NAMES) + " more";
    }

    /** Whose names the state has, if another program's were all that is wrong with it. */
    private Optional<StateNames> convention(StateDict state) {
        return Arrays.stream(StateNames.values())
                .filter(names -> names != StateNames.PYTORCH)
                .filter(names -> {
                    try {
                        StateDict renamed = state.fromNames(names);
                        return difference(renamed).isEmpty()
                                && problems(renamed, false).isEmpty();
                    } catch (IllegalArgumentException e) {
                        return false;
                    }
                })
                .findFirst();
    }

    /** Where the layer's arrays are, if the names are there under a prefix. */
    private String suggestion(StateDict state) {
        List<String> prefixes = state.prefixesOf(List.copyOf(tensors.keySet())).stream()
                .filter(prefix -> tensors.entrySet().stream().allMatch(entry -> state.get(prefix + "." + entry.getKey())
                        .flatMap(array -> problem(array, entry.getValue()))
                        .isEmpty()))
                .toList();
        if (prefixes.isEmpty()) {
            return "";
        }
        return prefixes.stream()
                        .limit(MOST_PREFIXES)
                        .map(prefix -> ".under(\"" + prefix + "\")")
                        .collect(Collectors.joining(" or ", " (did you mean ", ""))
                + (prefixes.size() > MOST_PREFIXES
                        ? ", or one of " + (prefixes.size() - MOST_PREFIXES) + " more prefixes?)"
                        : "?)");
    }

    /** What an array must be and is not, if it cannot be loaded into a tensor. */
    private static Optional<String> problem(StateArray array, Tensor tensor) {
        List<String> must = new ArrayList<>();
        if (!array.type().isFloat()) {
            must.add("be of a floating-point type");
        }
        if (!Arrays.equals(
                withoutOnes(array.dimensions()), withoutOnes(tensor.shape().toArray()))) {
            must.add("have the shape " + tensor.shape());
        }
        return must.isEmpty() ? Optional.empty() : Optional.of(String.join(" and ", must));
    }

    private static long[] withoutOnes(long[] dimensions) {
        return Arrays.stream(dimensions).filter(d -> d != 1).toArray();
    }

    /** The count of batches in an array; −1 for what is no count. */
    private static long count(StateArray array) {
        if (array.elements() != 1) {
            return -1;
        }
        if (!array.type().isFloat()) {
            return array.toLongs()[0];
        }
        double count = array.toDoubles()[0];
        return count == Math.rint(count) && count < 0x1p63 ? (long) count : -1;
    }

    private static Number number(StateArray array) {
        return array.type().isFloat() ? (Number) array.toDoubles()[0] : (Number) array.toLongs()[0];
    }

    private Loading loading(StateDict state, Optional<Long> count, StateDict.Difference difference) {
        Map<Tensor, float[]> values = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> state.get(name).ifPresent(array -> {
            if (!Arrays.equals(array.dimensions(), tensor.shape().toArray())) {
                log.info("{}, {}, is loaded as {}", name, array, tensor.shape());
            }
            values.put(tensor, array.toFloats());
        }));
        if (count.isEmpty()) {
            return new Loading(values, batches, difference);
        }
        long loaded = count.get();
        float[] absorbed = new float[Math.toIntExact(tracked.absorbed().shape().elements())];
        Arrays.fill(absorbed, Math.min(loaded, MOST_ABSORBED));
        values.put(tracked.absorbed(), absorbed);
        return new Loading(values, loaded, difference);
    }
}
