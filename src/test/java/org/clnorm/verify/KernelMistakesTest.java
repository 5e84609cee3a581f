package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.clnorm.DataType;
import org.clnorm.opencl.EditedKernels;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.verify.VerifyReport.Failure;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * That a verification finds mistakes in this project's own kernels. That the same cases pass with the kernels as they are,
 * and so are not failed by anything but the mistake, is VerifierTest's.
 */
class KernelMistakesTest {
    private static final Path PAGE = Path.of("docs", "trust.md");

    /** Where the long test leaves what it found. */
    private static final Path TABLE = Path.of("target", "wrong-variants.md");

    /** How many cases are tried that can see a mistake. */
    private static final int TRIES = 3;

    /** Those in float32 that VerifierTest runs under every strategy, and some with elements of 16 bits. */
    private static final List<VerifierCase> CASES = Stream.concat(
                    VerifierCases.all().stream(),
                    VerifierCases.small().stream().map(c -> c.storedAs(DataType.BFLOAT16)))
            .toList();

    @TempDir
    Path programs;

    @Test
    void verify_someMistakes_areFound() {
        found(KernelMistakes.FEW);
    }

    @Test
    @Tag("long")
    void verify_allMistakes_areFound() throws IOException {
        Files.write(TABLE, found(KernelMistakes.FOUND));
    }

    @Test
    @Tag("long")
    void verify_mistakesThatThePageExplains_areNotFound() {
        try (EditedKernels kernels = new EditedKernels(programs)) {
            for (KernelMistake mistake : KernelMistakes.UNSEEN.keySet()) {
                assertThat(failures(kernels, mistake))
                        .as("%s: the page is to tell of it as of the others", mistake.name())
                        .isEmpty();
            }
        }
    }

    @Test
    void edit_eachMistake_standsInTheSourceOnceAndHasCases() throws IOException {
        for (KernelMistake mistake : all()) {
            String source = Files.readString(Path.of("opencl-kernels", mistake.file()));

            assertThat(mistake.edited(source)).as(mistake.name()).isNotEqualTo(source);
            assertThat(CASES).as("cases of %s", mistake.name()).anyMatch(mistake.cases());
        }
    }

    @Test
    void page_mistakes_areAllThere() throws IOException {
        List<String> lines = Files.readAllLines(PAGE);

        for (KernelMistake mistake : all()) {
            assertThat(lines)
                    .filteredOn(line -> line.startsWith("| " + mistake.name() + " |"))
                    .as("rows of %s; ci/test-long leaves the table at %s", mistake.name(), TABLE)
                    .hasSize(1);
        }
        KernelMistakes.UNSEEN.forEach((mistake, reason) ->
                assertThat(lines).contains("| " + mistake.name() + " | " + mistake.file() + " | " + reason + " |"));
    }

    private static List<KernelMistake> all() {
        return Stream.concat(KernelMistakes.FOUND.stream(), KernelMistakes.UNSEEN.keySet().stream())
                .toList();
    }

    /** A table of what found them; fails for those that nothing found. */
    private List<String> found(List<KernelMistake> mistakes) {
        List<String> table = new ArrayList<>(
                List.of("| mistake | file | strategy | case | found by | in |", "|---|---|---|---|---|---|"));
        List<String> missed = new ArrayList<>();
        try (EditedKernels kernels = new EditedKernels(programs)) {
            for (KernelMistake mistake : mistakes) {
                List<Failure> failures = failures(kernels, mistake);
                // What is of no array is no result that is wrong, but a program that does not compile, say.
                if (failures.isEmpty() || failures.get(0).array().isEmpty()) {
                    missed.add(mistake.name() + ": " + failures);
                } else {
                    table.add(row(mistake, failures));
                }
            }
        }
        assertThat(missed).as("mistakes that no case of theirs found").isEmpty();
        return table;
    }

    /** What fails in the first of a mistake's cases in which something does. */
    private static List<Failure> failures(EditedKernels kernels, KernelMistake mistake) {
        List<VerifierCase> cases =
                CASES.stream().filter(mistake.cases()).limit(TRIES).toList();
        try (OpenClBackend backend = kernels.under(mistake.strategy(), mistake.edit())) {
            VerifierRun run = new VerifierRun(mistake.strategy(), backend);
            return cases.stream()
                    .map(c -> run.verify(0, c).failures())
                    .filter(failures -> !failures.isEmpty())
                    .findFirst()
                    .orElse(List.of());
        }
    }

    private static String row(KernelMistake mistake, List<Failure> failures) {
        Set<String> checks = failures.stream()
                .map(failure -> FoundBy.check(failure.problem()))
                .collect(Collectors.toCollection(TreeSet::new));
        Set<String> arrays = failures.stream().map(Failure::array).collect(Collectors.toCollection(TreeSet::new));
        String shape = FoundBy.shape(failures.get(0).caseDescription());
        return "| "
                + String.join(
                        " | ",
                        mistake.name(),
                        mistake.file(),
                        mistake.strategy(),
                        shape,
                        String.join(", ", checks),
                        String.join(", ", arrays))
                + " |";
    }
}
