package org.clnorm.benchmark;

import java.nio.FloatBuffer;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.plan.Strategy;

/** A copy of x by the OpenCL device: what the memory allows. */
final class Copy implements Peer {
    static final String STREAMED = "streamed copy";
    static final String PLAIN = "plain copy";

    private final OpenClBackend backend;
    private final Strategy strategy;
    private final boolean stream;

    /** @param stream whether the stores bypass the cache */
    Copy(OpenClBackend backend, boolean stream) {
        this.backend = backend;
        this.stream = stream;
        this.strategy = backend.strategyForCopies().withStream(stream);
    }

    @Override
    public String name() {
        return stream ? STREAMED : PLAIN;
    }

    @Override
    public boolean copies() {
        return true;
    }

    @Override
    public boolean supports(Task task) {
        return task.form() == Form.CHANNELS_FIRST && !task.relu();
    }

    @Override
    public Call prepare(Task task, Sets sets) {
        return new Call() {
            @Override
            public void run(int set) {
                backend.copy(
                        sets.arena().deviceInput(sets.x(set)),
                        sets.arena().deviceOutput(sets.y(set)),
                        sets.elements(),
                        strategy);
                backend.finish();
            }

            @Override
            public float[] result() {
                run(0);
                float[] result = new float[sets.elements()];
                backend.read(sets.arena().deviceOutput(sets.y(0)), FloatBuffer.wrap(result));
                return result;
            }
        };
    }

    /** Seconds of one copy of memory that nothing else uses: whether the machine is disturbed now. */
    double probe(Arena arena) {
        long start = System.nanoTime();
        backend.copy(arena.deviceInput(Arena.ELEMENTS), arena.deviceOutput(Arena.ELEMENTS), Arena.PROBE, strategy);
        backend.finish();
        return (System.nanoTime() - start) * 1e-9;
    }
}
