package org.clnorm.verify;

import com.sun.jna.Function;
import com.sun.jna.Pointer;

/**
 * Memory at an address that is the same in every process, which kernels read and write beside their arguments: PoCL runs
 * them in the process itself. So one program serves for all that is asked of it, and is compiled once.
 */
final class SharedPage {
    /** Far from where Linux puts anything by itself, and within what x86-64 and AArch64 have. */
    private static final long ADDRESS = 0x100000000000L;

    private static final String HOME = "vectors.clh";
    private static final String TYPES = "\n#ifndef VW\n";
    private static final String FUNCTIONS = "INLINE int any_lane(";
    private static final int BYTES = 1 << 20;
    private static final int FIRST = 64;
    private static final int READ_AND_WRITE = 3;
    /** MAP_PRIVATE, MAP_ANONYMOUS and MAP_FIXED_NOREPLACE. */
    private static final int MAPPING = 0x2 | 0x20 | 0x100000;

    private final Pointer memory;

    SharedPage() {
        Object[] arguments = {new Pointer(ADDRESS), (long) BYTES, READ_AND_WRITE, MAPPING, -1, 0L};
        memory = Function.getFunction("c", "mmap").invokePointer(arguments);
        if (Pointer.nativeValue(memory) != ADDRESS) {
            throw new IllegalStateException(
                    "Linux gives no memory at " + Long.toHexString(ADDRESS) + " but at " + memory);
        }
    }

    /**
     * Gives kernels {@code REACHED(n)}, which is void, and {@code CHOSEN(n)}, as expressions.
     *
     * @param file any; others than the one that every kernel includes first stay as they are
     * @param functions that go with them, in lines
     */
    static String declare(String file, String text, String functions) {
        String macros = String.format(
                "#define REACHED(n) ((void)(((__global uchar *)0x%1$xUL)[%2$d + (n)] = 1))%n"
                        + "#define CHOSEN(n) (REACHED(n), *(__global const int *)0x%1$xUL == (n))%n",
                ADDRESS, FIRST);
        return file.equals(HOME) ? inserted(file, inserted(file, text, FUNCTIONS, functions), TYPES, macros) : text;
    }

    /** A text with lines before another; those after stay where they are in messages. */
    private static String inserted(String file, String text, String before, String lines) {
        int at = text.indexOf(before);
        if (at < 0 || lines.isEmpty()) {
            return text;
        }
        long line = 1 + text.substring(0, at).chars().filter(c -> c == '\n').count();
        return text.substring(0, at) + lines + "#line " + line + " \"" + file + "\"\n" + text.substring(at);
    }

    /** Makes {@code CHOSEN} true of a number from 0 on, or with -1 of none. */
    void choose(int number) {
        memory.setInt(0, number);
    }

    void forget() {
        memory.clear(BYTES);
        choose(-1);
    }

    boolean isReached(int number) {
        return memory.getByte((long) FIRST + number) != 0;
    }
}
