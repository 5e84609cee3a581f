package org.clnorm.opencl;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets Linux ignore, for one thread and those that it starts, every request to change a signal's handler: the request
 * succeeds and changes nothing. A library that is set up by such a thread believes that it has its handlers.
 *
 * <p>That is seccomp(2), on x86-64 and AArch64. A filtered thread stays so until it ends, and
 * neither it nor a program that it starts can gain privileges any more (PR_SET_NO_NEW_PRIVS).
 */
final class SignalFilter {
    private static final Logger log = LoggerFactory.getLogger(SignalFilter.class);

    private static final int SIGKILL = 9;

    private static final int NO_NEW_PRIVILEGES = 38;
    private static final int SET_MODE_FILTER = 1;

    /** Without it the filter would also turn the processor's speculative loads off, for PoCL's threads too. */
    private static final int ALLOW_SPECULATION = 4;

    /** The first call of NVIDIA's driver may start a program with more privileges, which makes its device files. */
    private static final Path NVIDIA = Path.of("/proc/driver/nvidia");

    /** Where the numbers of a system call, its architecture, and the halves of its second argument are. */
    private static final int NUMBER = 0;

    private static final int ARCHITECTURE = 4;
    private static final int ACTION_LOW = 24;
    private static final int ACTION_HIGH = 28;

    /** A filter's instructions: load a word, jump where it is equal, return. */
    private static final short LOAD = 0x20;

    private static final short JUMP_IF_EQUAL = 0x15;
    private static final short RETURN = 0x06;

    private static final int ALLOW = 0x7fff0000;

    /** An error with the number 0, which is none: the call returns at once, and well. */
    private static final int DO_NOTHING = 0x00050000;

    private static final int INSTRUCTION_BYTES = 8;

    private SignalFilter() {}

    /** Filters the calling thread, for as long as it lives. False where this system cannot, or had better not. */
    static boolean filterThisThread() {
        try {
            Abi abi = Abi.of(Platform.ARCH);
            return Platform.isLinux() && abi != null && !Files.exists(NVIDIA) && install(abi);
        } catch (LinkageError | RuntimeException e) {
            log.debug("Signal handlers cannot be filtered: {}", e.toString());
            return false;
        }
    }

    private static boolean install(Abi abi) {
        Memory program = program(abi);
        try (Memory header = new Memory(16)) {
            header.setShort(0, (short) (program.size() / INSTRUCTION_BYTES));
            header.setPointer(8, program);
            return C.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
                    && C.syscall(abi.seccomp, SET_MODE_FILTER, ALLOW_SPECULATION, header) == 0
                    && ignoresActions();
        } finally {
            program.close();
        }
    }

    /** Nothing can handle SIGKILL, so that the system itself would refuse this. */
    private static boolean ignoresActions() {
        try (Memory action = new Memory(SignalHandlers.ACTION_BYTES)) {
            action.clear();
            return SignalHandlers.C.sigaction(SIGKILL, action, null) == 0;
        }
    }

    /** A request without an action only asks which there is, and is let through. */
    private static Memory program(Abi abi) {
        int[][] instructions = {
            {LOAD, 0, 0, ARCHITECTURE},
            {JUMP_IF_EQUAL, 0, 6, abi.architecture},
            {LOAD, 0, 0, NUMBER},
            {JUMP_IF_EQUAL, 0, 4, abi.sigaction},
            {LOAD, 0, 0, ACTION_LOW},
            {JUMP_IF_EQUAL, 0, 3, 0},
            {LOAD, 0, 0, ACTION_HIGH},
            {JUMP_IF_EQUAL, 0, 1, 0},
            {RETURN, 0, 0, ALLOW},
            {RETURN, 0, 0, DO_NOTHING},
        };
        Memory program = new Memory((long) instructions.length * INSTRUCTION_BYTES);
        for (int i = 0; i < instructions.length; i++) {
            long at = (long) i * INSTRUCTION_BYTES;
            program.setShort(at, (short) instructions[i][0]);
            program.setByte(at + 2, (byte) instructions[i][1]);
            program.setByte(at + 3, (byte) instructions[i][2]);
            program.setInt(at + 4, instructions[i][3]);
        }
        return program;
    }

    /** What the kernel calls an architecture, and its system calls' numbers there. */
    private record Abi(int architecture, int sigaction, int seccomp) {
        static Abi of(String jnaArchitecture) {
            return switch (jnaArchitecture) {
                case "x86-64" -> new Abi(0xc000003e, 13, 317);
                case "aarch64" -> new Abi(0xc00000b7, 134, 277);
                default -> null;
            };
        }
    }

    /** The C library's, by JNA. */
    private static final class C {
        static {
            Native.register(C.class, Platform.C_LIBRARY_NAME);
        }

        static native int prctl(int option, long a, long b, long c, long d);

        static native long syscall(long number, long operation, long flags, Pointer arguments);
    }
}
