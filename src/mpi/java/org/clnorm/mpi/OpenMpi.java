package org.clnorm.mpi;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * What is used of Open MPI's C interface, by JNA's direct mapping, whose calls take a tenth of a microsecond. Functions return 0
 * or the number of an error.
 */
final class OpenMpi {
    /** The level at which one thread at a time may call, whichever it is. */
    static final int THREAD_SERIALIZED = 2;

    /** The class of the error that a message is longer than the room for it. */
    static final int ERR_TRUNCATE = 15;

    static final int ANY_SOURCE = -1;

    /** The names of the library: as packages of Linux have it, and what development packages link to it. */
    private static final List<String> NAMES = List.of("libmpi.so.40", "libmpi.so", "mpi");

    /** RTLD_LAZY and RTLD_GLOBAL of Linux: parts that the library loads later look for its symbols among all. */
    private static final int OPEN_FLAGS = 0x101;

    private static NativeLibrary library;

    private OpenMpi() {}

    static native int MPI_Init_thread(Pointer argc, Pointer argv, int required, int[] provided);

    static native int MPI_Initialized(int[] flag);

    static native int MPI_Finalize();

    static native int MPI_Abort(Pointer comm, int code);

    static native int MPI_Comm_size(Pointer comm, int[] size);

    static native int MPI_Comm_rank(Pointer comm, int[] rank);

    static native int MPI_Comm_split(Pointer comm, int color, int key, Pointer newComm);

    static native int MPI_Comm_set_errhandler(Pointer comm, Pointer handler);

    static native int MPI_Iallgather(
            Pointer from,
            int n,
            Pointer type,
            Pointer to,
            int nEach,
            Pointer typeOfEach,
            Pointer comm,
            Pointer request);

    static native int MPI_Test(Pointer request, Pointer flag, Pointer status);

    static native int MPI_Isend(Pointer from, int n, Pointer type, int rank, int tag, Pointer comm, Pointer request);

    static native int MPI_Iprobe(int rank, int tag, Pointer comm, Pointer flag, Pointer status);

    static native int MPI_Recv(Pointer to, int n, Pointer type, int rank, int tag, Pointer comm, Pointer status);

    static native int MPI_Error_string(int error, byte[] text, int[] length);

    static native int MPI_Error_class(int error, int[] errorClass);

    /**
     * Loads the library, once.
     *
     * @throws IllegalStateException when there is none
     */
    static synchronized void load() {
        if (library != null) {
            return;
        }
        StringBuilder problems = new StringBuilder();
        for (String name : NAMES) {
            try {
                NativeLibrary found = NativeLibrary.getInstance(name, Map.of(Library.OPTION_OPEN_FLAGS, OPEN_FLAGS));
                found.getGlobalVariableAddress("ompi_mpi_comm_world");
                Native.register(OpenMpi.class, found);
                library = found;
                return;
            } catch (UnsatisfiedLinkError e) {
                problems.append("; ")
                        .append(String.valueOf(e.getMessage())
                                .lines()
                                .findFirst()
                                .orElse(name));
            }
        }
        throw new IllegalStateException(
                "Open MPI's library is needed, as Debian's libopenmpi3 has it, on the loader's path or in"
                        + " the folder that jna.library.path names, but none was found" + problems);
    }

    /** The address of something that the library has, such as a type or a communicator. */
    static Pointer global(String name) {
        return library.getGlobalVariableAddress(name);
    }

    /** What an error is, in the library's words. */
    static String text(int error) {
        byte[] text = new byte[512];
        int[] length = new int[1];
        MPI_Error_string(error, text, length);
        return new String(Arrays.copyOf(text, length[0]), StandardCharsets.UTF_8);
    }

    static int classOf(int error) {
        int[] errorClass = new int[1];
        MPI_Error_class(error, errorClass);
        return errorClass[0];
    }

    /** Refuses to go on after an error. */
    static void check(String what, int error) {
        if (error != 0) {
            throw new GroupException(what + " failed: " + text(error));
        }
    }
}
