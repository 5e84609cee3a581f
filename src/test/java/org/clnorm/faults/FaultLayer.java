package org.clnorm.faults;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A layer of the OpenCL loader under which calls fail that a test has chosen ({@code faults.c}). A test compiles it and starts
 * a process under it, since the loader reads {@code OPENCL_LAYERS} once; that process then opens it, to tell it what to do.
 */
public final class FaultLayer {
    /** What the loader takes its layers from. */
    private static final String VARIABLE = "OPENCL_LAYERS";

    private static final Path SOURCE = Path.of("src", "test", "c", "faults.c");

    /** Objects that the layer counts, in its own order. */
    private static final List<String> KINDS = List.of("contexts", "queues", "buffers", "programs", "kernels", "events");

    private final NativeLibrary library;

    private FaultLayer(NativeLibrary library) {
        this.library = library;
    }

    /** Compiles it into a folder and has a process run under it. */
    public static ProcessBuilder under(Path folder, ProcessBuilder process) throws IOException, InterruptedException {
        Path layer = folder.resolve("faults.so");
        Path said = folder.resolve("cc.txt");
        Process compiler = new ProcessBuilder(
                        "cc",
                        "-std=c11",
                        "-O1",
                        "-fPIC",
                        "-shared",
                        "-fvisibility=hidden",
                        "-DCL_TARGET_OPENCL_VERSION=120",
                        "-o",
                        layer.toString(),
                        SOURCE.toString())
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        assertThat(compiler.waitFor())
                .as(
                        "cc compiles %s, with OpenCL's headers (gcc and opencl-c-headers of Debian): %s",
                        SOURCE, Files.readString(said))
                .isZero();
        process.environment().put(VARIABLE, layer.toString());
        return process;
    }

    /** The one that this process runs under. */
    public static FaultLayer open() {
        return new FaultLayer(NativeLibrary.getInstance(System.getenv(VARIABLE)));
    }

    /** Counts calls from here on, and has none fail. */
    void count() {
        arm(0, false);
    }

    /** Counts calls from here on, of which one fails. */
    void failAt(long call) {
        arm(call, false);
    }

    /** Counts calls from here on, which all fail from one of them on, as those do to a device that is gone. */
    void failFrom(long call) {
        arm(call, true);
    }

    private void arm(long call, boolean stays) {
        library.getFunction("faults_arm").invoke(new Object[] {call, stays ? 1 : 0});
    }

    /** How many calls there were that could fail. */
    long calls() {
        return library.getFunction("faults_calls").invokeLong(new Object[0]);
    }

    /** How many of them did. */
    long failed() {
        return library.getFunction("faults_failed").invokeLong(new Object[0]);
    }

    /** The name of the function that failed first since one was told to; null where none did. */
    String failedFunction() {
        return library.getFunction("faults_first").invokeString(new Object[0], false);
    }

    /** The name of the function that a call is of, from 1 on. */
    String name(long call) {
        return library.getFunction("faults_name").invokeString(new Object[] {call}, false);
    }

    /** How many references to objects of each kind this process holds, without those that it holds none to. */
    public Map<String, Long> references() {
        Map<String, Long> held = new LinkedHashMap<>();
        for (int kind = 0; kind < KINDS.size(); kind++) {
            long count = library.getFunction("faults_references").invokeLong(new Object[] {kind});
            if (count != 0) {
                held.put(KINDS.get(kind), count);
            }
        }
        return held;
    }

    /**
     * Whether the references become these. JOCL has a thread of its own that holds the event of an upload for some moments, so
     * that it waits for a while.
     */
    public boolean becomes(Map<String, Long> wanted) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!references().equals(wanted) && System.nanoTime() < end) {
            Thread.onSpinWait();
        }
        return references().equals(wanted);
    }
}
