package org.clnorm.opencl;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
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

    /**
     * Makes sure that what a process would run from a file, or from the files of a folder, can only be the user's doing.
     *
     * @param links how to take a link: as it is, which is refused, or as what it leads to
     * @return what was seen
     * @throws IOException when it is neither a folder nor a regular file, when it is another user's, or when others may
     *     write to it; the message says so. Of the last two nothing is known where the file system has no permissions.
     */
    static BasicFileAttributes checkOwn(Path path, LinkOption... links) throws IOException {
        if (!path.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            return checkKind(path, Files.readAttributes(path, BasicFileAttributes.class, links));
        }
        PosixFileAttributes attributes = Files.readAttributes(path, PosixFileAttributes.class, links);
        checkKind(path, attributes);
        if (!attributes.owner().equals(Self.OWNER)) {
            throw new IOException(path + " belongs to " + attributes.owner().getName() + ", and not to the user");
        }
        if (attributes.permissions().contains(PosixFilePermission.GROUP_WRITE)
                || attributes.permissions().contains(PosixFilePermission.OTHERS_WRITE)) {
            throw new IOException("others than the user may write to " + path + " ("
                    + PosixFilePermissions.toString(attributes.permissions()) + "); chmod go-w " + path
                    + " if only the user did");
        }
        return attributes;
    }

    private static BasicFileAttributes checkKind(Path path, BasicFileAttributes attributes) throws IOException {
        if (!attributes.isRegularFile() && !attributes.isDirectory()) {
            throw new IOException(path + " is a link, a pipe or a device, and no file");
        }
        return attributes;
    }

    /**
     * The content of a regular file of at most so many bytes; null for a longer one.
     *
     * @throws IOException when it cannot be read, or is no regular file: a pipe would never end
     */
    static byte[] read(Path file, long most, LinkOption... links) throws IOException {
        if (!Files.isRegularFile(file, links)) {
            throw new IOException(file + " is no regular file");
        }
        try (InputStream in = Files.newInputStream(file, links)) {
            byte[] content = in.readNBytes((int) Math.min(most + 1, Integer.MAX_VALUE));
            return content.length > most ? null : content;
        }
    }

    /** Who runs this process, known by what is made by it. */
    private static final class Self {
        static final UserPrincipal OWNER = owner();

        private static UserPrincipal owner() {
            try {
                Path made = Files.createTempFile("clnorm-", ".tmp");
                try {
                    return Files.getOwner(made);
                } finally {
                    Files.delete(made);
                }
            } catch (IOException e) {
                return null; // and so nothing is the user's
            }
        }
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
