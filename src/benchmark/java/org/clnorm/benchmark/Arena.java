package org.clnorm.benchmark;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.clnorm.backend.Operand;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.opencl.OpenClMemory;

/**
 * The memory that all tensors are cut from, at the same offsets for every peer: inputs, random and never written again, and
 * outputs; once for libraries in C, once on the OpenCL device and once as Java arrays. All of it is written here, so that no
 * measured call is the first to touch a page.
 */
final class Arena {
    /** Elements of the inputs, and of the outputs; with a rest for the probe. */
    static final int ELEMENTS = 88 << 20;

    static final int PROBE = 4 << 20;
    private static final int PATTERN = 1_000_003;
    private static final int LINE = 64;

    private final FloatPointer nativeInputs;
    private final FloatPointer nativeOutputs;
    private final OpenClMemory deviceInputs;
    private final OpenClMemory deviceOutputs;
    final float[] javaInputs = new float[ELEMENTS];
    final float[] javaOutputs = new float[ELEMENTS];

    Arena(OpenClBackend backend) {
        float[] pattern = pattern();
        nativeInputs = aligned(new FloatPointer(ELEMENTS + LINE));
        nativeOutputs = aligned(new FloatPointer(ELEMENTS + LINE));
        deviceInputs = backend.allocate(ELEMENTS + PROBE);
        deviceOutputs = backend.allocate(ELEMENTS + PROBE);
        backend.fill(new Operand(deviceInputs, 0), ELEMENTS + PROBE, 1);
        backend.fill(new Operand(deviceOutputs, 0), ELEMENTS + PROBE, 0);
        Pointer.memset(nativeOutputs, 0, 4L * ELEMENTS);
        Arrays.fill(javaOutputs, 1);
        for (int at = 0; at < ELEMENTS; at += PATTERN) {
            int count = Math.min(PATTERN, ELEMENTS - at);
            nativeInputs.getPointer(at).put(pattern, 0, count);
            System.arraycopy(pattern, 0, javaInputs, at, count);
            backend.write(new Operand(deviceInputs, at), FloatBuffer.wrap(pattern, 0, count));
        }
        backend.finish();
    }

    /** Writes what the inputs repeat, for programs that have an arena of their own. */
    static void writePattern(Path file) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(PATTERN * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(pattern());
        Files.write(file, bytes.array());
    }

    private static float[] pattern() {
        Random random = new Random(1);
        float[] pattern = new float[PATTERN];
        for (int i = 0; i < PATTERN; i++) {
            pattern[i] = (float) (random.nextGaussian() + 0.25);
        }
        return pattern;
    }

    private static FloatPointer aligned(FloatPointer pointer) {
        long past = pointer.address() % LINE;
        return pointer.getPointer(past == 0 ? 0 : (LINE - past) / Float.BYTES);
    }

    FloatPointer nativeInput(int offset) {
        return nativeInputs.getPointer(offset);
    }

    FloatPointer nativeOutput(int offset) {
        return nativeOutputs.getPointer(offset);
    }

    Operand deviceInput(int offset) {
        return new Operand(deviceInputs, offset);
    }

    Operand deviceOutput(int offset) {
        return new Operand(deviceOutputs, offset);
    }
}
