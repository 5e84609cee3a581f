package org.clnorm;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.clnorm.backend.Operand;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.optim.UpdateRule;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;

/** What an optimizer keeps of its parameters, as arrays by name: {@code 0.exp_avg} is the first parameter's first moment. */
final class Moments {
    private static final String STEP = "step";

    private interface Visitor {
        void visit(String name, Operand operand, Shape shape);
    }

    private final Device device;
    private final UpdateRule rule;
    private final List<Shape> shapes;
    private final UpdateRoom room;

    /** @param shapes of the parameters, which lie in the room one after the other */
    Moments(Device device, UpdateRule rule, List<Shape> shapes, UpdateRoom room) {
        this.device = device;
        this.rule = rule;
        this.shapes = shapes;
        this.room = room;
    }

    /** Whether the norm of gradients is taken. */
    boolean haveNorm() {
        return room.norm() != null;
    }

    /** The norm of the last step's gradients; waits. */
    double norm() {
        return read(room.norm(), 1)[0];
    }

    /** All of them, and the number of steps; waits. */
    StateDict save(long steps) {
        Map<String, StateArray> arrays = new LinkedHashMap<>();
        arrays.put(STEP, StateArray.scalar(steps));
        forEach((name, operand, shape) ->
                arrays.put(name, StateArray.of(read(operand, Math.toIntExact(shape.elements())), shape.toArray())));
        return StateDict.of(arrays);
    }

    /**
     * Takes them over.
     *
     * @return the number of steps
     * @throws IllegalArgumentException when the state does not fit; nothing is loaded then
     */
    long load(StateDict state) {
        Set<String> wanted = new LinkedHashSet<>(Set.of(STEP));
        Map<Operand, float[]> values = new LinkedHashMap<>();
        List<String> wrong = new ArrayList<>();
        forEach((name, operand, shape) -> {
            wanted.add(name);
            state.get(name).ifPresent(array -> {
                if (array.type().isFloat() && Arrays.equals(array.dimensions(), shape.toArray())) {
                    values.put(operand, array.toFloats());
                } else {
                    wrong.add(name + " must be floats of " + shape + ", but is " + array);
                }
            });
        });
        long steps = state.get(STEP)
                .filter(array -> array.elements() == 1 && !array.type().isFloat())
                .map(array -> array.toLongs()[0])
                .orElse(-1L);
        if (steps < 0) {
            wrong.add(STEP + " must be one whole number from 0 on");
        }
        Set<String> missing = new TreeSet<>(wanted);
        missing.removeAll(state.names());
        Set<String> unexpected = new TreeSet<>(state.names());
        unexpected.removeAll(wanted);
        if (!wrong.isEmpty() || !missing.isEmpty() || !unexpected.isEmpty()) {
            throw new IllegalArgumentException("The state does not fit an optimizer by " + rule + " of " + shapes.size()
                    + " parameters, and nothing of it was loaded: missing are " + missing + ", unexpected are "
                    + unexpected + "; " + String.join("; ", wrong));
        }
        values.forEach((operand, floats) -> device.backend().write(operand, FloatBuffer.wrap(floats)));
        return steps;
    }

    private void forEach(Visitor visitor) {
        long from = 0;
        for (int i = 0; i < shapes.size(); i++) {
            if (room.first() != null) {
                visitor.visit(i + "." + rule.firstMoment(), at(room.first(), from), shapes.get(i));
            }
            if (room.second() != null) {
                visitor.visit(i + "." + rule.secondMoment(), at(room.second(), from), shapes.get(i));
            }
            from += shapes.get(i).elements();
        }
    }

    private static Operand at(Operand all, long from) {
        return new Operand(all.memory(), all.offset() + from);
    }

    private float[] read(Operand from, int count) {
        float[] to = new float[count];
        device.backend().read(from, FloatBuffer.wrap(to));
        return to;
    }
}
