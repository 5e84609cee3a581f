package org.clnorm.example.device;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.state.StateDict;

/** A part that is made of parts, each of which has a name. How they hang together is the subclass's. */
public abstract class Composite implements Part {
    private final Map<String, Part> parts = new LinkedHashMap<>();

    /** Takes a part in. */
    protected final <P extends Part> P add(String name, P part) {
        parts.put(name, part);
        return part;
    }

    @Override
    public final List<Weight> weights() {
        return parts.entrySet().stream()
                .flatMap(part -> part.getValue().weights().stream().map(weight -> weight.under(part.getKey())))
                .toList();
    }

    @Override
    public final StateDict state() {
        StateDict state = StateDict.empty();
        for (Map.Entry<String, Part> part : parts.entrySet()) {
            state = state.merge(part.getValue().state().withPrefix(part.getKey()));
        }
        return state;
    }

    @Override
    public final void load(StateDict state) {
        parts.forEach((name, part) -> part.load(state.under(name)));
    }

    @Override
    public final void training(boolean on) {
        parts.values().forEach(part -> part.training(on));
    }
}
