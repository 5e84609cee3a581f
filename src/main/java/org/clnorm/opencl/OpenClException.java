package org.clnorm.opencl;

import org.jocl.CL;

/** An OpenCL call failed. */
public class OpenClException extends RuntimeException {
    OpenClException(String message) {
        super(message);
    }

    /** @throws OpenClException unless the status is CL_SUCCESS */
    static void check(int status, String what) {
        if (status != CL.CL_SUCCESS) {
            throw new OpenClException(what + " failed: " + CL.stringFor_errorCode(status));
        }
    }
}
