package org.clnorm.opencl;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the JVM's signal handlers where a driver puts its own in their place.
 *
 * <p>PoCL compiles with LLVM inside the process. When its platform is first asked for, LLVM takes over SIGSEGV and most
 * other signals, to delete its temporary files when the process dies, and PoCL takes SIGFPE, so that a kernel may divide by
 * zero. HotSpot raises both on purpose. At the next safepoint, then, LLVM deletes the files of a program that is being
 * built, which fails, and puts the JVM's handlers back until the next build; a second thread's SIGSEGV at that moment ends
 * the process without a word. And a division of integers by zero in Java throws nothing.
 *
 * <p>So the call is made by a thread whose requests to change a handler do nothing, see {@link SignalFilter}. Where the
 * system has no such thing, another thread puts the handlers back as soon as it sees that they are gone: LLVM believes that
 * it has them until one of them was called. What is left there is the moment until that is done, longer where no processor
 * is idle; where a safepoint falls into it, the next build is the next try. Java that is started with libjsig.so preloaded
 * needs none of this.
 */
final class SignalHandlers {
    private static final Logger log = LoggerFactory.getLogger(SignalHandlers.class);

    /** The signals of POSIX; those above are for real time, and no driver's. */
    private static final int SIGNALS = 31;

    /** As everywhere. */
    private static final int SIGSEGV = 11;

    /** C's SIG_DFL. */
    private static final long DEFAULT = 0;

    /** More than {@code struct sigaction} has anywhere. Its first member is the handler. */
    static final int ACTION_BYTES = 256;

    private static final boolean IS_NEEDED = !isPreloaded() && register(SignalHandlers.class);

    /** A driver that takes no handler in so many calls takes none. */
    private static final int CALLS = 8;

    /** How many calls are still watched: none once a handler for SIGSEGV was replaced before it was called. */
    private static volatile int callsLeft = CALLS;

    /** Until it was found that there is none. */
    private static volatile boolean hasFilter = true;

    /** A compiler may need more than a thread of Java's has; what is not used costs nothing. */
    private static final long STACK_BYTES = 8 << 20;

    private final Pointer[] before = new Pointer[SIGNALS + 1];
    private volatile boolean isWatching;
    private volatile boolean isOver;

    private SignalHandlers() {
        for (int signal = 1; signal <= SIGNALS; signal++) {
            before[signal] = new Memory(ACTION_BYTES);
            sigaction(signal, null, before[signal]);
        }
    }

    /** Calls into drivers that may take signal handlers, and sees to it that the JVM keeps its own. */
    static void keepDuring(Runnable call) {
        if (!IS_NEEDED) {
            call.run();
        } else if (hasFilter) {
            callFiltered(call);
        } else if (callsLeft > 0) {
            watchDuring(call);
        } else {
            call.run();
        }
    }

    static void callFiltered(Runnable call) {
        boolean[] isFiltered = new boolean[1];
        Throwable[] thrown = new Throwable[1];
        Thread thread = start(() -> {
            isFiltered[0] = SignalFilter.filterThisThread();
            if (isFiltered[0]) {
                try {
                    call.run();
                } catch (RuntimeException | Error e) {
                    thrown[0] = e;
                }
            }
        });
        await(thread);
        if (thrown[0] instanceof Error error) {
            throw error;
        }
        if (thrown[0] instanceof RuntimeException exception) {
            throw exception;
        }
        if (!isFiltered[0]) {
            hasFilter = false;
            keepDuring(call);
        }
    }

    /** One after another, or one would take for the JVM's what another is about to put back. */
    private static synchronized void watchDuring(Runnable call) {
        callsLeft = Math.max(0, callsLeft - 1);
        SignalHandlers handlers = new SignalHandlers();
        Thread watch = start(handlers::watch);
        while (!handlers.isWatching) {
            Thread.onSpinWait();
        }
        try {
            call.run();
        } finally {
            handlers.isOver = true;
            await(watch);
            handlers.putAllBack();
        }
    }

    private static Thread start(Runnable runnable) {
        Thread thread = new Thread(null, runnable, "clnorm-signal-handlers", STACK_BYTES);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    /** SIGSEGV cannot wait until the call is over, which takes a millisecond more. */
    private void watch() {
        Pointer now = new Memory(ACTION_BYTES);
        do {
            putBack(SIGSEGV, now);
            isWatching = true;
        } while (!isOver);
    }

    private void putAllBack() {
        Pointer now = new Memory(ACTION_BYTES);
        for (int signal = 1; signal <= SIGNALS; signal++) {
            putBack(signal, now);
        }
    }

    private void putBack(int signal, Pointer now) {
        long wanted = before[signal].getLong(0);
        if (sigaction(signal, null, now) != 0 || now.getLong(0) == wanted) {
            return;
        }
        // The default is there for a moment while a handler that is to run once runs: LLVM has then given up what it
        // took.
        boolean wasCalled = now.getLong(0) == DEFAULT;
        if (sigaction(signal, before[signal], null) == 0 && signal == SIGSEGV && !wasCalled) {
            callsLeft = 0;
        }
    }

    private static void await(Thread thread) {
        boolean isInterrupted = false;
        while (true) {
            try {
                thread.join();
                break;
            } catch (InterruptedException e) {
                isInterrupted = true;
            }
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static boolean isPreloaded() {
        String preloaded = System.getenv("LD_PRELOAD");
        return preloaded != null && preloaded.contains("libjsig");
    }

    /** Whether the native methods of a class can be the C library's. */
    static boolean register(Class<?> type) {
        if (Platform.isWindows()) {
            return false;
        }
        try {
            Native.register(type, Platform.C_LIBRARY_NAME);
            return true;
        } catch (LinkageError | RuntimeException e) {
            log.debug("{} cannot call the C library: {}", type, e.toString());
            return false;
        }
    }

    /** The C library's. */
    private static native int sigaction(int signal, Pointer action, Pointer before);
}
