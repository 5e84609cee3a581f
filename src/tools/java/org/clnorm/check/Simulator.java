package org.clnorm.check;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.clnorm.check.Problem.Kind;

/**
 * Oclgrind, a simulator of an OpenCL device that reports data races, the use of what nobody has written, invalid accesses and
 * wrong calls.
 *
 * <p>It is told to compile without optimization: it cannot take LLVM's freeze instructions, which optimization makes.
 */
public final class Simulator {
    private static final List<Path> DRIVERS = Stream.of("/usr/lib", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu")
            .flatMap(folder -> Stream.of(
                    Path.of(folder, "oclgrind", "liboclgrind-rt-icd.so"), Path.of(folder, "liboclgrind-rt-icd.so")))
            .toList();

    private static final Pattern ADDRESS = Pattern.compile(" address 0x\\p{XDigit}+");

    private final Path driver;
    private final Path log;

    private Simulator(Path driver, Path log) {
        this.driver = driver;
        this.log = log;
    }

    /**
     * The one that is installed.
     *
     * @param log the file that it is to report to
     * @throws IllegalArgumentException where none is; the message says how to install it
     */
    public static Simulator installed(Path log) {
        return DRIVERS.stream()
                .filter(Files::isRegularFile)
                .findFirst()
                .map(driver -> new Simulator(driver, log))
                .orElseThrow(() -> new IllegalArgumentException("Oclgrind is not installed (there is none of " + DRIVERS
                        + "); install it, on Debian and Ubuntu with: apt install oclgrind"));
    }

    /** The environment of a process whose only OpenCL device it is to be. */
    public Map<String, String> environment() {
        Map<String, String> environment = new LinkedHashMap<>();
        environment.put("OCL_ICD_VENDORS", driver.toString());
        environment.put("OCLGRIND_BUILD_OPTIONS", "-cl-opt-disable");
        environment.put("OCLGRIND_DATA_RACES", "1");
        environment.put("OCLGRIND_UNINITIALIZED", "1");
        environment.put("OCLGRIND_CHECK_API", "1");
        environment.put("OCLGRIND_MAX_ERRORS", "200");
        environment.put("OCLGRIND_LOG", log.toString());
        return environment;
    }

    /** What it has reported until its process ended, once for each kind; the log is empty afterwards. */
    List<Problem> reports() throws IOException {
        String text = Files.exists(log) ? Files.readString(log) : "";
        Files.deleteIfExists(log);
        return parse(text);
    }

    /** Reports are blocks of lines, whose first one says what and whose others, indented, say where. */
    static List<Problem> parse(String text) {
        Map<String, Problem> problems = new LinkedHashMap<>();
        List<String> block = new ArrayList<>();
        for (String line : (text + "\n.").lines().toList()) {
            boolean inner = line.startsWith("\t") || line.startsWith(" ");
            if (!inner && !block.isEmpty() && !line.isBlank()) {
                add(block, problems);
                block.clear();
            }
            if (!line.isBlank()) {
                block.add(line.strip());
            }
        }
        return List.copyOf(problems.values());
    }

    private static void add(List<String> block, Map<String, Problem> problems) {
        String what = ADDRESS.matcher(block.get(0)).replaceAll("");
        if (what.contains("suppressing")) {
            return; // that there are more
        }
        int at = -1;
        for (int i = 1; i < block.size() && at < 0; i++) {
            at = block.get(i).startsWith("At line") ? i : -1;
        }
        String where = at < 0
                ? ""
                : ", " + block.get(at).replace("At line", "line")
                        + (at + 1 < block.size() ? " " + block.get(at + 1) : "");
        problems.putIfAbsent(what, new Problem(Kind.SIMULATOR, what, block.get(0) + where, mistake(what)));
    }

    private static String mistake(String what) {
        if (what.contains("race")) {
            return "a barrier is missing between writing and reading, or two work-items write the same place";
        }
        if (what.contains("ninitialized")) {
            return "memory is read that nobody has written: a barrier is missing, or an output is not 0 beforehand";
        }
        if (what.startsWith("Invalid")) {
            return "an index is not held against the array's length";
        }
        return what.contains("divergence") ? "not all work-items of a group come to the same barrier" : "";
    }
}
