package org.clnorm.opencl;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Where this library keeps what it can make again, for the user who runs it. */
public final class UserCache {
    /** The environment variable that names the folder; without it, it is where the operating system has such folders. */
    public static final String FOLDER_VARIABLE = "CLNORM_CACHE_DIR";

    private UserCache() {}

    /** The folder, which need not exist; none for a user without a home. */
    public static Optional<Path> folder() {
        return folder(System.getenv(), System.getProperty("os.name"), System.getProperty("user.home"));
    }

    static Optional<Path> folder(Map<String, String> environment, String system, String home) {
        String named = environment.getOrDefault(FOLDER_VARIABLE, "");
        if (!named.isBlank()) {
            return Optional.of(Path.of(named));
        }
        String os = system.toLowerCase(Locale.ROOT);
        if (os.startsWith("windows")) {
            String local = environment.getOrDefault("LOCALAPPDATA", "");
            return local.isBlank() ? Optional.empty() : Optional.of(Path.of(local, "clnorm", "cache"));
        }
        String xdg = environment.getOrDefault("XDG_CACHE_HOME", "");
        if (!os.startsWith("mac") && !xdg.isBlank() && Path.of(xdg).isAbsolute()) { // its specification ignores others
            return Optional.of(Path.of(xdg, "clnorm"));
        }
        if (home == null || !Path.of(home).isAbsolute()) { // the JVM says "?" for a user whom the system does not know
            return Optional.empty();
        }
        return Optional.of(
                os.startsWith("mac")
                        ? Path.of(home, "Library", "Caches", "clnorm")
                        : Path.of(home, ".cache", "clnorm"));
    }

    /** Makes a folder in it, for nobody but the user: what is in it may be machine code that a process will run. */
    static void create(Path folder) throws IOException {
        if (folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            Files.createDirectories(
                    folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        } else {
            Files.createDirectories(folder);
        }
    }
}
