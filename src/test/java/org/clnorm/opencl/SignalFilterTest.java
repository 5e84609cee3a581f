package org.clnorm.opencl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;

final class SignalFilterTest {
    /** By default it is ignored, and nothing here sends it. */
    private static final int SIGURG = 23;

    private static final long DEFAULT = 0;
    private static final long IGNORED = 1;

    /** A system that filters nothing is told apart: there the handler is set. */
    @Test
    void filteredThread_isToldThatItsHandlerIsSet_andChangesNothing() throws Exception {
        boolean isFiltered = inThread(() -> {
            boolean says = SignalFilter.filterThisThread();
            assertEquals(0, set(IGNORED));
            return says;
        });
        try {
            assertEquals(isFiltered ? DEFAULT : IGNORED, handler());
        } finally {
            set(DEFAULT);
        }
    }

    @Test
    void otherThreads_setTheirHandlersAsEver() throws Exception {
        inThread(SignalFilter::filterThisThread);

        assertEquals(0, set(IGNORED));
        try {
            assertEquals(IGNORED, handler());
        } finally {
            set(DEFAULT);
        }
    }

    @Test
    void whatTheCallThrows_reachesTheCaller() {
        IllegalStateException thrown = new IllegalStateException("of the call");
        assertEquals(
                thrown,
                assertThrows(
                        IllegalStateException.class,
                        () -> SignalHandlers.callFiltered(() -> {
                            throw thrown;
                        })));
        LinkageError error = new LinkageError("of the call");
        assertEquals(
                error,
                assertThrows(
                        LinkageError.class,
                        () -> SignalHandlers.callFiltered(() -> {
                            throw error;
                        })));
    }

    private static int set(long handler) {
        try (Memory action = new Memory(SignalHandlers.ACTION_BYTES)) {
            action.clear();
            action.setLong(0, handler);
            return C.sigaction(SIGURG, action, null);
        }
    }

    private static long handler() {
        try (Memory action = new Memory(SignalHandlers.ACTION_BYTES)) {
            assertEquals(0, C.sigaction(SIGURG, null, action));
            return action.getLong(0);
        }
    }

    private static <T> T inThread(Callable<T> callable) throws Exception {
        FutureTask<T> task = new FutureTask<>(callable);
        new Thread(task).start();
        try {
            return task.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Error error) {
                throw error; // an assertion of that thread's
            }
            if (e.getCause() instanceof Exception exception) {
                throw exception;
            }
            throw e;
        }
    }

    /** The C library's own, even where libjsig is preloaded. */
    private static final class C {
        static {
            Native.register(C.class, Platform.C_LIBRARY_NAME);
        }

        static native int sigaction(int signal, Pointer action, Pointer before);
    }
}
