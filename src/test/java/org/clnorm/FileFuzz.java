package org.clnorm;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.UpdateFile;
import org.clnorm.check.Binding;
import org.clnorm.plan.StrategyTable;
import org.clnorm.state.Npz;
import org.clnorm.state.Safetensors;

/**
 * What a coverage-guided fuzzer calls ({@code ci/fuzz-files}): bytes as a file of some kind, by {@code -Dclnorm.file=npz}. A file
 * that is none is refused by an IOException, a text by an IllegalArgumentException, and with words; everything else is a finding.
 */
public final class FileFuzz {
    private static final String KIND = System.getProperty("clnorm.file", "npz");

    private static final Path FILE = file();

    private FileFuzz() {}

    private static Path file() {
        try {
            Path file = Files.createTempFile("clnorm-fuzz", suffix());
            file.toFile().deleteOnExit();
            return file;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String suffix() {
        return KIND.equals("safetensors") ? ".safetensors" : ".npz";
    }

    /** One input. */
    public static void fuzzerTestOneInput(byte[] data) throws IOException {
        String words;
        try {
            read(data);
            return;
        } catch (IOException e) {
            if (!isOfFiles()) {
                throw e;
            }
            words = e.getMessage();
        } catch (IllegalArgumentException e) {
            if (isOfFiles()) {
                throw e;
            }
            words = e.getMessage();
        }
        if (words == null || words.length() < 10) {
            throw new AssertionError("Refused without a reason: " + words);
        }
    }

    private static boolean isOfFiles() {
        return !KIND.equals("binding") && !KIND.equals("strategies");
    }

    private static void read(byte[] data) throws IOException {
        switch (KIND) {
            case "binding" -> Binding.parse(new String(data, StandardCharsets.UTF_8));
            case "strategies" -> StrategyTable.parse(new String(data, StandardCharsets.UTF_8));
            default -> {
                Files.write(FILE, data);
                switch (KIND) {
                    case "npz" -> Npz.read(FILE);
                    case "safetensors" -> Safetensors.read(FILE);
                    case "case" -> CaseFile.read(FILE);
                    case "update" -> UpdateFile.read(FILE);
                    default -> throw new AssertionError("-Dclnorm.file must name a kind of file, but is " + KIND);
                }
            }
        }
    }
}
