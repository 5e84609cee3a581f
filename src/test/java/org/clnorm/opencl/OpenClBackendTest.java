package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_event;
import org.jocl.cl_mem;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class OpenClBackendTest {
    private final OpenClBackend backend = DefaultDevice.open(null);

    @AfterEach
    void close() {
        backend.close();
    }

    static List<FloatBuffer> buffers() {
        float[] values = {1, -2, Float.NaN, 4e-40f, Float.NEGATIVE_INFINITY};
        FloatBuffer part =
                FloatBuffer.allocate(11).position(3).put(values).flip().position(3);
        ByteBuffer bigEndian = ByteBuffer.allocate(20).order(ByteOrder.BIG_ENDIAN);
        bigEndian.asFloatBuffer().put(values);
        ByteBuffer littleEndian = ByteBuffer.allocate(20).order(ByteOrder.LITTLE_ENDIAN);
        littleEndian.asFloatBuffer().put(values);
        ByteBuffer nativeDirect = ByteBuffer.allocateDirect(28).order(ByteOrder.nativeOrder());
        FloatBuffer directPart =
                nativeDirect.asFloatBuffer().position(1).put(values).flip().position(1);
        ByteBuffer bigEndianDirect = ByteBuffer.allocateDirect(20).order(ByteOrder.BIG_ENDIAN);
        bigEndianDirect.asFloatBuffer().put(values);
        return List.of(
                FloatBuffer.wrap(values),
                part,
                part.slice(),
                FloatBuffer.wrap(values).asReadOnlyBuffer(),
                bigEndian.asFloatBuffer(),
                littleEndian.asFloatBuffer(),
                directPart,
                directPart.slice(),
                directPart.asReadOnlyBuffer(),
                bigEndianDirect.asFloatBuffer());
    }

    @ParameterizedTest
    @MethodSource("buffers")
    void write_anyBuffer_copiesWhatRemainsToTheOffset(FloatBuffer from) {
        Memory memory = backend.allocate(9);
        backend.fill(new Operand(memory, 0), 9, 7);
        int position = from.position();

        backend.write(new Operand(memory, 2), from);

        assertThat(read(memory)).containsExactly(7, 7, 1, -2, Float.NaN, 4e-40f, Float.NEGATIVE_INFINITY, 7, 7);
        assertThat(from.position()).as("the caller's buffer is not used up").isEqualTo(position);
    }

    @ParameterizedTest
    @MethodSource("buffers")
    void read_anyWritableBuffer_fillsWhatRemainsAndNothingElse(FloatBuffer to) {
        if (to.isReadOnly()) {
            to = ((FloatBuffer) FloatBuffer.allocate(6).position(1)).slice();
        }
        Memory memory = backend.allocate(8);
        backend.write(new Operand(memory, 0), FloatBuffer.wrap(new float[] {0, 10, 11, 12, 13, 14, 15, 16}));
        FloatBuffer whole = to.duplicate().clear();
        float[] before = new float[whole.limit()];
        whole.duplicate().get(before);
        int position = to.position();

        backend.read(new Operand(memory, 1), to.duplicate());

        for (int i = 0; i < before.length; i++) {
            boolean inside = i >= position && i < position + 5;
            assertThat(whole.get(i)).as("element %d", i).isEqualTo(inside ? 10 + i - position : before[i]);
        }
    }

    @Test
    void write_noElements_doesNothing() {
        Memory memory = backend.allocate(1);
        backend.fill(new Operand(memory, 0), 1, 7);

        backend.write(new Operand(memory, 0), FloatBuffer.allocate(0));
        backend.write(new Operand(memory, 1), FloatBuffer.allocate(3).position(3));
        backend.read(new Operand(memory, 0), FloatBuffer.allocate(0));
        backend.fill(new Operand(memory, 1), 0, 8);
        backend.copy(new Operand(memory, 0), new Operand(memory, 1), 0);

        assertThat(read(memory)).containsExactly(7);
    }

    @Test
    void allocate_noElements_isAllowed() {
        try (Memory memory = backend.allocate(0)) {
            assertThat(memory.elements()).isZero();
            backend.read(new Operand(memory, 0), FloatBuffer.allocate(0));
        }
    }

    @Test
    void write_bufferChangedAfterwards_keepsWhatItHad() {
        int elements = 1 << 20;
        Memory memory = backend.allocate(elements);
        float[] values = new float[elements];
        for (int round = 1; round <= 20; round++) {
            Arrays.fill(values, round);
            backend.write(new Operand(memory, 0), FloatBuffer.wrap(values));
            Arrays.fill(values, -1);
            if (round % 5 == 0) {
                assertThat(read(memory)).as("round %d", round).containsOnly(round);
            }
        }
    }

    @Test
    void write_moreAtOnceThanIsHeldBack_arrivesInOrder() {
        int elements = 16 << 20;
        int rounds = 6; // of 64 MiB: more than uploads may hold in staging
        Memory memory = backend.allocate(elements + 1);
        FloatBuffer values = ByteBuffer.allocateDirect(elements * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        for (int round = 0; round < rounds; round++) {
            values.put(0, round).put(elements - 1, round);
            backend.write(new Operand(memory, round % 2), values);
        }

        FloatBuffer first = FloatBuffer.allocate(2);
        FloatBuffer last = FloatBuffer.allocate(2);
        backend.read(new Operand(memory, 0), first);
        backend.read(new Operand(memory, elements - 1), last);
        assertThat(first.array()).containsExactly(rounds - 2, rounds - 1);
        assertThat(last.array()).containsExactly(0, rounds - 1);
    }

    @Test
    void write_manySizes_doNotGetIntoEachOther() {
        List<Memory> memories = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            int elements = 1 + i * 97 % 5000;
            float[] values = new float[elements];
            Arrays.fill(values, i);
            Memory memory = backend.allocate(elements);
            backend.write(new Operand(memory, 0), FloatBuffer.wrap(values));
            memories.add(memory);
        }
        for (int i = 0; i < 200; i++) {
            assertThat(read(memories.get(i))).as("memory %d", i).containsOnly(i);
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void copy_anyLengthAndOffset_copiesThatAndNothingElse(String strategy) {
        try (OpenClBackend on = DefaultDevice.open(strategy)) {
            for (int count : new int[] {1, 3, 15, 16, 17, 63, 64, 65, 1023, 1025, 20_011}) {
                Memory from = on.allocate(count + 40);
                Memory to = on.allocate(count + 40);
                float[] values = new float[count + 40];
                for (int i = 0; i < values.length; i++) {
                    values[i] = i;
                }
                on.write(new Operand(from, 0), FloatBuffer.wrap(values));
                on.fill(new Operand(to, 0), to.elements(), -1);

                on.copy(new Operand(from, 5), new Operand(to, 19), count);

                FloatBuffer got = FloatBuffer.allocate(values.length);
                on.read(new Operand(to, 0), got);
                for (int i = 0; i < values.length; i++) {
                    float expected = i >= 19 && i < 19 + count ? i - 19 + 5 : -1;
                    if (got.get(i) != expected) {
                        assertThat(got.get(i))
                                .as("%d copied, element %d", count, i)
                                .isEqualTo(expected);
                    }
                }
            }
        }
    }

    @Test
    void copy_withinOneMemory_isAllowedWhereTheyDoNotOverlap() {
        Memory memory = backend.allocate(6);
        backend.write(new Operand(memory, 0), FloatBuffer.wrap(new float[] {1, 2, 3, 4, 5, 6}));

        backend.copy(new Operand(memory, 0), new Operand(memory, 3), 3);

        assertThat(read(memory)).containsExactly(1, 2, 3, 1, 2, 3);
    }

    @Test
    void fill_offsetAndCount_leavesTheRest() {
        Memory memory = backend.allocate(7);
        backend.fill(new Operand(memory, 0), 7, 1);

        backend.fill(new Operand(memory, 2), 3, Float.NaN);

        assertThat(read(memory)).containsExactly(1, 1, Float.NaN, Float.NaN, Float.NaN, 1, 1);
    }

    static List<String> strategies() {
        return DefaultDevice.strategies();
    }

    private record Case(Shape shape, Layout layout) {}

    /** Small and large partials in turn, of both patterns. */
    private static final List<Case> CASES = List.of(
            new Case(Shape.of(3, 2, 17), Layout.CHANNELS_FIRST),
            new Case(Shape.of(2, 1, 33_000), Layout.CHANNELS_FIRST),
            new Case(Shape.of(64, 207), Layout.CHANNELS_FIRST),
            new Case(Shape.of(4, 13, 31, 7), Layout.CHANNELS_LAST),
            new Case(Shape.of(2, 130, 65), Layout.CHANNELS_FIRST),
            new Case(Shape.of(4099, 3), Layout.CHANNELS_FIRST));

    @ParameterizedTest
    @MethodSource("strategies")
    void passes_enqueuedOneAfterTheOther_giveTheBitsOfEachAlone(String strategy) {
        List<Integer> alone = alone(strategy);
        try (OpenClBackend on = DefaultDevice.open(strategy)) {
            List<TrainingStep> steps = steps(on);
            for (int round = 0; round < 3; round++) {
                steps.forEach(TrainingStep::enqueue);
            }
            for (int i = 0; i < steps.size(); i++) {
                assertThat(steps.get(i).bits())
                        .as("%s: they share the room for partial results", CASES.get(i))
                        .isEqualTo(alone.get(i));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void passes_ofManyThreads_giveTheBitsOfEachAlone(String strategy) throws Exception {
        List<Integer> alone = alone(strategy);
        ExecutorService threads = Executors.newFixedThreadPool(CASES.size());
        try (OpenClBackend on = DefaultDevice.open(strategy)) {
            List<TrainingStep> steps = steps(on);
            List<Future<List<Integer>>> results = new ArrayList<>();
            for (TrainingStep step : steps) {
                results.add(threads.submit(() -> {
                    List<Integer> bits = new ArrayList<>();
                    for (int round = 0; round < 10; round++) {
                        step.enqueue();
                        bits.add(step.bits());
                    }
                    return bits;
                }));
            }
            for (int i = 0; i < steps.size(); i++) {
                assertThat(results.get(i).get())
                        .as("%s", CASES.get(i))
                        .hasSize(10)
                        .containsOnly(alone.get(i));
            }
        } finally {
            threads.shutdownNow();
        }
    }

    /** What each case gives on a backend of its own, by strategy: two tests ask, and opening one takes its while. */
    private static final Map<String, List<Integer>> ALONE = new ConcurrentHashMap<>();

    private static List<Integer> alone(String strategy) {
        return ALONE.computeIfAbsent(strategy, OpenClBackendTest::computeAlone);
    }

    private static List<Integer> computeAlone(String strategy) {
        List<Integer> alone = new ArrayList<>();
        for (int i = 0; i < CASES.size(); i++) {
            try (OpenClBackend on = DefaultDevice.open(strategy);
                    TrainingStep step = new TrainingStep(on, CASES.get(i).shape, CASES.get(i).layout, i)) {
                step.enqueue();
                alone.add(step.bits());
            }
        }
        assertThat(alone).as("or there would be nothing to tell apart").doesNotHaveDuplicates();
        return alone;
    }

    private static List<TrainingStep> steps(OpenClBackend on) {
        List<TrainingStep> steps = new ArrayList<>();
        for (int i = 0; i < CASES.size(); i++) {
            steps.add(new TrainingStep(on, CASES.get(i).shape, CASES.get(i).layout, i));
        }
        return steps;
    }

    @Test
    void launches_kernels_areCountedByName() {
        Memory memory = backend.allocate(4);
        assertThat(backend.launches()).isEmpty();

        backend.copy(new Operand(memory, 0), new Operand(memory, 2), 2);
        backend.copy(new Operand(memory, 0), new Operand(memory, 2), 2);

        assertThat(backend.launches()).containsOnlyKeys("copy").containsEntry("copy", 2L);
    }

    @Test
    void close_twice_isHarmless() {
        Memory memory = backend.allocate(4);

        backend.close();
        backend.close();
        memory.close();
    }

    @Test
    void close_backend_releasesWhatIsStillOpen() {
        OpenClMemory memory = backend.allocate(4, DataType.FLOAT32);
        Coefficients coefficients = backend.newCoefficients(3);
        cl_mem statistics = ((OpenClMemory) coefficients.mean().memory()).handle();
        backend.finish(); // a command under way holds a reference too
        for (cl_mem buffer : List.of(memory.handle(), statistics)) {
            assertThat(CL.clRetainMemObject(buffer)).isZero();
            assertThat(references(buffer)).isEqualTo(2);
        }

        backend.close();

        for (cl_mem buffer : List.of(memory.handle(), statistics)) {
            assertThat(references(buffer)).as("only this test holds it").isEqualTo(1);
            assertThat(CL.clReleaseMemObject(buffer)).isZero();
        }
    }

    @Test
    void close_memory_releasesItOnce() {
        OpenClMemory memory = backend.allocate(4, DataType.FLOAT32);
        cl_mem buffer = memory.handle();
        CL.clRetainMemObject(buffer);

        memory.close();
        memory.close();

        assertThat(references(buffer)).as("only this test holds it").isEqualTo(1);
        CL.clReleaseMemObject(buffer);
    }

    @Test
    void close_backendOverACallersQueue_leavesQueueAndBuffersToTheCaller() {
        try (DefaultDevice.Foreign caller = new DefaultDevice.Foreign()) {
            int[] status = new int[1];
            cl_mem buffer = CL.clCreateBuffer(caller.context, CL.CL_MEM_READ_WRITE, 24, null, status);
            assertThat(status[0]).isZero();
            OpenClBackend over = OpenClBackend.over(caller.context, caller.device, caller.queue, null);
            OpenClMemory wrapped = over.wrap(buffer, DataType.FLOAT32);
            assertThat(wrapped.elements()).isEqualTo(6);
            over.write(new Operand(wrapped, 2), FloatBuffer.wrap(new float[] {5, 6}));
            wrapped.close();

            over.close();

            float[] values = new float[2];
            assertThat(CL.clEnqueueReadBuffer(caller.queue, buffer, true, 8, 8, Pointer.to(values), 0, null, null))
                    .as("the caller's queue and buffer still work")
                    .isZero();
            assertThat(values).containsExactly(5, 6);
            assertThat(references(buffer)).isEqualTo(1);
            CL.clReleaseMemObject(buffer);
        }
    }

    @Test
    void wrap_sameBufferTwice_isTheSameMemory() {
        OpenClMemory memory = backend.allocate(4, DataType.FLOAT32);

        assertThat(backend.wrap(memory.handle(), DataType.FLOAT32))
                .as("or an overlap would go unnoticed")
                .isEqualTo(memory)
                .hasSameHashCodeAs(memory);
        assertThat(backend.allocate(4)).isNotEqualTo(memory);
    }

    @Test
    void allocate_whereADriverGivesAnAddressAgain_isOtherMemory() {
        for (int i = 0; i < 200; i++) {
            OpenClMemory gone = backend.allocate(4, DataType.FLOAT32);
            gone.close();
            OpenClMemory memory = backend.allocate(4, DataType.FLOAT32);
            assertThat(memory)
                    .as("or an overlap would be seen that is not there")
                    .isNotEqualTo(gone);
            memory.close();
        }
    }

    @Test
    void wrap_bufferThatItsOwnerReleasesEarly_isHeldUntilItIsClosed() {
        try (DefaultDevice.Foreign caller = new DefaultDevice.Foreign()) {
            int[] status = new int[1];
            cl_mem buffer = CL.clCreateBuffer(caller.context, CL.CL_MEM_READ_WRITE, 16, null, status);
            assertThat(status[0]).isZero();
            OpenClBackend over = OpenClBackend.over(caller.context, caller.device, caller.queue, null);
            OpenClMemory wrapped = over.wrap(buffer, DataType.FLOAT32);
            OpenClMemory twice = over.wrap(buffer, DataType.FLOAT32);
            assertThat(references(buffer)).isEqualTo(3);
            CL.clReleaseMemObject(buffer);
            wrapped.close();

            over.fill(new Operand(twice, 0), 4, 7);
            FloatBuffer values = FloatBuffer.allocate(4);
            over.read(new Operand(twice, 0), values);

            assertThat(values.array()).containsOnly(7);
            assertThat(twice).isEqualTo(wrapped);
            over.close();
        }
    }

    /** The device stands still until an event of the test's, so that what waits for it can be seen to. */
    @Test
    void read_waitingForTheDevice_holdsUpNobodyButWhoClosesWhatItReads() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(3);
        try (DefaultDevice.Foreign caller = new DefaultDevice.Foreign()) {
            OpenClBackend over = OpenClBackend.over(caller.context, caller.device, caller.queue, null);
            OpenClMemory memory = over.allocate(4, DataType.FLOAT32);
            OpenClMemory other = over.allocate(4, DataType.FLOAT32);
            OpenClMemory third = over.allocate(4, DataType.FLOAT32);
            over.write(new Operand(memory, 0), FloatBuffer.wrap(new float[] {1, 2, 3, 4}));
            over.copy(new Operand(other, 0), new Operand(third, 0), 4); // compiles, and waits for it
            int[] status = new int[1];
            cl_event event = CL.clCreateUserEvent(caller.context, status);
            OpenClException.check(status[0], "Making an event");
            OpenClException.check(
                    CL.clEnqueueBarrierWithWaitList(caller.queue, 1, new cl_event[] {event}, null), "Stopping a queue");
            FloatBuffer values = FloatBuffer.allocate(4);
            CountDownLatch starting = new CountDownLatch(1);
            Future<?> reading = threads.submit(() -> {
                starting.countDown();
                over.read(new Operand(memory, 0), values);
            });
            starting.await();
            Thread.sleep(100);

            over.fill(new Operand(other, 0), 4, 7);
            over.copy(new Operand(other, 0), new Operand(third, 0), 4);
            other.close();
            assertThat(reading.isDone()).as("the device stands still").isFalse();

            Future<?> closing = threads.submit(memory::close);
            awaitClosed(() -> over.fill(new Operand(memory, 0), 4, 7), "The memory of 4 elements is closed");
            Future<?> closingAll = threads.submit(over::close);
            awaitClosed(() -> over.fill(new Operand(third, 0), 4, 7), "The device ");
            assertThat(List.of(reading.isDone(), closing.isDone(), closingAll.isDone()))
                    .as("whoever closes waits for the read that came first")
                    .containsOnly(false);

            OpenClException.check(CL.clSetUserEventStatus(event, CL.CL_COMPLETE), "Letting a queue go on");
            for (Future<?> each : List.of(reading, closing, closingAll)) {
                each.get(30, TimeUnit.SECONDS);
            }
            assertThat(values.array()).containsExactly(1, 2, 3, 4);
            CL.clReleaseEvent(event);
        } finally {
            threads.shutdownNow();
        }
    }

    /** Until the other thread's close has begun. */
    private static void awaitClosed(Runnable use, String message) throws InterruptedException {
        long deadline = System.nanoTime() + 30_000_000_000L;
        while (System.nanoTime() < deadline) {
            try {
                use.run();
            } catch (IllegalStateException e) {
                assertThat(e).hasMessageContaining(message);
                return;
            }
            Thread.sleep(5);
        }
        assertThat(message).as("what nobody was told in time").isNull();
    }

    @Test
    void call_onAClosedBackend_saysSo() {
        Memory memory = backend.allocate(4);
        Coefficients coefficients = backend.newCoefficients(3);
        backend.close();
        for (ThrowingCallable call : List.<ThrowingCallable>of(
                () -> backend.allocate(1),
                () -> backend.fill(new Operand(memory, 0), 4, 1),
                () -> backend.read(new Operand(memory, 0), FloatBuffer.allocate(4)),
                () -> backend.write(new Operand(memory, 0), FloatBuffer.allocate(4)),
                () -> backend.copy(new Operand(memory, 0), new Operand(memory, 2), 2),
                () -> backend.newCoefficients(3),
                backend::finish)) {
            assertThatThrownBy(call).isInstanceOf(IllegalStateException.class).hasMessageContaining("is closed");
        }
        coefficients.close();
        memory.close();
    }

    @Test
    void open_unknownStrategy_listsThoseThereAre() {
        assertThatThrownBy(() -> DefaultDevice.open("fastest"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'fastest'")
                .hasMessageContaining("auto, ");
    }

    private static int references(cl_mem buffer) {
        int[] count = new int[1];
        OpenClException.check(
                CL.clGetMemObjectInfo(buffer, CL.CL_MEM_REFERENCE_COUNT, Sizeof.cl_uint, Pointer.to(count), null),
                "Asking for a buffer's references");
        return count[0];
    }

    private float[] read(Memory memory) {
        FloatBuffer values = FloatBuffer.allocate((int) memory.elements());
        backend.read(new Operand(memory, 0), values);
        return values.array();
    }
}
