package org.clnorm.lifecycle;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.function.BooleanSupplier;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.LayerNorm;
import org.clnorm.Layout;
import org.clnorm.Normalizer;
import org.clnorm.OnBothBackends;
import org.clnorm.Recorder;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.TestDevice;
import org.clnorm.TestLayer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What is dropped without being closed is reported, with where it was made; what was closed is not. Objects are made and
 * dropped in methods of their own, whose names are then looked for in the log, so that nothing here still refers to them.
 */
final class LeakTest {
    private static final Duration DEADLINE = Duration.ofSeconds(20);

    private static void collectUntil(String what, BooleanSupplier done) throws InterruptedException {
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (!done.getAsBoolean()) {
            assertThat(System.nanoTime() < end)
                    .as("%s within %s", what, DEADLINE)
                    .isTrue();
            System.gc();
            Thread.sleep(10);
        }
    }

    /** After this, the cleaner has seen all that was unreachable before, and it is reported. */
    private static void collectAll(LogCapture log) throws InterruptedException {
        WeakReference<Object> marker = new WeakReference<>(new Object());
        collectUntil("a collection", () -> marker.refersTo(null));
        int before = log.warnings("canary").size();
        try (Device own = Device.cpuReference()) { // a place is reported once for each device
            canary(own);
            collectUntil(
                    "the report of the canary", () -> log.warnings("canary").size() > before);
        }
        Thread.sleep(50); // for those that the cleaner came to after it
    }

    private static void canary(Device device) {
        device.vector(0);
    }

    private static void assertReported(LogCapture log, String what, String method) throws InterruptedException {
        collectUntil("the report of " + method, () -> !log.warnings(method).isEmpty());
        collectAll(log);
        assertThat(log.warnings(method))
                .as("one report for one leak, and its parts are no leaks of their own")
                .singleElement()
                .asString()
                .contains("Leaked", what, LeakTest.class.getName() + "." + method, "LeakTest.java:");
    }

