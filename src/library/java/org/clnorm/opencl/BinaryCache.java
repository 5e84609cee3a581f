package org.clnorm.opencl;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.ReadOnlyFileSystemException;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.clnorm.files.Draft;
import org.clnorm.plan.DeviceFacts;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Binaries of programs in the user's cache folder, so that the next process need not compile them.
 *
 * <p>An entry is known by a digest of all that changes the binary: the platform, the device and their versions, the
 * source text and the options. Its file says so again, with the kernel's name and a digest of the binary, so that a file
 * which was cut off, damaged or put there under a wrong name is seen to be so, and deleted, before a driver sees it: drivers
 * crash over what is not whole. Since anybody can make a digest, folder and files count only if they are the user's and
 * nobody else may write to them. Files appear by an atomic move, so processes may share the folder. Whatever goes wrong
 * with it, the worst is that kernels are compiled.
 */
final class BinaryCache {
    /** The system property that switches it on or off, before the environment variable of the other name. */
    static final String PROPERTY = "clnorm.cache";

    static final String VARIABLE = "CLNORM_CACHE";

    static final String SUFFIX = ".clbinary";

    private static final Logger log = LoggerFactory.getLogger(BinaryCache.class);
    private static final BinaryCache OFF = new BinaryCache(null, List.of());

    /** To be increased when an older file would be misread. */
    private static final int FORMAT = 2;

    private static final byte[] MAGIC = "clnormB\n".getBytes(StandardCharsets.US_ASCII);
    private static final int DIGEST_BYTES = 32;
    /** Where a file says how far its binary has come. */
    private static final int STATE_AT = MAGIC.length + Integer.BYTES;

    /** No process has used it yet. */
    private static final byte NEW = 'n';
    /** A process is using it for the first time, or was when it ended. */
    private static final byte ON_TRIAL = 't';
    /** A process has used it, and went on. */
    private static final byte PROVEN = 'p';

    private static final Pattern NAME = Pattern.compile("[0-9a-f]{64}" + Pattern.quote(SUFFIX));

    private static final long MOST_BYTES_OF_A_FILE = 64 << 20;
    /** What is shorter is no program: PoCL reads a header of 77 bytes, however long a binary is said to be. */
    private static final int LEAST_BYTES_OF_A_BINARY = 256;

    static final long MOST_BYTES = 256 << 20;
    static final Duration UNUSED = Duration.ofDays(90);
    /** Entries in use are marked as such so often. */
    private static final Duration USED = Duration.ofDays(1);

    private final Path folder;
    private final List<String> device;
    private boolean trusted;
    private boolean distrusted;
    private boolean swept;
    private boolean complained;

    /** @param device what tells the device and its driver from others */
    BinaryCache(Path folder, List<String> device) {
        this.folder = folder;
        this.device = List.copyOf(device);
    }

    /** One that has nothing and keeps nothing. */
    static BinaryCache off() {
        return OFF;
    }

    /** That of a device, in the user's cache folder, unless a switch turns it off. */
    static BinaryCache of(DeviceFacts facts, String platformVersion) {
        Optional<Path> cache = UserCache.folder();
        if (cache.isEmpty() || !isOn(System.getProperty(PROPERTY), System.getenv(VARIABLE))) {
            return OFF;
        }
        return new BinaryCache(
                cache.get().resolve("kernels"),
                List.of(
                        facts.platform(),
                        platformVersion,
                        facts.name(),
                        facts.vendor(),
                        facts.version(),
                        facts.driver(),
                        // What an instruction set that a virtual machine hides changes, under the same name.
                        facts.extensions(),
                        Integer.toString(facts.floatVectorWidth())));
    }

    static boolean isOn(String property, String variable) {
        boolean byProperty = property != null && !property.isBlank();
        String value = byProperty ? property : variable;
        if (value == null || value.isBlank() || value.equalsIgnoreCase("on")) {
            return true;
        }
        if (value.equalsIgnoreCase("off")) {
            return false;
        }
        throw new IllegalArgumentException(
                (byProperty ? PROPERTY : VARIABLE) + " must be on or off, but given was '" + value + "'");
    }

