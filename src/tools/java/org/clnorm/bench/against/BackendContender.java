package org.clnorm.bench.against;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Operand;
import org.clnorm.bench.Calls;
import org.clnorm.bench.Tensors;
import org.clnorm.bench.Timed;
import org.clnorm.opencl.Handles;
import org.clnorm.opencl.OpenClBackend;

/** The build that this class is loaded with. Reached by its name alone. */
public final class BackendContender implements Contender {
    private final OpenClBackend backend;

    /** See {@link Contender}. */
    public BackendContender(List<Object> handles, String strategy) {
        backend = Handles.backend(handles, strategy);
    }

    @Override
    public Work prepare(Map<String, String> words, Map<String, List<Object>> buffers) {
        Timed workload = Timed.of(words);
        List<Memory> borrowed = new ArrayList<>();
        Tensors tensors = Tensors.of(buffers, workload, (handle, type) -> {
            Memory memory = Handles.memory(backend, handle, type);
            borrowed.add(memory);
            return new Operand(memory, 0, type);
        });
        Calls calls = workload.calls(backend, tensors);
        return new Work() {
            @Override
            public void call(int i) {
                calls.make(i);
            }

            @Override
            public void close() {
                calls.close();
                borrowed.forEach(Memory::close); // or they hold buffers that are gone for their owner
            }
        };
    }

    @Override
    public void close() {
        backend.close();
    }
}
