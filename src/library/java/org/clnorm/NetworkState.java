package org.clnorm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.clnorm.state.StateDict;
import org.clnorm.state.StateNames;

/**
 * The normalization layers of a network by name, saved and loaded together. The network's other arrays, such as the
 * weights of its convolutions, may be in the same file, and are left alone.
 *
 * <pre>{@code
 * StateDict checkpoint = Safetensors.read(file);
 * List<String> names = checkpoint.prefixesLike("layer{i}.{j}.bn{k}"); // layer1.0.bn1, layer1.0.bn2, layer1.1.bn1, ...
 * NetworkState.of(names, layers).load(checkpoint);
 * }</pre>
 *
 * <p>The layers stay their owner's, who closes them.
 */
public final class NetworkState {
    /** How many layers, or names, a message lists at most. */
    private static final int MOST = 10;

    private final Map<String, Layer> layers;

    private NetworkState(Map<String, Layer> layers) {
        this.layers = Collections.unmodifiableMap(layers);
        Map<Layer, String> names = new LinkedHashMap<>();
        layers.forEach((name, layer) -> {
            StateDict.empty().withPrefix(name); // which refuses what is no prefix
            String before = names.put(layer, name);
            if (before != null) {
                throw new IllegalArgumentException(
                        "layers must have each layer once, but " + before + " and " + name + " are the same one");
            }
        });
    }

    /**
     * Layers by name.
     *
     * @param layers each layer under its prefix in a file, such as {@code layer1.0.bn1}; the map is copied, in its order
     * @throws IllegalArgumentException when a layer is there twice, or a name is empty, ends in a dot, has control
     *     characters or is no Unicode
     */
    public static NetworkState of(Map<String, ? extends Layer> layers) {
        Objects.requireNonNull(layers, "layers");
        Map<String, Layer> copy = new LinkedHashMap<>();
        layers.forEach((name, layer) -> copy.put(
                Objects.requireNonNull(name, "layers has a null name"),
                Objects.requireNonNull(layer, () -> "layers has null for " + name)));
        return new NetworkState(copy);
    }

    /**
     * Layers by name, the first name being that of the first layer.
     *
     * @param names the layers' prefixes in a file, such as {@link StateDict#prefixesLike} finds them
     * @param layers as many layers
     * @throws IllegalArgumentException when there are more of the one than of the other, a name or a layer is there
     *     twice, or a name is empty, ends in a dot, has control characters or is no Unicode
     */
    public static NetworkState of(List<String> names, List<? extends Layer> layers) {
        Objects.requireNonNull(names, "names").forEach(each -> Objects.requireNonNull(each, "names has null in it"));
        Objects.requireNonNull(layers, "layers").forEach(each -> Objects.requireNonNull(each, "layers has null in it"));
        if (names.size() != layers.size()) {
            throw new IllegalArgumentException("There must be a name for each layer, but for " + layers.size()
                    + " layers given were " + names.size() + " names: "
                    + names.stream().limit(MOST).toList()
                    + (names.size() > MOST ? " and " + (names.size() - MOST) + " more" : ""));
        }
        Map<String, Layer> byName = new LinkedHashMap<>();
        for (int i = 0; i < names.size(); i++) {
            if (byName.put(names.get(i), layers.get(i)) != null) {
                throw new IllegalArgumentException(
                        "names must have each name once, but has " + names.get(i) + " twice");
            }
        }
        return new NetworkState(byName);
    }

    /** The layers by name, in order; the map cannot be changed. */
    public Map<String, Layer> layers() {
        return layers;
    }

    /**
     * The state of all layers as it is now, each under its name; see {@link Layer#stateDict}. A parameter that layers
     * share is there under the names of all of them. Waits for the device.
     *
     * @throws IllegalStateException when a layer is closed, or in the middle of another call
     */
    public StateDict stateDict() {
        StateDict all = StateDict.empty();
        for (Map.Entry<String, Layer> entry : layers.entrySet()) {
            all = all.merge(entry.getValue().stateDict().withPrefix(entry.getKey()));
        }
        return all;
    }

    /**
     * Loads a state that has PyTorch's names; see {@link #load(StateDict, StateNames)}.
     *
     * @param state arrays of the layers, each under its name, and any others
     * @throws IllegalArgumentException when a layer's arrays do not fit it, or a shared parameter's are not the same;
     *     nothing was changed
     * @throws IllegalStateException when a layer is closed, or in the middle of another call
     */
    public void load(StateDict state) {
        load(state, StateNames.PYTORCH);
    }

    /**
     * Loads all layers from a state, each as {@link Layer#loadState} does from what is under its name. What is under no
     * layer's name is left alone. A parameter that layers share is under the names of all of them, and must be the same
     * there.
     *
     * @param state arrays of the layers, each under its name, and any others
     * @param names whose names the arrays of the layers have, after the prefix
     * @throws IllegalArgumentException when a layer's arrays do not fit it, or a shared parameter's are not the same; the
     *     message has what is wrong with each such layer, and no layer was changed
     * @throws IllegalStateException when a layer is closed, or in the middle of another call
     */
    public void load(StateDict state, StateNames names) {
        Objects.requireNonNull(state, "state");
        Objects.requireNonNull(names, "names");
        Map<Layer, StateDict> states = new LinkedHashMap<>();
        List<String> wrong = new ArrayList<>();
        layers.forEach((name, layer) -> {
            List<String> problems;
            try {
                StateDict own = state.under(name);
                if (names != StateNames.PYTORCH) {
                    own = own.fromNames(names);
                }
                states.put(layer, own);
                problems = layer.problemsOf(own);
            } catch (IllegalArgumentException e) {
                problems = List.of(e.getMessage());
            }
            if (!problems.isEmpty()) {
                wrong.add(name + ": " + String.join("; ", problems));
            }
        });
        if (wrong.isEmpty()) {
            wrong.addAll(contradictions(states));
        }
        if (!wrong.isEmpty()) {
            throw new IllegalArgumentException("The state does not fit " + wrong.size() + " of " + layers.size()
                    + " layers, and nothing of it was loaded: "
                    + String.join(". ", wrong.subList(0, Math.min(MOST, wrong.size())))
                    + (wrong.size() > MOST ? ". " + (wrong.size() - MOST) + " more" : ""));
        }
        states.forEach(Layer::loadState);
    }

    /** What states that fit have of parameters that layers share, where it is not the same. */
    private List<String> contradictions(Map<Layer, StateDict> states) {
        Map<Parameter, String> found = new HashMap<>();
        List<String> wrong = new ArrayList<>();
        layers.forEach((name, layer) -> layer.parameters().forEach(parameter -> {
            String other = found.putIfAbsent(parameter, name);
            if (other != null
                    && !Arrays.equals(
                            valuesOf(parameter, states.get(layers.get(other))),
                            valuesOf(parameter, states.get(layer)))) {
                wrong.add(name + ": " + parameter.name() + " must be that of " + other
                        + ", since the layers share it, but has other values");
            }
        }));
        return wrong;
    }

    private static float[] valuesOf(Parameter parameter, StateDict state) {
        return state.get(parameter.name()).orElseThrow().toFloats();
    }

    /** The names of the layers and what they are. */
    @Override
    public String toString() {
        return layers.toString();
    }
}