    @OnBothBackends
    void tensor_dropped_isReportedWithItsPlace(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture()) {
            dropTensor(on.device());
            assertReported(log, "tensor (2, 3)", "dropTensor");
        }
    }

    @OnBothBackends
    void tensors_droppedInALoop_areOneReportWithTheirNumber(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture();
                Device device = openFor(on)) {
            for (int i = 0; i < 60; i++) {
                dropOneOfMany(device);
            }
            collectUntil("the report", () -> !log.warnings("dropOneOfMany").isEmpty());
            collectAll(log);
            // Those that a collection in the middle of the loop found are reported first, and the rest if they are ten
            // times as many.
            assertThat(log.warnings("dropOneOfMany").size()).isBetween(1, 2);
            assertThat(log.warnings("dropOneOfMany").get(0))
                    .contains("Leaked", "LeakTest.dropOneOfMany(LeakTest.java:");
        }
    }

    private static void dropOneOfMany(Device device) {
        device.vector(1, 2, 3);
    }

    private static void dropTensor(Device device) {
        device.upload(new float[6], Shape.of(2, 3), Layout.CHANNELS_FIRST);
    }

    @OnBothBackends
    void output_ofALayerDropped_isReportedWithItsPlace(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture();
                BatchNorm norm = BatchNorm.builder(1).build(on.device());
                Tensor x = on.device().upload(new float[4], Shape.of(4, 1), Layout.CHANNELS_FIRST);
                Tensor other = on.device().tensor(Shape.of(4, 1), Layout.CHANNELS_FIRST)) {
            dropOutput(norm, x);
            norm.forward(x, other);
            assertReported(log, "tensor (4, 1)", "dropOutput");
        }
    }

    private static void dropOutput(BatchNorm norm, Tensor x) {
        norm.forward(x);
    }

    @OnBothBackends
    void layer_dropped_isReportedOnceAndReleased(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture()) {
            Tensor own = dropLayer(on.device());
            assertReported(log, "batch normalization of 3 channels", "dropLayer");
            assertThat(own.isClosed())
                    .as("the cleaner gives back what was leaked")
                    .isTrue();
        }
    }

    private static Tensor dropLayer(Device device) {
        return BatchNorm.builder(3).build(device).gamma().orElseThrow().value();
    }

    /** Its saved statistics and its prepared passes were made after the layer was. */
    @ParameterizedTest
    @EnumSource(TestLayer.class)
    void layer_droppedAfterItsPasses_isReportedOnceAndReleased(TestLayer layer) throws InterruptedException {
        Recorder recorder = new Recorder();
        try (LogCapture log = new LogCapture();
                Device device = recorder.open()) {
            dropUsed(layer, device);
            assertReported(log, layer.what(), "dropUsed");
            assertThat(recorder.openRooms()).isZero();
            assertThat(recorder.openPasses()).isZero();
            closeUsed(layer, device);
            collectAll(log);
            assertThat(log.warnings("closeUsed")).isEmpty();
            assertThat(recorder.openRooms()).isZero();
            assertThat(recorder.openPasses()).isZero();
        }
    }

    private static void dropUsed(TestLayer layer, Device device) {
        Normalizer norm = layer.build(device);
        step(norm);
    }

    private static void closeUsed(TestLayer layer, Device device) {
        try (Normalizer norm = layer.build(device)) {
            step(norm);
        }
    }

    private static void step(Normalizer norm) {
        try (Tensor x = norm.device().tensor(TestLayer.SHAPE, Layout.CHANNELS_FIRST);
                Tensor y = norm.forward(x);
                Tensor dx = norm.backward(y)) {
            assertThat(dx.isClosed()).isFalse();
        }
    }

    @Test
    void room_replaced_isClosedAndNotReported() throws InterruptedException {
        Recorder recorder = new Recorder();
        try (LogCapture log = new LogCapture();
                Device device = recorder.open()) {
            replaceRooms(device);
            collectAll(log);
            assertThat(log.warnings("replaceRooms")).isEmpty();
            assertThat(recorder.openRooms()).isZero();
        }
    }

    private static void replaceRooms(Device device) {
        try (LayerNorm norm = LayerNorm.builder(3).build(device)) {
            for (int n = 1; n < 5; n++) {
                try (Tensor x = device.tensor(Shape.of(n, 3), Layout.CHANNELS_FIRST);
                        Tensor y = norm.forward(x)) {
                    assertThat(y.isClosed()).isFalse();
                }
            }
        }
    }

    @OnBothBackends
    void device_dropped_isReportedOnce(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture()) {
            dropDevice(on);
            assertReported(log, "device ", "openFor");
        }
    }

    private static void dropDevice(TestDevice on) {
        openFor(on).finish();
    }

    private static Device openFor(TestDevice on) {
        return on == TestDevice.REFERENCE
                ? Device.cpuReference()
                : Device.builder().strategy(on.strategy()).open();
    }

    @OnBothBackends
    void objects_closed_areNotReported(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture()) {
            closeAll(on);
            collectAll(log);
            assertThat(log.warnings("Leaked", LeakTest.class.getName()))
                    .as("only the canary was leaked")
                    .hasSize(1)
                    .allMatch(warning -> warning.contains("canary"));
        }
    }

    private static void closeAll(TestDevice on) {
        try (Device device = openFor(on);
                Tensor x = device.upload(new float[4], Shape.of(4, 1), Layout.CHANNELS_FIRST);
                BatchNorm norm = BatchNorm.builder(1).build(device);
                Tensor y = norm.forward(x);
                Tensor dx = norm.backward(y)) {
            assertThat(dx.slice(0, Shape.of(1), Layout.CHANNELS_FIRST).isClosed())
                    .isFalse();
        }
    }

    @OnBothBackends
    void objects_onADeviceThatWasClosed_areNotReported(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture()) {
            closeDeviceOnly(on);
            collectAll(log);
            assertThat(log.warnings("Leaked", LeakTest.class.getName()))
                    .as("closing a device closes all that lives on it, so that nothing leaked but the canary")
                    .hasSize(1)
                    .allMatch(warning -> warning.contains("canary"));
        }
    }

    private static void closeDeviceOnly(TestDevice on) {
        try (Device device = openFor(on)) {
            Tensor x = device.upload(new float[4], Shape.of(4, 1), Layout.CHANNELS_FIRST);
            BatchNorm.builder(1).build(device).forward(x);
        }
    }

    @OnBothBackends
    void slice_ofATensorThatNobodyElseHolds_keepsItOpen(TestDevice on) throws InterruptedException {
        try (LogCapture log = new LogCapture()) {
            Tensor slice = sliceOfADropped(on.device());
            collectAll(log);
            assertThat(log.warnings("sliceOfADropped"))
                    .as("its memory is still in use")
                    .isEmpty();
            assertThat(slice.download()).containsExactly(2, 3);
            slice = null;
            assertReported(log, "tensor (3)", "sliceOfADropped");
        }
    }

    private static Tensor sliceOfADropped(Device device) {
        return device.vector(1, 2, 3).slice(1, Shape.of(2), Layout.CHANNELS_FIRST);
    }
}
