package org.clnorm;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.SavedStatistics;

/** All that a layer owns on its device. It does not know the layer, which may be gone when this is closed. */
final class Belongings implements AutoCloseable {
    private final Device device;
    private final List<Tensor> vectors = new ArrayList<>();
    /** The thread that closes what was leaked is another than the layer's. */
    private volatile Room room;

    private volatile SavedStatistics scratch;

    Belongings(Device device) {
        this.device = device;
    }

    Tensor vector(Shape shape) {
        Tensor vector = device.allocate(shape, Layout.CHANNELS_FIRST);
        vectors.add(vector);
        return vector;
    }

    Parameter parameter(String name, Shape shape) {
        return new Parameter(name, vector(shape), vector(shape));
    }

    Running running(Shape shape, Options options) {
        return new Running(vector(shape), vector(shape), vector(shape), options);
    }

    /** Room for a pass: the room that is there, or a new one, which takes its place only in {@link #settle}. */
    Room roomFor(Normalization normalization, Shape shape, Layout layout) {
        Room last = room;
        return last != null && last.fits(normalization, shape, layout)
                ? last
                : Room.make(device, normalization, shape, layout);
    }

    /** From now on this is the room, and the last one is closed. */
    void settle(Room next) {
        Room last = room;
        if (last != next) {
            room = next;
            if (last != null) {
                last.close();
            }
        }
    }

    /** Room for moments that go to the host, beside the room of the last pass. */
    SavedStatistics scratch(int channels) {
        if (scratch == null) {
            scratch = device.backend().newSavedStatistics(channels);
        }
        return scratch;
    }

    /** The room of the last pass; null before there was one. */
    Room room() {
        return room;
    }

    /** Refuses an output that would overwrite what the layer owns. */
    void refuse(String name, Tensor output) {
        for (int i = 0; i < vectors.size(); i++) {
            refuse(name, output, vectors.get(i));
        }
        Room last = room;
        if (last != null && last.mean() != null) {
            refuse(name, output, last.mean());
            refuse(name, output, last.invstd());
        }
    }

    private static void refuse(String name, Tensor output, Tensor mine) {
        TensorChecks.noOverlap(name, output, "the layer's own parameters and statistics", mine, false);
    }

    @Override
    public void close() {
        if (room != null) {
            room.close();
        }
        if (scratch != null) {
            scratch.close();
        }
        vectors.forEach(Tensor::close);
    }
}
