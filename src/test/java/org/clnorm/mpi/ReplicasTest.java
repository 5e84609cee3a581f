package org.clnorm.mpi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.OpenClInterop;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_context_properties;
import org.jocl.cl_device_id;
import org.jocl.cl_device_partition_property;
import org.jocl.cl_platform_id;
import org.junit.jupiter.api.Test;

/** Replicas by threads: over the reference, and over the parts of a CPU that each have one unit. */
final class ReplicasTest {
    private static final Duration DEADLINE = Duration.ofSeconds(30);
    private static final int CHANNELS = 5;
    private static final Shape PART = Shape.of(6, CHANNELS, 33);
    private static final Layout FIRST = Layout.CHANNELS_FIRST;

    /** A network of one layer. */
    private record Net(Device device, BatchNorm norm, SyncBatchNorm layer) implements AutoCloseable {
        static Net of(Device device, DataParallel ranks) {
            BatchNorm norm = BatchNorm.builder(CHANNELS).build(device);
            return new Net(device, norm, ranks.synchronize(norm));
        }

        /** A step over a part: y, dx, the running variance. */
        List<float[]> step(float[] part, float[] gradient) {
            try (Tensor x = device.upload(part, PART, FIRST);
                    Tensor y = device.tensor(PART, FIRST);
                    Tensor dy = device.upload(gradient, PART, FIRST);
                    Tensor dx = device.tensor(PART, FIRST)) {
                layer.forward(x, y);
                layer.backward(dy, dx);
                return List.of(
                        y.download(),
                        dx.download(),
                        norm.runningVariance().orElseThrow().download(),
                        norm.gamma().orElseThrow().gradient().download());
            }
        }

        @Override
        public void close() {
            norm.close();
        }
    }

    /** PoCL's CPU, divided into devices of one unit each, with a context of all and a queue for each. */
    private static final class Divided implements AutoCloseable {
        final List<Device> devices = new ArrayList<>();
        private final cl_context context;
        private final List<cl_command_queue> queues = new ArrayList<>();
        private final cl_device_id[] units;

        Divided() {
            CL.setExceptionsEnabled(true);
            int[] count = new int[1];
            CL.clGetPlatformIDs(0, null, count);
            cl_platform_id[] platforms = new cl_platform_id[count[0]];
            CL.clGetPlatformIDs(platforms.length, platforms, null);
            cl_platform_id pocl = null;
            for (cl_platform_id platform : platforms) {
                byte[] name = new byte[100];
                CL.clGetPlatformInfo(platform, CL.CL_PLATFORM_NAME, name.length, Pointer.to(name), null);
                pocl = new String(name, StandardCharsets.US_ASCII).startsWith("Portable") ? platform : pocl;
            }
            assertThat(pocl).as("PoCL, whose CPU can be divided").isNotNull();
            cl_device_id[] whole = new cl_device_id[1];
            CL.clGetDeviceIDs(pocl, CL.CL_DEVICE_TYPE_CPU, 1, whole, null);
            cl_device_partition_property properties = new cl_device_partition_property();
            properties.addProperty(CL.CL_DEVICE_PARTITION_EQUALLY, 1);
            CL.clCreateSubDevices(whole[0], properties, 0, null, count);
            units = new cl_device_id[count[0]];
            CL.clCreateSubDevices(whole[0], properties, units.length, units, null);
            cl_context_properties of = new cl_context_properties();
            of.addProperty(CL.CL_CONTEXT_PLATFORM, pocl);
            context = CL.clCreateContext(of, units.length, units, null, null, null);
            for (cl_device_id unit : units) {
                cl_command_queue queue = CL.clCreateCommandQueue(context, unit, 0, null);
                queues.add(queue);
                devices.add(OpenClInterop.device(context, unit, queue));
            }
        }

        int unitsOf(int device) {
            int[] most = new int[1];
            CL.clGetDeviceInfo(units[device], CL.CL_DEVICE_MAX_COMPUTE_UNITS, Sizeof.cl_int, Pointer.to(most), null);
            return most[0];
        }

        @Override
        public void close() {
            devices.forEach(Device::close);
            queues.forEach(CL::clReleaseCommandQueue);
            CL.clReleaseContext(context);
            for (cl_device_id unit : units) {
                CL.clReleaseDevice(unit);
            }
        }
    }

    private static float[] normal(int seed) {
        Random random = new Random(seed);
        float[] values = new float[(int) PART.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (3 + seed + random.nextGaussian());
        }
        return values;
    }

