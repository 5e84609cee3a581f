package org.clnorm.state;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * The state of layers: arrays by name, in an order. Immutable. The names are PyTorch's: {@code weight} (γ),
 * {@code bias} (β), {@code running_mean}, {@code running_var} and {@code num_batches_tracked}, an int64 scalar; for
 * layers in layers with a prefix, as in {@code layer1.bn.weight}.
 *
 * <pre>{@code
 * StateDict all = first.stateDict().withPrefix("first").merge(second.stateDict().withPrefix("second"));
 * second.loadState(all.under("second"));
 * }</pre>
 *
 * <p>{@link #fromNames} takes what other programs call them, and {@link #toNames} gives it. For a whole network there is
 * {@link org.clnorm.NetworkState}.
 */
public final class StateDict {
    /**
     * What a layer and a state do not have in common.
     *
     * @param missing names that the layer has and the state has not
     * @param unexpected names that the state has and the layer has not
     */
    public record Difference(List<String> missing, List<String> unexpected) {
        /** Copies both lists. */
        public Difference {
            Objects.requireNonNull(missing, "missing")
                    .forEach(each -> Objects.requireNonNull(each, "missing has null in it"));
            missing = List.copyOf(missing);
            Objects.requireNonNull(unexpected, "unexpected")
                    .forEach(each -> Objects.requireNonNull(each, "unexpected has null in it"));
            unexpected = List.copyOf(unexpected);
        }

        /** Whether there is no difference. */
        public boolean isEmpty() {
            return missing.isEmpty() && unexpected.isEmpty();
        }
    }

    /** How many names a message lists at most. */
    private static final int MOST_NAMES = 10;

    private static final StateDict EMPTY = new StateDict(Map.of());

    private final Map<String, StateArray> arrays;
    /** The names that there were where {@link #under} found nothing, for whoever misses some. */
    private final Set<String> others;

    private StateDict(Map<String, StateArray> arrays) {
        this(arrays, Set.of());
    }

    private StateDict(Map<String, StateArray> arrays, Set<String> others) {
        this.arrays = Collections.unmodifiableMap(arrays);
        this.others = others;
    }

    /** A state without arrays. */
    public static StateDict empty() {
        return EMPTY;
    }

    /**
     * A state of the given arrays, in the map's order.
     *
     * @param arrays the arrays by name; the map is copied
     * @throws IllegalArgumentException for a name that is empty, has control characters or is no Unicode
     */
    public static StateDict of(Map<String, StateArray> arrays) {
        Objects.requireNonNull(arrays, "arrays");
        Map<String, StateArray> copy = new LinkedHashMap<>();
        arrays.forEach((name, array) ->
                copy.put(checked(name), Objects.requireNonNull(array, () -> "arrays has null for " + name)));
        return new StateDict(copy);
    }

    private static String checked(String name) {
        if (Objects.requireNonNull(name, "name").isEmpty()) {
            throw new IllegalArgumentException("An array's name must not be empty");
        }
        // A code point that is a surrogate is one without its other half.
        if (name.codePoints().anyMatch(c -> Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE)) {
            throw new IllegalArgumentException(
                    "An array's name must not have control characters or half characters, but one has");
        }
        return name;
    }

    /**
     * These arrays and one more, or with another one in the place of that of the same name.
     *
     * @param name the array's name
     * @param array what is put under it
     * @throws IllegalArgumentException for a name that is empty, has control characters or is no Unicode
     */
    public StateDict with(String name, StateArray array) {
        Objects.requireNonNull(array, "array");
        Map<String, StateArray> more = new LinkedHashMap<>(arrays);
        more.put(name, array);
        return of(more);
    }

    /**
     * These arrays with a prefix and a dot before each name.
     *
     * @param prefix one or more names with dots between them, without a dot at the end
     * @throws IllegalArgumentException for a prefix that is empty, ends in a dot, has control characters or is no
     *     Unicode
     */
    public StateDict withPrefix(String prefix) {
        String dotted = dotted(prefix);
        return renamed(name -> dotted + name);
    }

    /**
     * The arrays whose names start with a prefix and a dot, by the rest of the name; none where no name does.
     *
     * @param prefix one or more names with dots between them, without a dot at the end
     * @throws IllegalArgumentException for a prefix that is empty, ends in a dot, has control characters or is no
     *     Unicode
     */
    public StateDict under(String prefix) {
        String dotted = dotted(prefix);
        StateDict under = renamed(name ->
                name.length() > dotted.length() && name.startsWith(dotted) ? name.substring(dotted.length()) : null);
        // The names only: a copy of the map would keep all of a large file.
        return under.arrays.isEmpty()
                ? new StateDict(Map.of(), Set.copyOf(arrays.isEmpty() ? others : names()))
                : under;
    }

    /**
     * The prefixes that all of some names are under: those that {@link #under} takes away to find them. Of what {@code under}
     * returned with nothing in it, they are those of the state that it was asked of.
     *
     * @param wanted names without a prefix, at least one
     * @return in alphabetical order; none when the names are nowhere together
     * @throws IllegalArgumentException for no name
     */
    public List<String> prefixesOf(List<String> wanted) {
        Objects.requireNonNull(wanted, "wanted").forEach(each -> Objects.requireNonNull(each, "wanted has null in it"));
        if (wanted.isEmpty()) {
            throw new IllegalArgumentException("There must be a name to look for, but given was none");
        }
        Set<String> all = arrays.isEmpty() ? others : names();
        String first = "." + wanted.get(0);
        return all.stream()
                .filter(name -> name.endsWith(first) && name.length() > first.length())
                .map(name -> name.substring(0, name.length() - first.length()))
                .filter(prefix -> wanted.stream().allMatch(name -> all.contains(prefix + "." + name)))
                .sorted()
                .toList();
    }

    /**
     * The prefixes of arrays that are like a pattern: those of the layers of one kind in a network. Their order is that of
     * the numbers in them, so that {@code layer2.bn} comes before {@code layer10.bn}, whatever the order of the arrays.
     *
     * @param pattern a prefix in which <code>{i}</code>, with any word or none in the braces, stands for a whole number,
     *     and {@code *} for one or more characters without a dot, as in <code>layer{i}.{j}.bn{k}</code>
     * @return each prefix once; none when no array has such a prefix
     * @throws IllegalArgumentException for a pattern that is empty or ends in a dot, or has a brace without its other half
     */
    public List<String> prefixesLike(String pattern) {
        PrefixPattern like = new PrefixPattern(pattern);
        return names().stream()
                .filter(name -> name.lastIndexOf('.') > 0)
                .map(name -> name.substring(0, name.lastIndexOf('.')))
                .distinct()
                .filter(like::matches)
                .sorted(like)
                .toList();
    }

    /**
     * These arrays under PyTorch's names, where they have another program's. Arrays keep their prefixes. What DL4J has as
     * the logarithm of a deviation becomes a variance.
     *
     * @param names whose names the arrays have now, the last part of each name
     * @throws IllegalArgumentException where a name is none of those, such as that of a convolution's weights; the message
     *     lists them, and what was expected
     */
    public StateDict fromNames(StateNames names) {
        Objects.requireNonNull(names, "names");
        return new StateDict(names.renamed(arrays, StateNames.PYTORCH), others);
    }

    /**
     * These arrays, which have PyTorch's names, under another program's. Arrays keep their prefixes. The count of batches,
     * which PyTorch alone has a name for, is left out for others. For DL4J a variance becomes the logarithm of the
     * deviation.
     *
     * @param names whose names the arrays are to have
     * @throws IllegalArgumentException where a name is none of PyTorch's; the message lists them, and what was expected
     */
    public StateDict toNames(StateNames names) {
        Objects.requireNonNull(names, "names");
        return new StateDict(StateNames.PYTORCH.renamed(arrays, names), others);
    }

    /** Names for a message, which is not to have thousands. */
    static String some(List<String> names) {
        return names.size() <= MOST_NAMES
                ? names.toString()
                : names.subList(0, MOST_NAMES) + " and " + (names.size() - MOST_NAMES) + " more";
    }

    private static String dotted(String prefix) {
        Objects.requireNonNull(prefix, "prefix");
        if (prefix.isEmpty() || prefix.endsWith(".")) {
            throw new IllegalArgumentException(
                    "A prefix must not be empty or end in the dot that follows it, but given was \"" + prefix + "\"");
        }
        return checked(prefix) + ".";
    }

    private StateDict renamed(UnaryOperator<String> rename) {
        Map<String, StateArray> renamed = new LinkedHashMap<>();
        arrays.forEach((name, array) -> {
            String other = rename.apply(name);
            if (other != null) {
                renamed.put(other, array);
            }
        });
        return new StateDict(renamed);
    }

    /**
     * These arrays, followed by those of another state.
     *
     * @param others arrays whose names are none of these
     * @throws IllegalArgumentException when both have an array of one name
     */
    public StateDict merge(StateDict others) {
        Objects.requireNonNull(others, "others");
        List<String> twice =
                others.arrays.keySet().stream().filter(arrays::containsKey).toList();
        if (!twice.isEmpty()) {
            throw new IllegalArgumentException(
                    "States that are merged must have no names in common, but both have " + twice);
        }
        Map<String, StateArray> all = new LinkedHashMap<>(arrays);
        all.putAll(others.arrays);
        return new StateDict(all);
    }

    /**
     * The array of a name, if there is one.
     *
     * @param name the array's name
     */
    public Optional<StateArray> get(String name) {
        Objects.requireNonNull(name, "name");
        return Optional.ofNullable(arrays.get(name));
    }

    /** The names of the arrays, in order. */
    public Set<String> names() {
        return arrays.keySet();
    }

    /** The arrays by name, in order; the map cannot be changed. */
    public Map<String, StateArray> toMap() {
        return arrays;
    }

    /** Whether the other is a state in which the same names have equal arrays, in whatever order. */
    @Override
    public boolean equals(Object other) {
        return other instanceof StateDict state && arrays.equals(state.arrays);
    }

    @Override
    public int hashCode() {
        return arrays.hashCode();
    }

    /** The names, types and dimensions of the arrays. */
    @Override
    public String toString() {
        return arrays.toString();
    }
}
