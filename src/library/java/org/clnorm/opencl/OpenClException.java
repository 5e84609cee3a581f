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
            throw new OpenClException(what + " failed: " + CL.stringFor_errorCode(status));
        }
    }
}
