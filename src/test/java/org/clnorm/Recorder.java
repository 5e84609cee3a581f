package org.clnorm;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.reference.ReferenceBackend;

/** A backend that has memory, and keeps the passes that it is handed instead of doing them. */
public final class Recorder implements Backend {
    private final Backend memory = new ReferenceBackend();

    final List<ForwardTraining> trainings = new ArrayList<>();
    final List<ForwardInference> inferences = new ArrayList<>();
    final List<Backward> backwards = new ArrayList<>();
    final List<Room> rooms = new ArrayList<>();
    /** Thrown in the place of the next rooms, unless null. */
    RuntimeException noRoom;
    /** Thrown by forward passes, unless null. */
    RuntimeException noPass;

    boolean keeps = true;

    /** Saved statistics, what they were asked for, and whether they are closed. */
    static final class Room implements SavedStatistics {
        final Normalization normalization;
        final Shape shape;
        boolean closed;
        private final SavedStatistics in;

        private Room(Normalization normalization, Shape shape, SavedStatistics in) {
            this.normalization = normalization;
            this.shape = shape;
            this.in = in;
        }

        @Override
        public int groups() {
            return in.groups();
        }

        @Override
        public Operand mean() {
            return in.mean();
        }

        @Override
        public Operand inverseStandardDeviation() {
            return in.inverseStandardDeviation();
        }

        @Override
        public void close() {
            in.close();
            closed = true;
        }
    }

    /** A device that owns this. */
    public Device open() {
        return Device.over(this);
    }

    /** How many saved statistics were not closed. */
    public long openRooms() {
        return rooms.stream().filter(room -> !room.closed).count();
    }

    ForwardTraining training() {
        return trainings.get(trainings.size() - 1);
    }

    ForwardInference inference() {
        return inferences.get(inferences.size() - 1);
    }

    Backward backward() {
        return backwards.get(backwards.size() - 1);
    }

    int passes() {
        return trainings.size() + inferences.size() + backwards.size();
    }

    @Override
    public DeviceInfo info() {
        return memory.info();
    }

    @Override
    public Memory allocate(long elements, DataType type) {
        return memory.allocate(elements, type);
    }

    @Override
    public void write(Operand to, FloatBuffer from) {
        memory.write(to, from);
    }

    @Override
    public void write(Operand operand, ShortBuffer from) {
        memory.write(operand, from);
    }

    @Override
    public void read(Operand operand, ShortBuffer into) {
        memory.read(operand, into);
    }

    @Override
    public void read(Operand from, FloatBuffer to) {
        memory.read(from, to);
    }

    @Override
    public void fill(Operand to, long count, float value) {
        memory.fill(to, count, value);
    }

    @Override
    public void copy(Operand from, Operand to, long count) {
        memory.copy(from, to, count);
    }

    @Override
    public void finish() {
        memory.finish();
    }

    @Override
    public SavedStatistics newSavedStatistics(int channels) {
        return room(Normalization.BATCH, null, memory.newSavedStatistics(channels));
    }

    @Override
    public SavedStatistics newSavedStatistics(Normalization normalization, Shape shape, Layout layout) {
        return room(normalization, shape, memory.newSavedStatistics(normalization, shape, layout));
    }

    private Room room(Normalization normalization, Shape shape, SavedStatistics in) {
        if (noRoom != null) {
            in.close();
            throw noRoom;
        }
        Room room = new Room(normalization, shape, in);
        rooms.add(room);
        return room;
    }

    @Override
    public void forward(ForwardTraining pass) {
        failOrKeep(trainings, pass);
    }

    @Override
    public void forward(ForwardInference pass) {
        failOrKeep(inferences, pass);
    }

    @Override
    public void backward(Backward pass) {
        if (keeps) {
            backwards.add(pass);
        }
    }

    private <T> void failOrKeep(List<T> passes, T pass) {
        if (noPass != null) {
            throw noPass;
        }
        if (keeps) {
            passes.add(pass);
        }
    }

    @Override
    public ChannelMoments moments(ReduceForward pass) {
        return memory.moments(pass);
    }

    @Override
    public void forward(ForwardCombined pass) {
        memory.forward(pass);
    }

    @Override
    public GradientSums gradientSums(ReduceBackward pass) {
        return memory.gradientSums(pass);
    }

    @Override
    public void backward(BackwardCombined pass) {
        memory.backward(pass);
    }

    @Override
    public void close() {
        memory.close();
    }
}
