package org.clnorm.opencl;

import java.util.function.IntSupplier;
import org.jocl.CL;
import org.jocl.CLException;

/** An OpenCL call failed. */
public class OpenClException extends RuntimeException {
    OpenClException(String message) {
        super(message);
    }

    /** The status of a call, also where the program has told JOCL to throw instead of returning it. */
    static int statusOf(IntSupplier call) {
        try {
            return call.getAsInt();
        } catch (CLException e) {
            return e.getStatus();
        }
    }

    /** @throws OpenClException unless the status is CL_SUCCESS */
    static void check(int status, String what) {
        if (status != CL.CL_SUCCESS) {
            throw new OpenClException(what + " failed: " + inWords(status));
        }
    }

    /** A status by its name, with what is to be done about it where that can be told. */
    static String inWords(int status) {
        String advice =
                switch (status) {
                    case CL.CL_MEM_OBJECT_ALLOCATION_FAILURE, CL.CL_OUT_OF_RESOURCES, CL.CL_OUT_OF_HOST_MEMORY ->
                        " (close what is not needed any more, or take a smaller batch)";
                    case CL.CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST ->
                        " (something that was asked of the device before has failed there; what it was to write is not to"
                                + " be relied on)";
                    // All that these calls are given is there, so that it is the driver who has lost it.
                    case CL.CL_DEVICE_NOT_AVAILABLE,
                            CL.CL_INVALID_DEVICE,
                            CL.CL_INVALID_CONTEXT,
                            CL.CL_INVALID_COMMAND_QUEUE,
                            CL.CL_INVALID_MEM_OBJECT,
                            CL.CL_INVALID_PROGRAM,
                            CL.CL_INVALID_KERNEL,
                            CL.CL_INVALID_EVENT -> " (the device cannot be used any more: close it, and open it again)";
                    default -> "";
                };
        return CL.stringFor_errorCode(status) + advice;
    }
}
