package org.clnorm.verify;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.clnorm.DataType;
import org.clnorm.verify.Verifier.Extent;

/** A case of {@code verify} under a strategy, by its place among those of elements of a type. */
record KernelTrial(String strategy, DataType type, int index) {
    /** Under which elements of 16 bits are tried, which the same functions read and write everywhere. */
    private static final Set<String> OF_16_BITS = Set.of("cpu-split", "gpu-split");

    /** All that {@code verify} runs with float32; with 16 bits the quick cases of batch normalization. */
    static List<KernelTrial> all(String strategy) {
        List<KernelTrial> all = new ArrayList<>();
        for (DataType type : DataType.values()) {
            List<VerifierCase> cases = extent(type).cases(strategy);
            for (int i = 0; i < cases.size(); i++) {
                if (type == DataType.FLOAT32
                        || OF_16_BITS.contains(strategy) && cases.get(i).isPlain()) {
                    all.add(new KernelTrial(strategy, type, i));
                }
            }
        }
        return all;
    }

    /** What kernels, and all that verifies them, are known by: what was found with others is found no more. */
    static String digest(Map<String, String> sources) {
        CRC32 digest = new CRC32();
        sources.values().forEach(text -> digest.update(text.getBytes(StandardCharsets.UTF_8)));
        String jar = Verifier.class
                .getProtectionDomain()
                .getCodeSource()
                .getLocation()
                .getPath();
        try (ZipFile classes = new ZipFile(jar)) {
            classes.stream()
                    .filter(entry -> entry.getName().matches("org/clnorm/(verify|reference)/.*\\.class"))
                    .sorted(Comparator.comparing(ZipEntry::getName))
                    .forEach(entry ->
                            digest.update(ByteBuffer.allocate(Long.BYTES).putLong(0, entry.getCrc())));
        } catch (IOException e) {
            throw new UncheckedIOException("Verifier is to be of a jar, but it is of " + jar, e);
        }
        return String.format(Locale.ROOT, "%08x", digest.getValue());
    }

    static Extent extent(DataType type) {
        return new Extent(type != DataType.FLOAT32, type);
    }

    @Override
    public String toString() {
        return strategy + " " + type.name() + " " + index;
    }

    static KernelTrial parse(String words) {
        String[] parts = words.split(" ");
        return new KernelTrial(parts[0], DataType.valueOf(parts[1]), Integer.parseInt(parts[2]));
    }
}
