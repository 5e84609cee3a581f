package org.clnorm.example.device;

import org.jocl.CL;

/** What OpenCL and CLBlast answer. */
final class Status {
    private Status() {}

    /** @throws IllegalStateException unless all is well */
    static void check(int status, String what) {
        if (status != CL.CL_SUCCESS) {
            throw new IllegalStateException("OpenCL failed at " + what + ": " + CL.stringFor_errorCode(status));
        }
    }
}
