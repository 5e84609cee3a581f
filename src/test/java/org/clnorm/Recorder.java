package org.clnorm;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.Role;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.reference.ReferenceBackend;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/** A backend that has memory, and keeps the passes that it is asked to run instead of doing them. */
public final class Recorder implements Backend {
    private final Backend memory = new ReferenceBackend();

    /** In the order in which they were asked for. */
    final List<Prepared> prepared = new ArrayList<>();

    final List<Call<ForwardTraining>> trainings = new ArrayList<>();
    final List<Call<ForwardInference>> inferences = new ArrayList<>();
    final List<Call<Backward>> backwards = new ArrayList<>();
    final List<Room> rooms = new ArrayList<>();
    /** Thrown in the place of the next rooms, unless null. */
    RuntimeException noRoom;
    /** Thrown by forward passes, unless null. */
    RuntimeException noPass;

    boolean keeps = true;

    /**
     * A pass that was run. Two are equal when the same prepared pass was run on the same memory.
     *
     * @param operands those that there were, at that time
     */
    record Call<S extends PassSpec>(Prepared prepared, S spec, Map<Role, Operand> operands, Coefficients coefficients) {
        /** What was in a role, or null. */
        Operand operand(Role role) {
            return operands.get(role);
        }
    }

    /**
     * A pass that was made ready, and whether it is closed. The passes over a part of a batch are done, since
     * layers go on with their numbers.
     */
    final class Prepared implements PreparedPass {
        private final PassSpec spec;
        private boolean closed;

        private Prepared(PassSpec spec) {
            this.spec = spec;
        }

        @Override
        public void run(Operands operands, Coefficients coefficients) {
            if (closed) {
                throw new IllegalStateException("Closed before it was run: " + spec);
            }
            if (!operands.are(spec.operands())) {
                throw new IllegalArgumentException(operands.types() + " were given to " + spec);
            }
            if (spec instanceof ForwardTraining training) {
                failOrKeep(trainings, training, operands, coefficients);
                operands.absorbed(training.running() != null);
            } else if (spec instanceof ForwardInference inference) {
                failOrKeep(inferences, inference, operands, coefficients);
            } else if (spec instanceof Backward backward) {
                keep(backwards, backward, operands, coefficients);
            } else {
                memory.run(spec, operands, ((Room) coefficients).in);
            }
        }

        private <S extends PassSpec> void failOrKeep(
                List<Call<S>> calls, S spec, Operands operands, Coefficients coefficients) {
            if (noPass != null) {
                throw noPass;
            }
            keep(calls, spec, operands, coefficients);
        }

        private <S extends PassSpec> void keep(
                List<Call<S>> calls, S spec, Operands operands, Coefficients coefficients) {
            if (keeps) {
                Map<Role, Operand> copy = new EnumMap<>(Role.class);
                for (Role role : Role.values()) {
                    if (operands.get(role) != null) {
                        copy.put(role, operands.get(role));
                    }
                }
                calls.add(new Call<>(this, spec, copy, coefficients));
            }
        }

        @Override
        public void close() {
            closed = true;
        }
    }

    /** Coefficients, what they were asked for, and whether they are closed. */
    static final class Room implements Coefficients {
        final Normalization normalization;
        final Shape shape;
        boolean closed;
        private final Coefficients in;

        private Room(Normalization normalization, Shape shape, Coefficients in) {
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
        public Supplier<ChannelMoments> readMoments(long count) {
            return in.readMoments(count);
        }

        @Override
        public void writeMoments(ChannelMoments moments, RunningVariance estimate) {
            in.writeMoments(moments, estimate);
        }

        @Override
        public Supplier<GradientSums> readSums(long count) {
            return in.readSums(count);
        }

        @Override
        public void writeSums(GradientSums own, GradientSums all) {
            in.writeSums(own, all);
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

    /** How many coefficients were not closed. */
    public long openRooms() {
        return rooms.stream().filter(room -> !room.closed).count();
    }

    /** How many prepared passes were not closed. */
    public long openPasses() {
        return prepared.stream().filter(pass -> !pass.closed).count();
    }

    Call<ForwardTraining> training() {
        return trainings.get(trainings.size() - 1);
    }

    Call<ForwardInference> inference() {
        return inferences.get(inferences.size() - 1);
    }

    Call<Backward> backward() {
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
    public Coefficients newCoefficients(int channels) {
        return room(Normalization.BATCH, null, memory.newCoefficients(channels));
    }

    @Override
    public Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout) {
        return room(normalization, shape, memory.newCoefficients(normalization, shape, layout));
    }

    private Room room(Normalization normalization, Shape shape, Coefficients in) {
        if (noRoom != null) {
            in.close();
            throw noRoom;
        }
        Room room = new Room(normalization, shape, in);
        rooms.add(room);
        return room;
    }

    @Override
    public PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
        return memory.prepareUpdate(tensors, room);
    }

    @Override
    public PreparedPass prepare(PassSpec pass) {
        Prepared made = new Prepared(pass);
        prepared.add(made);
        return made;
    }

    @Override
    public void close() {
        memory.close();
    }
}