    boolean isOn() {
        return folder != null;
    }

    /** What the binary of a source under some options is known by here. */
    String key(String text, String options) {
        MessageDigest digest = sha256();
        digest.update((byte) FORMAT);
        Stream.concat(device.stream(), Stream.of(text, options)).forEach(part -> {
            byte[] bytes = part.getBytes(StandardCharsets.UTF_8);
            digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(0, bytes.length)); // "ab", "c" is not "a", "bc"
            digest.update(bytes);
        });
        return HexFormat.of().formatHex(digest.digest());
    }

    Path file(String key) {
        return folder.resolve(key + SUFFIX);
    }

    /** The binary of a kernel that was written under a key, or null. */
    byte[] read(String key, String kernel) {
        if (!isOn()) {
            return null;
        }
        Path file = file(key);
        try {
            if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS) || !isTrusted()) {
                return null;
            }
            BasicFileAttributes attributes = UserCache.checkOwn(file, LinkOption.NOFOLLOW_LINKS);
            byte[] content = UserCache.read(file, MOST_BYTES_OF_A_FILE, LinkOption.NOFOLLOW_LINKS);
            byte[] binary = content == null ? null : binaryOf(key, kernel, content);
            if (binary == null) {
                log.debug("{} is damaged or another program's, and so deleted", file);
                delete(key);
                return null;
            }
            Instant now = Instant.now();
            if (attributes.lastModifiedTime().toInstant().isBefore(now.minus(USED))) {
                Files.setLastModifiedTime(file, FileTime.from(now));
            }
            return binary;
        } catch (NoSuchFileException e) {
            return null; // another process was quicker to delete it
        } catch (IOException | SecurityException e) {
            complain("read", e);
            return null;
        }
    }

    /**
     * To be asked before the driver gets a binary that was read: it may have been damaged before it was written, in the
     * driver or in its own cache, and then end the process. So a first use is entered in the file, and one that did not
     * come to {@link #prove} is the last.
     */
    boolean admits(String key) {
        if (!isOn()) {
            return false;
        }
        try (FileChannel file = channel(key)) {
            byte state = state(file);
            if (state == NEW) {
                setState(file, ON_TRIAL);
            }
            return state != ON_TRIAL;
        } catch (AccessDeniedException | ReadOnlyFileSystemException e) {
            return true; // of a folder that was filled for this user, and is not to be written to
        } catch (IOException | SecurityException e) {
            complain("write to", e);
            return false;
        }
    }

    /** The binary of a key was used, and the process is still there. */
    void prove(String key) {
        try (FileChannel file = channel(key)) {
            if (state(file) == ON_TRIAL) {
                setState(file, PROVEN);
            }
        } catch (NoSuchFileException | AccessDeniedException | ReadOnlyFileSystemException e) {
            log.trace("{} was deleted, or cannot be written to", file(key));
        } catch (IOException | SecurityException e) {
            complain("write to", e);
        }
    }

    private FileChannel channel(String key) throws IOException {
        return FileChannel.open(
                file(key), StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
    }

    private static byte state(FileChannel file) throws IOException {
        ByteBuffer state = ByteBuffer.allocate(1);
        file.read(state, STATE_AT);
        return state.get(0);
    }

    private static void setState(FileChannel file, byte state) throws IOException {
        file.write(ByteBuffer.wrap(new byte[] {state}), STATE_AT);
    }

    /** Keeps the binary of a kernel under a key, in the place of one that may be there. */
    void write(String key, String kernel, byte[] binary) {
        if (!isOn()) {
            return;
        }
        try {
            UserCache.create(folder);
            if (!isTrusted()) {
                return;
            }
            try (Draft draft = Draft.ofOwner(folder)) {
                Files.write(draft.path(), fileOf(key, kernel, binary, NEW));
                draft.replace(file(key));
            }
            if (!swept) {
                swept = true;
                sweep();
            }
        } catch (IOException | UncheckedIOException | SecurityException e) {
            complain("write to", e);
        }
    }

    /** Whether nobody but the user can have put machine code into the folder, which is there. */
    private boolean isTrusted() throws IOException {
        if (!trusted && !distrusted) {
            try {
                UserCache.checkOwn(folder);
                trusted = true;
            } catch (IOException e) {
                distrusted = true;
                throw e;
            }
        }
        return trusted;
    }

    /** Deletes the entry of a key, if there is one. */
    void delete(String key) {
        if (isOn()) {
            delete(file(key));
        }
    }

    private void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException | SecurityException e) {
            complain("delete from", e);
        }
    }

    /** Deletes entries that were not used for long, and the longest unused of what is too much; no other file. */
    private void sweep() throws IOException {
        Draft.sweep(folder);
        record Entry(Path file, Instant used, long bytes) {}
        List<Entry> entries = new ArrayList<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                try {
                    BasicFileAttributes attributes =
                            Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
                    if (attributes.isRegularFile() && isEntry(file)) {
                        entries.add(
                                new Entry(file, attributes.lastModifiedTime().toInstant(), attributes.size()));
                    }
                } catch (NoSuchFileException e) {
                    log.trace("Another process deleted {}", file);
                }
            }
        }
        entries.sort(Comparator.comparing(Entry::used).reversed());
        Instant oldest = Instant.now().minus(UNUSED);
        long bytes = 0;
        for (Entry entry : entries) {
            bytes += entry.bytes;
            if (bytes > MOST_BYTES || entry.used.isBefore(oldest)) {
                delete(entry.file);
            }
        }
    }

    /** Whether a regular file is one of these, of any format, by its name and by how it begins. */
    private static boolean isEntry(Path file) throws IOException {
        if (!NAME.matcher(file.getFileName().toString()).matches()) {
            return false;
        }
        try (InputStream in = Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS)) {
            return Arrays.equals(in.readNBytes(MAGIC.length), MAGIC);
        } catch (AccessDeniedException e) {
            return false;
        }
    }

    /** Once: what fails for one kernel fails for all. */
    private void complain(String what, Exception problem) {
        if (!complained) {
            complained = true;
            log.warn(
                    "Could not {} the kernel cache {}, so kernels may be compiled anew: {}",
                    what,
                    folder,
                    problem.getClass() == IOException.class ? problem.getMessage() : problem.toString());
        }
    }

    private static byte[] fileOf(String key, String kernel, byte[] binary, byte state) {
        byte[] name = kernel.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(headerBytes(name) + binary.length)
                .put(MAGIC)
                .putInt(FORMAT)
                .put(state)
                .put(HexFormat.of().parseHex(key))
                .putInt(name.length)
                .put(name)
                .putInt(binary.length)
                .put(sha256().digest(binary))
                .put(binary)
                .array();
    }

    private static int headerBytes(byte[] name) {
        return MAGIC.length + 3 * Integer.BYTES + 1 + 2 * DIGEST_BYTES + name.length;
    }

    /** The binary in a file's content, or null where that is not an entry of the key and the kernel. */
    private static byte[] binaryOf(String key, String kernel, byte[] content) {
        int header = headerBytes(kernel.getBytes(StandardCharsets.UTF_8));
        if (content.length < header + LEAST_BYTES_OF_A_BINARY) {
            return null;
        }
        byte[] binary = Arrays.copyOfRange(content, header, content.length);
        byte state = content[STATE_AT];
        boolean isKnown = state == NEW || state == ON_TRIAL || state == PROVEN;
        return isKnown && Arrays.equals(content, fileOf(key, kernel, binary, state)) ? binary : null;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("Every Java platform has SHA-256", e);
        }
    }
}
