package org.clnorm.opencl;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.clnorm.plan.KernelCatalogue;
import org.clnorm.plan.Launch;

/**
 * What a GPU's assembler makes of a kernel, without a GPU: clang and libclc stand in for the driver's OpenCL compiler, and
 * ptxas of a CUDA toolkit is what the driver has, too. Registers may differ by a fifth from the driver's; how wide accesses
 * are, stack and barriers are telling.
 */
final class GpuCode {
    /**
     * Of one kernel.
     *
     * @param registers of a work-item
     * @param stack bytes of a work-item's stack, which lies in memory
     * @param spilled bytes that are stored there for want of registers
     * @param shared bytes of local memory of a work-group
     * @param barriers as many as the code has
     * @param loads from global memory as many as the code has, by bytes of each
     * @param stores likewise
     */
    record Facts(
            int registers,
            int stack,
            int spilled,
            int shared,
            int barriers,
            Map<Integer, Integer> loads,
            Map<Integer, Integer> stores) {}

    /** Bytes of registers that may be stored for want of room: a few, and not in a loop. */
    static final int SPILL_ALLOWED = 64;

    /** A unit of Hopper's. */
    private static final int REGISTERS = 65_536;

    private static final int ITEMS = 2048;
    private static final int WORK_GROUPS = 32;
    private static final int SHARED = 227 << 10;

    private static final String ARCHITECTURE = "sm_90";
    private static final Pattern ACCESS =
            Pattern.compile("\\b(ld|st)\\.(?:volatile\\.)?global(?:\\.nc)?(?:\\.v(\\d))?\\.[a-z](\\d+)");

    private static final Pattern ENTRY = Pattern.compile("(\\.entry [^{]*?\\))\\s*\\{");

    private final Path folder;
    private final Map<String, Facts> known = new LinkedHashMap<>();

    /** @param folder where what is compiled is left, each kernel's PTX too */
    GpuCode(Path folder) {
        this.folder = folder;
    }

    Facts of(Launch launch) {
        return known.computeIfAbsent(launch.kernel() + " " + launch.options(), any -> compile(launch));
    }

    /** How many different ones there were. */
    int programs() {
        return known.size();
    }

    /** Work-groups of so many items that a unit has room for. */
    static int perUnit(Facts facts, int items) {
        int registersOfAWarp = (facts.registers() * 32 + 255) / 256 * 256;
        int warps = (items + 31) / 32;
        int byRegisters = REGISTERS / registersOfAWarp / warps;
        int byShared = facts.shared() == 0 ? WORK_GROUPS : SHARED / (facts.shared() + 1024);
        return Math.min(Math.min(byRegisters, byShared), Math.min(WORK_GROUPS, ITEMS / (warps * 32)));
    }

    private Facts compile(Launch launch) {
        try {
            Files.createDirectories(folder);
            String name = launch.kernel() + "-" + known.size();
            Path source = folder.resolve(name + ".cl");
            Path ptx = folder.resolve(name + ".ptx");
            String text =
                    KernelSource.read(KernelCatalogue.entry(launch.kernel()).source(), launch.kernel());
            Files.writeString(source, "// " + launch.options() + "\n" + text);
            List<String> clang = new ArrayList<>(List.of("clang-16", "-x", "cl"));
            clang.addAll(Arrays.asList(launch.options().split(" ")));
            clang.addAll(List.of(
                    "--target=nvptx64-nvidia-nvcl",
                    "-Xclang",
                    "-finclude-default-header",
                    "-Xclang",
                    "-mlink-builtin-bitcode",
                    "-Xclang",
                    System.getProperty("clnorm.libclc", "/usr/lib/clc/nvptx64--nvidiacl.bc"),
                    "-march=" + ARCHITECTURE,
                    "-O3",
                    "-Wno-everything",
                    "-S",
                    "-o",
                    ptx.toString(),
                    source.toString()));
            run(clang);
            // clang leaves it out, and a driver obeys it: as many registers as a work-group of that size can have.
            String sized = ENTRY.matcher(Files.readString(ptx))
                    .replaceFirst("$1\n.reqntid " + launch.strategy().items() + ", 1, 1\n{");
            Files.writeString(ptx, sized);
            String said = run(List.of(
                    "ptxas",
                    "-v",
                    "-arch=" + ARCHITECTURE,
                    ptx.toString(),
                    "-o",
                    folder.resolve("cubin").toString()));
            return facts(said, sized);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Facts facts(String said, String ptx) {
        Map<Integer, Integer> loads = new LinkedHashMap<>();
        Map<Integer, Integer> stores = new LinkedHashMap<>();
        Matcher access = ACCESS.matcher(ptx);
        while (access.find()) {
            int lanes = access.group(2) == null ? 1 : Integer.parseInt(access.group(2));
            (access.group(1).equals("ld") ? loads : stores)
                    .merge(lanes * Integer.parseInt(access.group(3)) / 8, 1, Integer::sum);
        }
        return new Facts(
                number(said, "Used (\\d+) registers"),
                number(said, "(\\d+) bytes stack frame"),
                number(said, "(\\d+) bytes spill stores"),
                number(said, "(\\d+) bytes smem"),
                (int) Pattern.compile("\\bbar(rier)?\\.sync")
                        .matcher(ptx)
                        .results()
                        .count(),
                loads,
                stores);
    }

    private static int number(String text, String pattern) {
        Matcher found = Pattern.compile(pattern).matcher(text);
        return found.find() ? Integer.parseInt(found.group(1)) : 0;
    }

    private static String run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (!process.waitFor(1, TimeUnit.MINUTES) || process.exitValue() != 0) {
                throw new IllegalStateException(String.join(" ", command) + "\n" + said);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
        return said;
    }
}
