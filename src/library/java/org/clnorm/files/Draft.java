package org.clnorm.files;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.regex.Pattern;

/**
 * A file that is written beside the one whose place it is to take. The system gives it a name that nobody has, so that
 * neither another writer nor what a killed one left is ever in the way.
 */
public final class Draft implements AutoCloseable {
    private static final String PREFIX = "clnorm-";
    private static final String SUFFIX = ".part";
    private static final Pattern NAME = Pattern.compile(PREFIX + "\\d+" + Pattern.quote(SUFFIX));

    /** A draft that nobody wrote to for so long has no writer any more. */
    static final Duration ABANDONED = Duration.ofDays(1);

    private final Path path;
    private boolean inPlace;

    private Draft(Path path) {
        this.path = path;
    }

    /** An empty one in a folder, with the permissions that the process gives to any new file. */
    static Draft in(Path folder) throws IOException {
        // Without them it would be readable by nobody but its owner, as temporary files are.
        return make(folder, "rw-rw-rw-"); // less the process's umask, which the system takes off
    }

    /** An empty one in a folder, for nobody but its owner. */
    public static Draft ofOwner(Path folder) throws IOException {
        return make(folder, "rw-------");
    }

    private static Draft make(Path folder, String permissions) throws IOException {
        boolean posix = folder.getFileSystem().supportedFileAttributeViews().contains("posix");
        FileAttribute<?>[] attributes = posix
                ? new FileAttribute<?>[] {
                    PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions))
                }
                : new FileAttribute<?>[0];
        return new Draft(Files.createTempFile(folder, PREFIX, SUFFIX, attributes));
    }

    /** Where it is until it takes its place. */
    public Path path() {
        return path;
    }

    /** Puts it in the place of a file of the same folder, at one blow. */
    public void replace(Path file) throws IOException {
        Files.move(path, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        inPlace = true;
    }

    /** Deletes it, unless it took its place. */
    @Override
    public void close() throws IOException {
        if (!inPlace) {
            Files.deleteIfExists(path);
        }
    }

    /** Deletes the drafts in a folder whose writers were killed, as far as that can be done. */
    public static void sweep(Path folder) {
        Instant abandoned = Instant.now().minus(ABANDONED);
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, PREFIX + "*" + SUFFIX)) {
            for (Path file : files) {
                if (NAME.matcher(file.getFileName().toString()).matches()) {
                    deleteIfOlder(file, abandoned);
                }
            }
        } catch (IOException | DirectoryIteratorException | SecurityException e) {
            // They lie there until somebody else can.
        }
    }

    private static void deleteIfOlder(Path file, Instant than) {
        try {
            BasicFileAttributes attributes =
                    Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
            if (attributes.isRegularFile()
                    && attributes.lastModifiedTime().toInstant().isBefore(than)) {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            // Another process was quicker, or it is another user's.
        }
    }
}