    /** The same parts one after the other on one device, put together by hand. */
    private static List<List<float[]>> byHand(Device device, int parts) {
        List<BatchNorm> layers = new ArrayList<>();
        List<Tensor> xs = new ArrayList<>();
        List<Tensor> ys = new ArrayList<>();
        List<Tensor> dys = new ArrayList<>();
        List<ChannelMoments> moments = new ArrayList<>();
        List<GradientSums> sums = new ArrayList<>();
        for (int i = 0; i < parts; i++) {
            layers.add(BatchNorm.builder(CHANNELS).build(device));
            xs.add(device.upload(normal(i), PART, FIRST));
            ys.add(device.tensor(PART, FIRST));
            dys.add(device.upload(normal(100 + i), PART, FIRST));
            moments.add(layers.get(i).moments(xs.get(i)));
        }
        ChannelMoments all = ChannelMoments.combine(moments);
        for (int i = 0; i < parts; i++) {
            layers.get(i).forwardCombined(xs.get(i), null, ys.get(i), all);
            sums.add(layers.get(i).gradientSums(dys.get(i)));
        }
        GradientSums total = GradientSums.combine(sums);
        List<List<float[]>> results = new ArrayList<>();
        for (int i = 0; i < parts; i++) {
            try (BatchNorm layer = layers.get(i);
                    Tensor x = xs.get(i);
                    Tensor y = ys.get(i);
                    Tensor dy = dys.get(i);
                    Tensor dx = device.tensor(PART, FIRST)) {
                layer.backwardCombined(dy, dx, null, total);
                results.add(List.of(
                        y.download(),
                        dx.download(),
                        layer.runningVariance().orElseThrow().download(),
                        layer.gamma().orElseThrow().gradient().download()));
            }
        }
        return results;
    }

    private static void assertSame(List<List<float[]>> found, List<List<float[]>> expected) {
        assertThat(found).hasSameSizeAs(expected);
        for (int rank = 0; rank < expected.size(); rank++) {
            for (int array = 0; array < expected.get(rank).size(); array++) {
                assertThat(found.get(rank).get(array))
                        .as("array %d of replica %d, bit for bit", array, rank)
                        .isEqualTo(expected.get(rank).get(array));
            }
        }
    }

    @Test
    void each_onTheUnitsOfACpu_isTheWholeBatchCutAlikeOnOneUnit() {
        try (Divided cpu = new Divided()) {
            assertThat(cpu.devices).as("the CPU's units").hasSizeGreaterThan(1);
            assertThat(cpu.unitsOf(0)).as("of one part").isEqualTo(1);
            List<List<float[]>> found;
            try (Replicas<Net> replicas = Replicas.of(cpu.devices, DEADLINE, Net::of)) {
                found = replicas.each((rank, net) -> net.step(normal(rank), normal(100 + rank)));
            }
            assertThat(found.get(0).get(2))
                    .as("running statistics are those of all")
                    .isEqualTo(found.get(1).get(2));
            assertSame(found, byHand(cpu.devices.get(0), cpu.devices.size()));
        }
    }

    @Test
    void each_threeReplicasOfTheReference_isTheSameByHand() {
        List<Device> devices = List.of(Device.cpuReference(), Device.cpuReference(), Device.cpuReference());
        try (Replicas<Net> replicas = Replicas.of(devices, DEADLINE, Net::of)) {
            assertThat(replicas.size()).isEqualTo(3);
            assertSame(
                    replicas.each((rank, net) -> net.step(normal(rank), normal(100 + rank))),
                    byHand(devices.get(0), 3));
        } finally {
            devices.forEach(Device::close);
        }
    }

    @Test
    void each_oneThrows_endsTheStepForAllAndSaysWhatItThrew() {
        List<Device> devices = List.of(Device.cpuReference(), Device.cpuReference());
        try (Replicas<Net> replicas = Replicas.of(devices, DEADLINE, Net::of)) {
            assertThatThrownBy(() -> replicas.each((rank, net) -> {
                        if (rank == 1) {
                            throw new IOException("no data");
                        }
                        return net.step(normal(rank), normal(100));
                    }))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("Replica 1 failed: no data")
                    .hasCauseInstanceOf(IOException.class);
        } finally {
            devices.forEach(Device::close);
        }
    }

    @Test
    void of_badArguments_areRefused() {
        try (Device device = Device.cpuReference()) {
            assertThatThrownBy(() -> Replicas.of(List.of(), DEADLINE, Net::of))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("devices must be at least one");
            assertThatThrownBy(() -> Replicas.of(List.of(device, device), DEADLINE, Net::of))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> Replicas.of(List.of(device), DEADLINE, (on, ranks) -> {
                        throw new IOException("no weights");
                    }))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("no weights");
        }
    }
}
