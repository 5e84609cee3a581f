package org.clnorm.study;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.example.Digits;
import org.clnorm.example.ReportFolder;
import org.clnorm.files.WholeFile;

/** Experiments on what is told of batch normalization, and a page of what they found. */
public final class Study {
    /** Who wants to know how far it is. */
    public interface Progress {
        /**
         * An experiment begins.
         *
         * @param name its name
         * @param done how many are behind
         * @param all how many there are
         * @param elapsed since the first began
         */
        void begins(String name, int done, int all, Duration elapsed);

        /** It has ended; something is about to be printed. */
        void ended();

        /** Nobody. */
        static Progress none() {
            return new Progress() {
                @Override
                public void begins(String name, int done, int all, Duration elapsed) {}

                @Override
                public void ended() {}
            };
        }
    }

    private final Effort effort;
    private final List<Experiment> experiments;

    /**
     * A study that is yet to be made.
     *
     * @param effort how much is done
     * @param only the names of the experiments; none for all
     * @throws IllegalArgumentException for a name that no experiment has
     */
    public Study(Effort effort, List<String> only) {
        this.effort = effort;
        this.experiments = Experiments.named(only);
    }

    /** The names that {@code only} may have. */
    public static List<String> names() {
        return Experiments.names();
    }

    /**
     * Makes it, prints a line for each claim, and writes {@code index.html} into a folder.
     *
     * @param device what the normalizations run on
     * @param folder where the page goes
     * @param command how to do it again
     * @param out for the lines
     * @param progress who wants to know how far it is
     * @throws IOException if the page cannot be written; what can be known of that is known before
     */
    public void run(Device device, Path folder, String command, PrintWriter out, Progress progress) throws IOException {
        WholeFile page = ReportFolder.page(folder);
        Lab lab = new Lab(device, effort, Digits.bundled());
        Map<String, String> facts = facts(device.info(), lab);
        facts.forEach((name, value) -> out.println(String.format(Locale.ROOT, "%-8s %s", name, value)));
        out.println();
        List<StudyPage.Result> results = new ArrayList<>();
        long start = System.nanoTime();
        for (Experiment experiment : experiments) {
            progress.begins(experiment.name(), results.size(), experiments.size(), since(start));
            long began = System.nanoTime();
            Finding finding = experiment.run(lab);
            progress.ended();
            StudyPage.Result result = new StudyPage.Result(
                    experiment, experiment.method(lab), finding, since(began).toMillis() / 1000.0);
            results.add(result);
            print(result, out);
        }
        facts.put("Time", String.format(Locale.ROOT, "%.0f s", since(start).toMillis() / 1000.0));
        page.write(StudyPage.html(facts, effort, results, command));
        out.println();
        out.println("Report: " + folder.resolve(ReportFolder.PAGE));
        out.flush();
    }

    private static Duration since(long start) {
        return Duration.ofNanos(System.nanoTime() - start);
    }

    private Map<String, String> facts(DeviceInfo device, Lab lab) {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("Device", device.platform() + ", " + device.name());
        facts.put("Strategy", device.strategy());
        facts.put("Effort", effort.name() + ", " + effort.seeds() + " seeds");
        facts.put(
                "Digits",
                String.format(
                        Locale.ROOT,
                        "%,d to train with, %,d to test with, of 14 by 14 pixels",
                        lab.train().size(),
                        lab.test().size()));
        return facts;
    }

    private static void print(StudyPage.Result result, PrintWriter out) {
        Verdict verdict = result.finding().verdict();
        out.println(String.format(
                Locale.ROOT,
                "%-11s %-29s %s parts hold  %5.1f s",
                result.experiment().name(),
                verdict.word(),
                verdict.count(),
                result.seconds()));
        out.flush();
    }
}
