package org.clnorm.opencl;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import sun.misc.Signal;

/**
 * Undoes what PoCL's compiler does to the JVM's signal handlers.
 *
 * <p>While it compiles, LLVM puts handlers of its own in the place of the process's, SIGSEGV's among them, to delete
 * its temporary files on a crash, and leaves them there. HotSpot raises SIGSEGV on purpose, at safepoints: the first
 * one makes LLVM's handler put the JVM's back, but a second thread's at that moment ends the process, without a word
 * (seen in about 1 of 45 training runs under load).
 *
 * <p>LLVM's handler also answers to SIGXFSZ, with which nothing else happens here. So a harmless handler for it is
 * installed before the first build, and after every compilation the signal is raised: LLVM restores all handlers,
 * and passes it on to the harmless one. What remains is the time of the compilation itself; starting Java with
 * libjsig.so preloaded, as the scripts in ci do, closes that too.
 */
final class CompilerSignals {
    private static final Logger log = LoggerFactory.getLogger(CompilerSignals.class);
    private static final String NAME = "XFSZ";

    /** Null where there is no such signal, as on Windows, or it is not ours to handle. */
    private static final Signal SIGNAL = prepare();

    private CompilerSignals() {}

    private static Signal prepare() {
        try {
            Signal signal = new Signal(NAME);
            Signal.handle(signal, s -> {});
            return signal;
        } catch (IllegalArgumentException e) {
            log.debug("No handler for {}: {}", NAME, e.getMessage());
            return null;
        }
    }

    /** Before anything is compiled. */
    static void beforeCompiling() {
        // Loading the class installed the handler.
    }

    /** Once a compilation is over. */
    static void afterCompiling() {
        if (SIGNAL != null) {
            Signal.raise(SIGNAL);
        }
    }
}
