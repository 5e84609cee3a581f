package org.clnorm.verify;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.opencl.OpenClBackend.BuiltProgram;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.Placement;

/** What a device's compiler makes of the kernels of a few training steps: over contiguous runs, columns and rows. */
public final class Probe {
    private Probe() {}

    /** A program that was built for them. */
    public record Program(String strategy, BuiltProgram built) {
        /** What its instructions are, where the driver gives PTX. */
        public Instructions instructions() {
            return Instructions.of(new String(built.binary(), StandardCharsets.ISO_8859_1));
        }
    }

    /**
     * How often some instructions stand in a text in PTX, NVIDIA's assembler; 0 of all in anything else.
     *
     * @param fma multiply and add with one rounding
     * @param wideLoads of 16 bytes from global memory
     * @param loads all from global memory
     * @param wideStores of 16 bytes to global memory
     * @param stores all to global memory
     * @param local accesses of a work-item's own memory, which is where arrays are that registers do not hold
     * @param barriers of a work-group
     */
    public record Instructions(
            boolean isPtx, int fma, int wideLoads, int loads, int wideStores, int stores, int local, int barriers) {
        private static final Pattern PTX = Pattern.compile("(?m)^\\s*\\.target\\s+sm_");
        private static final Pattern FMA = Pattern.compile("\\bfma\\.rn(?:\\.ftz)?\\.f32\\b");
        private static final String WIDE = "\\.global\\b[.:\\w]*(?:\\.v4\\.[a-z]32|\\.v2\\.[a-z]64)\\b";
        private static final Pattern WIDE_LOAD = Pattern.compile("\\bld" + WIDE);
        private static final Pattern LOAD = Pattern.compile("\\bld\\.global\\b");
        private static final Pattern WIDE_STORE = Pattern.compile("\\bst" + WIDE);
        private static final Pattern STORE = Pattern.compile("\\bst\\.global\\b");
        private static final Pattern LOCAL = Pattern.compile("\\b(?:ld|st)\\.local\\b");
        private static final Pattern BARRIER = Pattern.compile("\\bbar(?:rier)?\\.(?:warp\\.)?sync\\b");

        static Instructions of(String text) {
            if (!PTX.matcher(text).find()) {
                return new Instructions(false, 0, 0, 0, 0, 0, 0, 0);
            }
            return new Instructions(
                    true,
                    count(FMA, text),
                    count(WIDE_LOAD, text),
                    count(LOAD, text),
                    count(WIDE_STORE, text),
                    count(STORE, text),
                    count(LOCAL, text),
                    count(BARRIER, text));
        }

        private static int count(Pattern pattern, String text) {
            Matcher matcher = pattern.matcher(text);
            int count = 0;
            while (matcher.find()) {
                count++;
            }
            return count;
        }
    }

    /** The cases: one each of contiguous runs, of columns, of rows, all in whole vectors. */
    static List<VerifierCase> cases() {
        List<VerifierCase> all = VerifierCases.all().stream()
                .filter(c -> c.mode().training && c.fusion() == Fusion.PLAIN && !c.isCombined())
                .toList();
        List<VerifierCase> cases = new ArrayList<>();
        for (String kind : List.of("runs", "columns", "rows")) {
            all.stream()
                    .filter(c -> c.family().startsWith(kind))
                    .filter(c -> kind.equals("rows")
                            ? c.affine() == Affine.BOTH
                                    && c.normalization().grouping().affineByElement()
                            : c.isPlain()
                                    && c.placement() == Placement.ALIGNED
                                    && c.shape().elements() % 16 == 0)
                    .findFirst()
                    .ifPresent(cases::add);
        }
        return cases;
    }

    /**
     * Builds them under each strategy, one after another and not from the cache.
     *
     * @param programs is told those of each case as soon as they are there
     */
    public static void run(OpenCl.Candidate device, List<String> strategies, Consumer<List<Program>> programs) {
        for (String strategy : strategies) {
            try (OpenClBackend backend = (OpenClBackend) device.open(strategy, false)) {
                Set<String> told = new HashSet<>();
                for (VerifierCase c : cases()) {
                    VerifierTrial.runPasses(backend, c, VerifierInputs.of(c));
                    programs.accept(backend.programs().stream()
                            .filter(built -> told.add(built.kernel() + built.options()))
                            .map(built -> new Program(strategy.toLowerCase(Locale.ROOT), built))
                            .toList());
                }
            }
        }
    }
}
