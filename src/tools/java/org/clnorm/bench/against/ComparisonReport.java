package org.clnorm.bench.against;

import com.google.gson.GsonBuilder;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import org.clnorm.bench.BenchReport;
import org.clnorm.plan.DeviceFacts;

/**
 * What a comparison found out, and where.
 *
 * @param device the device in one line
 * @param strategy what was asked for
 * @param machine the system around the device, names and values
 * @param against the other build in words
 * @param at when it began
 * @param seconds how long it took
 * @param command what to type to do it again
 */
public record ComparisonReport(
        String device,
        DeviceFacts facts,
        String strategy,
        Map<String, String> machine,
        String against,
        Instant at,
        double seconds,
        List<ComparedRow> rows,
        String command) {
    /** How many rows came to a verdict. */
    public long count(Verdict verdict) {
        return rows.stream().filter(row -> row.verdict() == verdict).count();
    }

    /** The geometric mean of the ratios; NaN where there is none. */
    public double meanRatio() {
        return mean(row -> row.ratio().median());
    }

    /** The geometric mean of the controls. */
    public double meanControl() {
        return mean(row -> row.control().median());
    }

    private double mean(ToDoubleFunction<ComparedRow> ratio) {
        return Math.exp(rows.stream()
                .filter(row -> row.verdict() != Verdict.ABSENT)
                .mapToDouble(row -> Math.log(ratio.applyAsDouble(row)))
                .average()
                .orElse(Double.NaN));
    }

    /** For the last line. */
    public String summary() {
        String counts = Arrays.stream(Verdict.values())
                .filter(verdict -> count(verdict) > 0)
                .map(verdict -> count(verdict) + " " + verdict)
                .collect(Collectors.joining(", "));
        long wide = rows.stream().filter(ComparedRow::isWide).count();
        return String.format(
                Locale.ROOT,
                "%d rows: %s; %d with a wide spread. Geometric mean of the ratios %.3f, of their controls %.3f",
                rows.size(),
                counts,
                wide,
                meanRatio(),
                meanControl());
    }

    /** For programs. */
    public String toJson() {
        List<Map<String, Object>> measured = new ArrayList<>();
        for (ComparedRow row : rows) {
            Map<String, Object> fields = row.workload().fields();
            fields.put("minimal_bytes", row.workload().minimalBytes());
            if (row.verdict() != Verdict.ABSENT) {
                fields.put("ms", row.milliseconds());
                fields.put("other_ms", row.otherMilliseconds());
                fields.put("ratio", fields(row.ratio()));
                fields.put("control", fields(row.control()));
                fields.put("wide", row.isWide());
            }
            fields.put("verdict", row.verdict().toString());
            measured.add(fields);
        }
        Map<String, Object> report = BenchReport.head(device, facts, strategy, machine);
        report.put("against", against);
        report.put("command", command);
        report.put("at", at.truncatedTo(ChronoUnit.SECONDS).toString());
        report.put("seconds", seconds);
        report.put("rows", measured);
        return new GsonBuilder()
                        .setPrettyPrinting()
                        .disableHtmlEscaping()
                        .create()
                        .toJson(report) + "\n";
    }

    private static Map<String, Double> fields(Spread spread) {
        Map<String, Double> fields = new LinkedHashMap<>();
        fields.put("median", spread.median());
        fields.put("low", spread.low());
        fields.put("high", spread.high());
        return fields;
    }
}
