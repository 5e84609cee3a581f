package org.clnorm.opencl;

import com.sun.jna.Memory;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Lets Linux ignore, for one thread and those that it starts, every request to change a signal's handler: the request
 * succeeds and changes nothing. A library that is set up by such a thread believes that it has its handlers.
 *
 * <p>That is seccomp(2), on x86-64 and AArch64. A filtered thread stays so until it ends, and neither it nor a program
 * that it starts can gain privileges any more (PR_SET_NO_NEW_PRIVS).
 */
final class SignalFilter {
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

    /** A filter's instructions: load a word, jump unless it is equal, return. */
    private static final int LOAD = 0x20;

    private static final int JUMP_UNLESS_EQUAL = 0x15;
    private static final int RETURN = 0x06;

    private static final int ALLOW = 0x7fff0000;

    /** An error with the number 0, which is none: the call returns at once, and well. */
    private static final int DO_NOTHING = 0x00050000;

    /** What the kernel calls an architecture, and its system calls' numbers there. */
    private static final boolean IS_AARCH64 = Platform.ARCH.equals("aarch64");

    private static final int ABI = IS_AARCH64 ? 0xc00000b7 : 0xc000003e;
    private static final int SIGACTION = IS_AARCH64 ? 134 : 13;
    private static final int SECCOMP = IS_AARCH64 ? 277 : 317;

    private static final boolean IS_THERE = Platform.isLinux()
            && (IS_AARCH64 || Platform.ARCH.equals("x86-64"))
            && SignalHandlers.register(SignalFilter.class);

    private SignalFilter() {}

    /** Filters the calling thread, for as long as it lives. False where this system cannot, or had better not. */
    static boolean filterThisThread() {
        if (!IS_THERE || Files.exists(NVIDIA)) {
            return false;
        }
        try (Memory program = program();
                Memory header = new Memory(16)) {
            header.setShort(0, (short) (program.size() / Long.BYTES));
            header.setPointer(8, program);
            return prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
                    && syscall(SECCOMP, SET_MODE_FILTER, ALLOW_SPECULATION, header) == 0
                    && ignoresActions();
        }
    }

    /** Nothing can handle SIGKILL, so that the system itself would refuse this. */
    private static boolean ignoresActions() {
        try (Memory action = new Memory(SignalHandlers.ACTION_BYTES)) {
            action.clear();
            return syscall(SIGACTION, SIGKILL, Pointer.nativeValue(action), null) == 0;
        }
    }

    /** A request without an action only asks which there is, and is let through. */
    private static Memory program() {
        long[] instructions = {
            instruction(LOAD, 0, ARCHITECTURE),
            instruction(JUMP_UNLESS_EQUAL, 6, ABI),
            instruction(LOAD, 0, NUMBER),
            instruction(JUMP_UNLESS_EQUAL, 4, SIGACTION),
            instruction(LOAD, 0, ACTION_LOW),
            instruction(JUMP_UNLESS_EQUAL, 3, 0),
            instruction(LOAD, 0, ACTION_HIGH),
            instruction(JUMP_UNLESS_EQUAL, 1, 0),
            instruction(RETURN, 0, ALLOW),
            instruction(RETURN, 0, DO_NOTHING),
        };
        Memory program = new Memory((long) instructions.length * Long.BYTES);
        program.write(0, instructions, 0, instructions.length);
        return program;
    }

    /** @param over how many instructions are jumped over */
    private static long instruction(int code, int over, int operand) {
        return code | (long) over << 24 | (long) operand << 32;
    }

    private static native int prctl(int option, long a, long b, long c, long d);

    private static native long syscall(long number, long a, long b, Pointer c);
}
