package org.clnorm.check;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.UnaryOperator;
import org.clnorm.Device;
import org.clnorm.opencl.OpenCl;

/** The kernels of docs/check.md, as they are and with edits. */
public final class Examples {
    private static final Path FOLDER = Path.of("docs", "check");

    private Examples() {}

    public static OpenCl.Candidate device() {
        return OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));
    }

    public static Path kernel(String name) {
        return FOLDER.resolve(name + ".cl");
    }

    public static Path binding(String name) {
        return FOLDER.resolve(name + ".properties");
    }

    static KernelCheck check(String name) throws IOException {
        return check(name, UnaryOperator.identity());
    }

    static KernelCheck check(String name, UnaryOperator<String> edit) throws IOException {
        return KernelCheck.of(edit.apply(Files.readString(kernel(name))), Binding.read(binding(name)));
    }

    /** The text with one place of it changed, which must be there. */
    public static UnaryOperator<String> replacing(String what, String with) {
        return text -> {
            if (!text.contains(what)) {
                throw new IllegalArgumentException("There is no '" + what + "'");
            }
            return text.replace(what, with);
        };
    }
}
