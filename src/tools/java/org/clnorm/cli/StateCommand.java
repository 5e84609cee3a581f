package org.clnorm.cli;

import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.clnorm.state.Safetensors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code clnorm state}: what is in a file of layers' state. */
@Command(
        name = "state",
        description = {
            "Lists the arrays in a .safetensors or .npz file: type, shape, the smallest and the largest finite element,"
                    + " the mean of the finite ones, and how many are NaN or infinite.",
            "Arrays of a safetensors file of types that cannot be loaded are listed without their elements.",
            "The table has the first thousand arrays, and cuts long names and shapes; --json has all of it."
        },
        exitCodeListHeading = "Exit codes:%n",
        exitCodeList = {"0:all is well", "2:wrong usage, or a file that cannot be read"})
final class StateCommand implements Callable<Integer> {
    /** The longest name that is printed whole. */
    private static final int LONGEST_NAME = 60;

    private static final int LONGEST_SHAPE = 30;
    private static final int MOST_ROWS = 1000;

    /** @param summary null for an array whose elements cannot be read */
    private record Row(String name, String type, List<Long> shape, ArraySummary summary) {}

    private record Listing(String format, Map<String, String> metadata, List<Row> rows) {}

    @Parameters(paramLabel = "FILE", description = "The file; what it starts with tells its format.")
    private Path file;

    @Option(names = "--json", description = "Print JSON, for programs.")
    private boolean json;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        Listing listing = isZip(file) ? ofNpz(file) : ofSafetensors(file);
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            json(listing, out);
            out.println();
        } else {
            print(listing, out);
        }
        return Main.OK;
    }

    /** What is called so without being one is damaged, or another's; the error is to be of the format that was meant. */
    private static boolean isZip(Path file) throws IOException {
        if (!Files.isReadable(file) || !Files.isRegularFile(file)) {
            return false; // either reader says why not
        }
        try (InputStream in = Files.newInputStream(file)) {
            String start = new String(in.readNBytes(6), StandardCharsets.ISO_8859_1);
            if (start.equals("\u0093NUMPY")) {
                throw new IOException(file + ": is a single .npy array; numpy.savez puts it into an .npz file");
            }
            return start.startsWith("PK") || file.toString().endsWith(".npz");
        }
    }

    private static Listing ofNpz(Path file) throws IOException {
        List<Row> rows = new ArrayList<>();
        for (Map.Entry<String, NpyArray> entry : Npz.read(file).entrySet()) {
            NpyArray array = entry.getValue();
            rows.add(
                    row(entry.getKey(), array.type().toString(), array.dimensions(), ArraySummary.of(array.toState())));
        }
        return new Listing("npz", Map.of(), rows);
    }

    /** One array at a time: there may be more of them than memory. */
    private static Listing ofSafetensors(Path file) throws IOException {
        try (Safetensors from = Safetensors.open(file)) {
            List<Row> rows = new ArrayList<>();
            for (Safetensors.Entry entry : from.entries()) {
                boolean known = entry.type().isPresent();
                rows.add(new Row(
                        entry.name(),
                        known ? entry.type().get().toString() : entry.dtype(),
                        entry.shape(),
                        known ? ArraySummary.of(from.load(entry)) : null));
            }
            return new Listing("safetensors", from.metadata(), rows);
        }
    }

    private static Row row(String name, String type, long[] dimensions, ArraySummary summary) {
        List<Long> shape = new ArrayList<>();
        for (long dimension : dimensions) {
            shape.add(dimension);
        }
        return new Row(name, type, shape, summary);
    }

    private void print(Listing listing, PrintWriter out) {
        int all = listing.rows().size();
        List<Row> rows = listing.rows().subList(0, Math.min(all, MOST_ROWS));
        out.printf("%s: %s, %d array%s%n", file, listing.format(), all, all == 1 ? "" : "s");
        int names = rows.stream().mapToInt(row -> name(row).length()).max().orElse(0);
        int shapes = rows.stream().mapToInt(row -> shape(row).length()).max().orElse(0);
        String columns = "  %-" + Math.max(names, 14) + "s %-8s %-" + Math.max(shapes, 8) + "s %14s %14s %14s %10s%n";
        out.printf(columns, "array", "type", "shape", "min", "max", "mean", "non-finite");
        for (Row row : rows) {
            ArraySummary summary = row.summary();
            out.printf(
                    columns,
                    name(row),
                    row.type(),
                    shape(row),
                    summary == null ? "-" : text(summary.min()),
                    summary == null ? "-" : text(summary.max()),
                    summary == null ? "-" : text(summary.mean()),
                    summary == null ? "-" : Long.toString(summary.nonFinite()));
        }
        if (rows.size() < all) {
            out.printf("  ... and %d more; --json lists them all%n", all - rows.size());
        }
    }

    private static String name(Row row) {
        return cut(row.name(), LONGEST_NAME);
    }

    private static String shape(Row row) {
        return cut(row.shape().toString().replace('[', '(').replace(']', ')'), LONGEST_SHAPE);
    }

    /** Without its middle: names of one network begin alike, and end with what they are of. */
    private static String cut(String text, int longest) {
        if (text.length() <= longest) {
            return text;
        }
        int half = (longest - 3) / 2;
        return text.substring(0, half) + "..." + text.substring(text.length() - half);
    }

    private static String text(Number number) {
        if (number == null) {
            return "-";
        }
        return number instanceof Long ? number.toString() : String.format(Locale.ROOT, "%.6g", number.doubleValue());
    }

    /** Straight to where it goes: as one text it would take memory again. */
    private void json(Listing listing, PrintWriter out) {
        List<Map<String, Object>> arrays = new ArrayList<>();
        for (Row row : listing.rows()) {
            Map<String, Object> array = new LinkedHashMap<>();
            array.put("name", row.name());
            array.put("type", row.type());
            array.put("shape", row.shape());
            if (row.summary() != null) {
                array.put("min", row.summary().min());
                array.put("max", row.summary().max());
                array.put("mean", row.summary().mean());
                array.put("non_finite", row.summary().nonFinite());
            }
            arrays.add(array);
        }
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("file", file.toString());
        report.put("format", listing.format());
        report.put("metadata", listing.metadata());
        report.put("arrays", arrays);
        new GsonBuilder()
                .setPrettyPrinting()
                .disableHtmlEscaping()
                .serializeNulls()
                .create()
                .toJson(report, out);
    }
}
