package org.clnorm.mpi;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;

/** A rank of an MPI job, for what only processes show. Its first argument is what it does. */
final class MpiChild {
    /** What a rank does in the middle of a message. */
    enum Fault {
        /** Dies, without a word. */
        KILL,
        /** Is not to be heard of for a minute. */
        SLEEP
    }

    private static final Shape SMALL = Shape.of(2, 3);

    private MpiChild() {}

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "train" -> train(Path.of(args[1]));
            case "gather" -> gather();
            case "steps" -> steps(Integer.parseInt(args[1]));
            case "fault" -> fault(Fault.valueOf(args[1]), args[2], Duration.ofMillis(Long.parseLong(args[3])));
            case "throw" -> fails();
            case "differ" -> differ(Integer.parseInt(args[1]));
            case "exit" -> exit();
            case "again" -> again();
            default -> throw new IllegalArgumentException("There is no " + args[0]);
        }
    }

    private static Group join() {
        return Groups.mpi(Duration.ofSeconds(30));
    }

    /** All cases of {@link SyncBatchNormTest} that are for so many ranks, into a file of each rank. */
    private static void train(Path folder) throws Exception {
        try (DataParallel all = new DataParallel(join())) {
            int[] parts = SyncBatchNormTest.partsOf(all.group().size());
            int rank = all.group().rank();
            int number = 0;
            for (TestDevice on : List.of(TestDevice.REFERENCE, TestDevice.AUTO)) {
                try (Device device = on.open()) {
                    for (SyncBatchNormTest.Variant variant : SyncBatchNormTest.Variant.values()) {
                        SyncBatchNormTest.Result result = SyncBatchNormTest.train(all, device, parts, variant);
                        write(folder.resolve(number + "-" + rank), result.arrays());
                        number++;
                    }
                }
            }
        }
    }

    private static void write(Path file, List<float[]> arrays) throws Exception {
        ByteBuffer bytes = ByteBuffer.allocate(arrays.stream()
                .mapToInt(a -> Integer.BYTES + Float.BYTES * a.length)
                .sum());
        for (float[] array : arrays) {
            bytes.putInt(array.length);
            for (float value : array) {
                bytes.putFloat(value);
            }
        }
        Files.write(file, bytes.array());
    }

    static List<float[]> read(Path file) throws Exception {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
        List<float[]> arrays = new java.util.ArrayList<>();
        while (bytes.hasRemaining()) {
            float[] array = new float[bytes.getInt()];
            for (int i = 0; i < array.length; i++) {
                array[i] = bytes.getFloat();
            }
            arrays.add(array);
        }
        return arrays;
    }

    /** Messages of all sizes, bits that are no number, parts, and messages of different lengths. */
    private static void gather() {
        try (Group group = join()) {
            int size = group.size();
            for (int round = 0; round < 300; round++) {
                double[] own = new double[round < 290 ? round : 1000 * round];
                Arrays.fill(own, group.rank());
                if (own.length > 0) {
                    own[own.length - 1] = Double.longBitsToDouble(0x7ff8_0000_0000_0000L + round);
                }
                double[] all = new double[size * own.length];
                group.allGather("a test", own, all);
                for (int r = 0; r < size && own.length > 1; r++) {
                    check(all[r * own.length] == r && all[(r + 1) * own.length - 2] == r, "round " + round);
                    check(
                            Double.doubleToRawLongBits(all[(r + 1) * own.length - 1])
                                    == Double.doubleToRawLongBits(own[own.length - 1]),
                            "bits of round " + round);
                }
            }
            Group part = group.sub(2);
            check(part.rank() == group.rank() % 2, "rank in a part");
            double[] all = new double[part.size()];
            part.allGather("a test of parts", new double[] {group.rank()}, all);
            check(all[0] == group.rank() - part.rank(), "first of a part");
            part.close();
            System.out.println("gathered " + group);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** Steps with delays; prints a checksum of all running statistics and gradients of all steps. */
    private static void steps(int count) throws InterruptedException {
        try (DataParallel all = new DataParallel(join());
                Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(3).build(device);
                Tensor x = device.tensor(SMALL, Layout.CHANNELS_FIRST);
                Tensor y = device.tensor(SMALL, Layout.CHANNELS_FIRST)) {
            SyncBatchNorm synced = all.synchronize(norm);
            GradientSum gradients = all.gradientsOf(norm.parameters());
            Random delays = new Random();
            Random values = new Random(all.group().rank());
            int hash = 0;
            for (int step = 0; step < count; step++) {
                float[] drawn = new float[6];
                for (int i = 0; i < 6; i++) {
                    drawn[i] = (float) values.nextGaussian();
                }
                x.upload(drawn);
                if (delays.nextInt(20) == 0) {
                    Thread.sleep(0, delays.nextInt(500_000));
                }
                synced.forward(x, y);
                synced.backward(y, y);
                gradients.average();
                hash = 31 * hash
                        + Arrays.hashCode(norm.runningVariance().orElseThrow().download());
                hash = 31 * hash
                        + Arrays.hashCode(norm.gamma().orElseThrow().gradient().download());
            }
            System.out.println("steps|" + hash);
        }
    }

    /** A group in which one rank does not come to a message of some purpose, the second time. */
    private static final class Faulty extends GroupAround {
        private final Fault fault;
        private final String faultyPurpose;
        private int times;

        Faulty(Group inner, Fault fault, String faultyPurpose) {
            super(inner);
            this.fault = fault;
            this.faultyPurpose = faultyPurpose;
        }

        @Override
        public void allGather(String purpose, double[] own, double[] all) {
            if (rank() == 1 && purpose.startsWith(faultyPurpose) && ++times == 2) {
                happen(fault);
            }
            super.allGather(purpose, own, all);
        }
    }

    private static void happen(Fault fault) {
        try {
            if (fault == Fault.KILL) {
                new ProcessBuilder(
                                "kill",
                                "-9",
                                Long.toString(ProcessHandle.current().pid()))
                        .start();
            }
            Thread.sleep(60_000);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    /** @param where "forward" or "backward", for the middle of it, or "between" */
    private static void fault(Fault fault, String where, Duration deadline) {
        try (DataParallel all = new DataParallel(new Faulty(Groups.mpi(deadline), fault, where));
                Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(3).build(device)) {
            SyncBatchNorm synced = all.synchronize(norm);
            for (int step = 0; step < 4; step++) {
                forth(synced);
                if (step == 2 && where.equals("between") && all.group().rank() == 1) {
                    happen(fault);
                }
                back(synced);
            }
        }
    }

    private static void forth(SyncBatchNorm norm) {
        Device device = norm.layer().device();
        norm.forward(device.tensor(SMALL, Layout.CHANNELS_FIRST), device.tensor(SMALL, Layout.CHANNELS_FIRST));
    }

    private static void back(SyncBatchNorm norm) {
        Device device = norm.layer().device();
        norm.backward(device.tensor(SMALL, Layout.CHANNELS_FIRST), device.tensor(SMALL, Layout.CHANNELS_FIRST));
    }

    /** One rank's program throws between steps. */
    private static void fails() {
        try (DataParallel all = new DataParallel(join());
                Device device = Device.cpuReference();
                BatchNorm norm = BatchNorm.builder(3).build(device)) {
            SyncBatchNorm synced = all.synchronize(norm);
            forth(synced);
            if (all.group().rank() == 1) {
                throw new UnsupportedOperationException("of the program");
            }
            back(synced);
        }
    }

    /** Ranks come to layers of different sizes in another order, once both are in use. */
    private static void differ(int channels) {
        Group group = join();
        try (DataParallel all = new DataParallel(group);
                Device device = Device.cpuReference();
                BatchNorm small = BatchNorm.builder(3).build(device);
                BatchNorm large = BatchNorm.builder(channels).build(device)) {
            SyncBatchNorm first = all.synchronize(small);
            SyncBatchNorm second = all.synchronize(large);
            forth(first);
            Shape shape = Shape.of(2, channels);
            for (int step = 0; step < 2; step++) {
                second.forward(
                        device.tensor(shape, Layout.CHANNELS_FIRST), device.tensor(shape, Layout.CHANNELS_FIRST));
            }
            if (group.rank() == 1) {
                second.forward(
                        device.tensor(shape, Layout.CHANNELS_FIRST), device.tensor(shape, Layout.CHANNELS_FIRST));
            } else {
                forth(first);
            }
        }
    }

    /** One rank ends as if all were well. */
    private static void exit() throws InterruptedException {
        Group group = join();
        if (group.rank() == 1) {
            System.exit(0);
        }
        group.allGather("a test", new double[1], new double[group.size()]);
    }

    private static void again() {
        Group group = join();
        try {
            Groups.mpi(Duration.ofSeconds(1));
        } catch (IllegalStateException e) {
            System.out.println("refused|" + e.getMessage());
        }
        group.close();
        group.close();
        try {
            group.allGather("a test", new double[1], new double[1]);
        } catch (IllegalStateException e) {
            System.out.println("refused|" + e.getMessage());
        }
    }
}
