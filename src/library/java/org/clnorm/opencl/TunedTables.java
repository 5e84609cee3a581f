package org.clnorm.opencl;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;
import org.clnorm.files.WholeFile;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyTable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What was measured on this machine's devices, a file for each in the user's cache folder.
 *
 * <p>A file counts only for the device, driver and kernels that it was measured with, and only whole; one that does not is
 * ignored, and the log says so.
 */
public final class TunedTables {
    private static final Logger log = LoggerFactory.getLogger(TunedTables.class);
    private static final String FIRST_LINE = "clnorm strategies, format 1\n";

    private static final long MOST_BYTES = 1 << 20;

    /** Where the files are; empty where there is to be none. */
    private final Optional<Path> folder;

    TunedTables(Optional<Path> cache) {
        this.folder = cache.map(path -> path.resolve("strategies"));
    }

    /** Those of the user; none where caching is switched off. */
    public static TunedTables ofUser() {
        boolean on = BinaryCache.isOn(System.getProperty(BinaryCache.PROPERTY), System.getenv(BinaryCache.VARIABLE));
        return new TunedTables(on ? UserCache.folder() : Optional.empty());
    }

    /** The file of a device, whether it is there or not; empty where caching is switched off. */
    public Optional<Path> file(DeviceFacts facts) {
        return folder.map(path ->
                path.resolve(sha256(facts.platform() + "\n" + facts.name()).substring(0, 16) + ".txt"));
    }

    /** What was measured on a device, if it was, and still counts. */
    public Optional<StrategyTable> load(DeviceFacts facts) {
        Optional<Path> file = file(facts).filter(Files::exists);
        try {
            return file.isEmpty() ? Optional.empty() : Optional.of(read(text(file.orElseThrow()), facts));
        } catch (IOException | IllegalArgumentException e) {
            log.warn(
                    "The strategies in {} are ignored: {}. clnorm tune measures them anew.",
                    file.orElseThrow(),
                    e instanceof IOException ? e.toString() : e.getMessage());
            return Optional.empty();
        }
    }

    private static String text(Path file) throws IOException {
        byte[] content = UserCache.read(file, MOST_BYTES);
        if (content == null) {
            throw new IOException("it has more than " + MOST_BYTES + " bytes");
        }
        return new String(content, StandardCharsets.UTF_8);
    }

    private static StrategyTable read(String text, DeviceFacts facts) {
        if (!text.startsWith(FIRST_LINE)) {
            throw new IllegalArgumentException("it does not begin with '" + FIRST_LINE.strip() + "'");
        }
        String expected = FIRST_LINE + measuredWith(facts);
        if (!text.startsWith(expected)) {
            throw new IllegalArgumentException("it was measured with another device, driver or version of the kernels");
        }
        String rest = text.substring(expected.length());
        int line = rest.indexOf('\n');
        String rows = rest.substring(line + 1);
        if (line < 0 || !rest.substring(0, line + 1).equals(checksum(rows))) {
            throw new IllegalArgumentException("it is damaged: its checksum is another");
        }
        StrategyTable table = StrategyTable.parse(rows);
        table.rows().forEach(row -> Strategy.named(row.strategy(), facts));
        return table;
    }

    /**
     * Keeps what was measured on a device, in place of what was there. Whoever reads at the same time sees either.
     *
     * @return the file
     * @throws IllegalStateException when caching is switched off
     */
    public Path store(DeviceFacts facts, StrategyTable table) throws IOException {
        Path file = file(facts)
                .orElseThrow(() -> new IllegalStateException(
                        "There is no cache folder to store in: it is switched off, or the user has no home"));
        UserCache.create(file.getParent());
        String rows = table.toString();
        WholeFile.at(file).write(FIRST_LINE + measuredWith(facts) + checksum(rows) + rows);
        return file;
    }

    /** Forgets what was measured on a device; whether there was anything. */
    public boolean remove(DeviceFacts facts) throws IOException {
        Optional<Path> file = file(facts);
        return file.isPresent() && Files.deleteIfExists(file.orElseThrow());
    }

    /** All that another measurement could depend on. */
    private static String measuredWith(DeviceFacts facts) {
        return "platform " + facts.platform() + "\ndevice " + facts.name() + "\nversion " + facts.version()
                + "\ndriver " + facts.driver() + "\ncompute units " + facts.computeUnits() + "\nkernels "
                + Sources.DIGEST
                + "\n";
    }

    private static String checksum(String rows) {
        return "checksum " + sha256(rows) + "\n";
    }

    /** Of the sources of all kernels. Only who has a table waits for it. */
    private static final class Sources {
        static final String DIGEST = sha256(KernelSource.all());
    }

    private static String sha256(String text) {
        try {
            return HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("Every Java platform has SHA-256", e);
        }
    }
}
