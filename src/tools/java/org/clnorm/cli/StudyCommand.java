package org.clnorm.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import org.clnorm.Device;
import org.clnorm.study.Effort;
import org.clnorm.study.Study;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code clnorm study}: what is told of batch normalization, measured. */
@Command(
        name = "study",
        description = {
            "Measures what is told of batch normalization, claim by claim, with small networks on the device and several"
                    + " seeds, and writes a page with a figure and a verdict for each.",
            "That a claim does not hold is a finding, and no failure."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:measured", "2:wrong usage, or a page that could not be written"})
final class StudyCommand implements Callable<Integer> {
    /** The experiments, for the help. */
    static final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return Study.names().iterator();
        }
    }

    @Option(names = "--quick", description = "A quick look: 3 seeds unless said, shorter trainings; the page says so.")
    private boolean quick;

    @Option(
            names = "--seeds",
            paramLabel = "N",
            description = "Over how many seeds, at least 2. Default: 8, or 3 with --quick.")
    private Integer seeds;

    @Option(
            names = "--only",
            paramLabel = "NAME",
            split = ",",
            completionCandidates = Names.class,
            description = "Only these: ${COMPLETION-CANDIDATES}.")
    private List<String> only = List.of();

    @Option(
            names = "--report",
            paramLabel = "DIR",
            defaultValue = "target/study",
            description = "Where to write index.html. Default: ${DEFAULT-VALUE}.")
    private Path report;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        Effort effort = quick ? Effort.QUICK : Effort.FULL;
        Study study = new Study(seeds == null ? effort : effort.seeds(seeds), only);
        try (Device on = device.open();
                Bar bar = new Bar(Terminal.isThere())) {
            study.run(on, report, Terminal.typed(spec), spec.commandLine().getOut(), bar);
        }
        return Main.OK;
    }

    /** A progress line on a terminal, which is gone whenever something is printed. */
    private static final class Bar implements Study.Progress, AutoCloseable {
        private final boolean terminal;
        private ProgressLine line;

        /** @param terminal whether somebody is there to see it */
        Bar(boolean terminal) {
            this.terminal = terminal;
        }

        @Override
        public void begins(String name, int done, int all, Duration elapsed) {
            line = !terminal ? null : new ProgressLine(System.err, name, done, all, elapsed);
        }

        @Override
        public void ended() {
            close();
        }

        @Override
        public void close() {
            if (line != null) {
                line.close();
                line = null;
            }
        }
    }
}
