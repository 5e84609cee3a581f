package org.clnorm.bench;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.clnorm.plan.DeviceFacts;

/**
 * What a run found out, and where.
 *
 * @param device the device in one line
 * @param strategy what was asked for
 * @param machine the system around the device, names and values
 * @param at when the run began
 * @param seconds how long it took
 * @param command what to type to do it again
 */
public record BenchReport(
        String device,
        DeviceFacts facts,
        String strategy,
        Map<String, String> machine,
        Instant at,
        double seconds,
        List<Measurement> measurements,
        String command) {
    /** The system that this runs on. */
    public static Map<String, String> thisMachine() {
        Map<String, String> machine = new LinkedHashMap<>();
        machine.put(
                "system",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                        + System.getProperty("os.arch") + ", "
                        + Runtime.getRuntime().availableProcessors() + " processors");
        machine.put("java", Runtime.version().toString());
        return machine;
    }

    /** What a report for programs begins with: where its figures were measured. */
    public static Map<String, Object> head(
            String device, DeviceFacts facts, String strategy, Map<String, String> machine) {
        Map<String, Object> head = new LinkedHashMap<>();
        head.put("device", device);
        head.put("version", facts.version());
        head.put("driver", facts.driver());
        head.put("facts", facts.toMap());
        head.put("strategy", strategy);
        head.put("machine", machine);
        return head;
    }

    /** For programs. */
    public String toJson() {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Measurement m : measurements) {
            Map<String, Object> row = m.workload().fields();
            row.put("ms", m.queuedMilliseconds());
            row.put("waited_ms", m.waitedMilliseconds());
            row.put("kernel_ms", m.kernelMilliseconds());
            row.put("launches", m.launches());
            row.put("host_us", m.hostMicroseconds());
            row.put("minimal_bytes", m.workload().minimalBytes());
            row.put("gb_per_s", m.gigabytesPerSecond());
            row.put("copy_gb_per_s", m.copyGigabytesPerSecond());
            row.put("streamed_copy_gb_per_s", m.streamedCopyGigabytesPerSecond());
            row.put("of_copy", m.ofCopy());
            row.put("of_streamed_copy", m.ofStreamedCopy());
            rows.add(row);
        }
        Map<String, Object> report = head(device, facts, strategy, machine);
        report.put("at", at.truncatedTo(ChronoUnit.SECONDS).toString());
        report.put("seconds", seconds);
        report.put("measurements", rows);
        return new GsonBuilder()
                        .setPrettyPrinting()
                        .disableHtmlEscaping()
                        .registerTypeAdapter(
                                Double.class, (JsonSerializer<Double>) (value, type, gson) -> number(value))
                        .create()
                        .toJson(report)
                + "\n";
    }

    /** Of what a clock that stands still gives, JSON has no number, and Gson throws. */
    private static JsonElement number(double value) {
        return Double.isFinite(value) ? new JsonPrimitive(value) : new JsonPrimitive(Double.toString(value));
    }

    /** For people. */
    public String toHtml() {
        return BenchPage.html(this);
    }
}
