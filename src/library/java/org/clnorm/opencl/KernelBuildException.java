package org.clnorm.opencl;

/** A kernel source did not compile on a device. The message has the compiler's log and the options. */
public final class KernelBuildException extends OpenClException {
    KernelBuildException(String source, String options, String device, String log) {
        super(source + " does not build on " + device + " with options '" + options + "':\n" + log.strip());
    }
}
