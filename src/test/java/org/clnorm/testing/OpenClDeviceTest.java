package org.clnorm.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.ChildProcess;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.opencl.OpenCl;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.platform.testkit.engine.EngineExecutionResults;
import org.junit.platform.testkit.engine.EngineTestKit;
import org.junit.platform.testkit.engine.Events;

/** Runs test classes that take a device, as JUnit does, here and where there is no device. */
class OpenClDeviceTest {
    private static final List<Device> OPENED = new ArrayList<>();

    @TempDir
    private Path folder;

    private static EngineExecutionResults run(Class<?> tests) {
        return EngineTestKit.engine("junit-jupiter")
                .selectors(selectClass(tests))
                .execute();
    }

    private static void check(Device device) {
        assertThat(device.isClosed()).isFalse();
        assertThat(OPENED).doesNotContain(device);
        OPENED.add(device);
    }

    static class Places {
        @OpenClDevice
        private static Device ofClass;

        @OpenClDevice
        private Device ofInstance;

        private final Device ofConstructor;
        private Device before;

        Places(@OpenClDevice Device device) {
            ofConstructor = device;
        }

        @BeforeAll
        static void once(@OpenClDevice Device device) {
            check(ofClass);
            check(device);
        }

        @BeforeEach
        void before(@OpenClDevice Device device) {
            before = device;
        }

        @Test
        void first(@OpenClDevice Device device, @OpenClDevice Device another) {
            checkAll(device, another);
        }

        @Test
        void second(@OpenClDevice Device device) {
            checkAll(device);
        }

        private void checkAll(Device... devices) {
            // The first two are the class's; all others are those of a test before this one.
            assertThat(OPENED.subList(2, OPENED.size())).allMatch(Device::isClosed);
            assertThat(OPENED.subList(0, 2)).noneMatch(Device::isClosed);
            for (Device device : devices) {
                check(device);
            }
            check(ofInstance);
            check(ofConstructor);
            check(before);
        }

        @AfterEach
        void after() {
            assertThat(ofInstance.isClosed()).isFalse();
        }

        @AfterAll
        static void last() {
            assertThat(ofClass.isClosed()).isFalse();
        }
    }

    @Test
    void devices_ofAllPlaces_areOpenAndTheirOwnAndClosedAtTheEnd() {
        OPENED.clear();

        run(Places.class).testEvents().assertStatistics(stats -> stats.started(2)
                .succeeded(2));
        assertThat(OPENED).hasSize(2 + 5 + 4).allMatch(Device::isClosed);
        assertThat(OPENED).noneMatch(device -> device.info().kind() == DeviceInfo.Kind.REFERENCE);
    }

    @TestInstance(TestInstance.Lifecycle.PER_CLASS)
    static class OneInstance {
        @OpenClDevice
        private Device device;

        @Test
        void first() {
            assertThat(device.isClosed()).isFalse();
        }

        @Test
        void second() {
            assertThat(device.isClosed()).isFalse();
        }

        @AfterAll
        void last() {
            check(device);
        }

        @Nested
        class Inner {
            @Test
            void third() {
                assertThat(device.isClosed()).isFalse();
            }
        }
    }

    @Test
    void device_ofOneInstanceForAllTests_lastsForAll() {
        OPENED.clear();

        run(OneInstance.class).testEvents().assertStatistics(stats -> stats.started(3)
                .succeeded(3));
        assertThat(OPENED).singleElement().matches(Device::isClosed);
    }

    static class WrongTypes {
        @Test
        void parameter(@OpenClDevice String device) {}
    }

    static class WrongField {
        @OpenClDevice
        private final Device device = null;

        @Test
        void field() {
            assertThat(device).isNull();
        }
    }

    @Test
    void annotation_whereNoDeviceFits_fails() {
        assertThat(messages(run(WrongTypes.class).testEvents()))
                .singleElement()
                .asString()
                .contains("is for a parameter of type org.clnorm.Device", "java.lang.String");
        assertThat(messages(run(WrongField.class).testEvents()))
                .singleElement()
                .asString()
                .contains("that is not final", "WrongField.device");
    }

    private static List<String> messages(Events events) {
        return events.failed()
                .map(event -> event.getRequiredPayload(org.junit.platform.engine.TestExecutionResult.class)
                        .getThrowable()
                        .orElseThrow()
                        .getMessage())
                .toList();
    }

    @Test
    void open_withoutADevice_saysWhatToDo() {
        assertThatIllegalStateException()
                .isThrownBy(() -> OpenClDeviceExtension.open(null, List.of()))
                .withMessageContainingAll("@OpenClDevice", "No OpenCL device", "PoCL", "CLNORM_DEVICE=reference");
        assertThatIllegalStateException()
                .isThrownBy(() -> OpenClDeviceExtension.open("no such device", OpenCl.devices()))
                .withMessageContaining("'no such device'");
        try (Device device = OpenClDeviceExtension.open("Reference", List.of())) {
            assertThat(device.info().kind()).isEqualTo(DeviceInfo.Kind.REFERENCE);
        }
    }

    static class OfParameter {
        @Test
        void test(@OpenClDevice Device device) {
            assertThat(device.isClosed()).isFalse();
        }
    }

    static class OfField {
        @OpenClDevice
        private Device device;

        @Test
        void test() {
            assertThat(device.isClosed()).isFalse();
        }
    }

    static class OfClass {
        @OpenClDevice
        private static Device device;

        @Test
        void test() {
            assertThat(device.isClosed()).isFalse();
        }
    }

    /** Runs the tests above in a process of its own, whose environment has no device. */
    static final class Child {
        public static void main(String[] args) {
            for (Class<?> tests : List.of(OfParameter.class, OfField.class, OfClass.class)) {
                EngineExecutionResults results = run(tests);
                Events all = results.allEvents();
                System.out.println(tests.getSimpleName() + ": " + all.failed().count() + " failed, "
                        + all.skipped().count() + " skipped, " + all.aborted().count() + " aborted, "
                        + results.testEvents().succeeded().count() + " succeeded: " + messages(all));
            }
        }
    }

    private List<String> runWithoutADevice() throws Exception {
        ProcessBuilder child =
                ChildProcess.java(folder, "child", List.of("-XX:TieredStopAtLevel=1"), Child.class.getName());
        // The loader looks for platforms in a folder that has none.
        child.environment()
                .put(
                        "OCL_ICD_VENDORS",
                        Files.createDirectories(folder.resolve("no-vendors")).toString());
        child.environment().put("OCL_ICD_FILENAMES", "");
        child.environment().remove(Device.SELECTOR_VARIABLE);
        ChildProcess.assertEndsWell(child, "child");
        return Files.readAllLines(folder.resolve("child.txt")).stream()
                .filter(line -> line.matches("Of\\w+: .*"))
                .toList();
    }

    @Test
    void test_withoutADevice_failsAndIsNotSkipped() throws Exception {
        assertThat(runWithoutADevice()).hasSize(3).allSatisfy(line -> assertThat(line)
                .contains("1 failed, 0 skipped, 0 aborted, 0 succeeded")
                .contains("No OpenCL device", "no platform with a device", "CLNORM_DEVICE=reference"));
    }
}
