package org.clnorm.verify;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.CRC32C;
import java.util.zip.Checksum;
import org.clnorm.verify.VerifierTrial.Outcome;
import org.clnorm.verify.VerifyReport.Failure;

/**
 * What came of one case under one strategy: a value, so that cases may run in any order and in other processes.
 *
 * @param index the case's place among all
 * @param description the case in words
 * @param process which of several ran it, from 1 on; 0 for this one
 * @param seconds that it took, compilations among them
 * @param programs how many were compiled for it
 * @param buildSeconds what that took
 * @param bits a digest of all that it computed: equal where every bit is, any NaN being as good as another; empty where
 *     it could not be computed
 * @param shares one for each kernel that it launched
 */
record CaseResult(
        String strategy,
        int index,
        String description,
        int process,
        double seconds,
        int programs,
        double buildSeconds,
        String bits,
        List<Share> shares,
        List<Failure> failures) {
    /**
     * What a kernel did.
     *
     * @param error the one that comes nearest to its bound, as a share of the array's scale
     * @param array which has it; empty where nothing was measured
     */
    record Share(String kernel, double error, double bound, String array, boolean failed) {
        /** Of a kernel that was launched, and of which nothing else is known yet. */
        Share(String kernel) {
            this(kernel, 0, 0, "", false);
        }

        /** Of both, the one that is nearer to its bound; of equals, the one whose array is the first by its name. */
        Share and(Share other) {
            Share worst = Comparator.comparing((Share share) -> !share.array.isEmpty())
                                    .thenComparingDouble(Share::ofBound)
                                    .thenComparing(Share::array, Comparator.reverseOrder())
                                    .compare(this, other)
                            < 0
                    ? other
                    : this;
            return new Share(kernel, worst.error, worst.bound, worst.array, failed || other.failed);
        }

        Share asFailed() {
            return new Share(kernel, error, bound, array, true);
        }

        private double ofBound() {
            return error == 0 ? 0 : error / bound;
        }
    }

    /** Copies the lists. */
    CaseResult {
        shares = List.copyOf(shares);
        failures = List.copyOf(failures);
    }

    /** Of a case that nothing is known of but that it failed. */
    static CaseResult failed(String strategy, int index, VerifierCase c, String problem) {
        Failure failure = new Failure(strategy, List.of(), "", problem, c.describe());
        return new CaseResult(strategy, index, c.describe(), 0, 0, 0, 0, "", List.of(), List.of(failure));
    }

    CaseResult withBuilds(int programs, double seconds) {
        return new CaseResult(
                strategy, index, description, process, this.seconds, programs, seconds, bits, shares, failures);
    }

    CaseResult by(int process) {
        return new CaseResult(
                strategy, index, description, process, seconds, programs, buildSeconds, bits, shares, failures);
    }

    /**
     * The digest of what passes computed: two checksums, which are a fraction of the work of a cryptographic digest where
     * nobody means harm.
     */
    static String bitsOf(List<Outcome> outcomes) {
        Checksum one = new CRC32C();
        Checksum other = new CRC32();
        for (Outcome outcome : outcomes) {
            new TreeMap<>(outcome.arrays()).forEach((array, values) -> {
                byte[] name = array.getBytes(StandardCharsets.UTF_8);
                byte[] bytes = new byte[name.length + values.length * Float.BYTES];
                ByteBuffer to = ByteBuffer.wrap(bytes).put(name);
                for (float value : values) {
                    to.putInt(Float.floatToIntBits(value)); // which has one NaN
                }
                one.update(bytes);
                other.update(bytes);
            });
        }
        HexFormat hex = HexFormat.of();
        return hex.toHexDigits((int) one.getValue()) + hex.toHexDigits((int) other.getValue());
    }

    /** One line. */
    String toJson() {
        JsonObject json = new JsonObject();
        json.addProperty("strategy", strategy);
        json.addProperty("index", index);
        json.addProperty("case", description);
        json.addProperty("process", process);
        json.addProperty("seconds", rounded(seconds));
        json.addProperty("programs", programs);
        json.addProperty("build_seconds", rounded(buildSeconds));
        json.addProperty("bits", bits);
        JsonArray kernels = new JsonArray();
        for (Share share : shares) {
            JsonObject of = new JsonObject();
            of.addProperty("kernel", share.kernel);
            if (!share.array.isEmpty()) {
                of.add("error", VerifyReport.number(share.error));
                of.add("bound", VerifyReport.number(share.bound));
                of.addProperty("array", share.array);
            }
            if (share.failed) {
                of.addProperty("failed", true);
            }
            kernels.add(of);
        }
        json.add("kernels", kernels);
        JsonArray failed = new JsonArray();
        failures.forEach(failure -> failed.add(VerifyReport.json(failure)));
        json.add("failures", failed);
        return json.toString();
    }

    private static double rounded(double seconds) {
        return Math.round(seconds * 1e4) / 1e4;
    }

    /**
     * From {@link #toJson}.
     *
     * @throws IllegalArgumentException for anything else
     */
    static CaseResult fromJson(String line) {
        try {
            JsonObject json = JsonParser.parseString(line).getAsJsonObject();
            List<Share> shares = new ArrayList<>();
            for (JsonElement element : json.getAsJsonArray("kernels")) {
                JsonObject of = element.getAsJsonObject();
                boolean measured = of.has("array");
                shares.add(new Share(
                        of.get("kernel").getAsString(),
                        measured ? of.get("error").getAsDouble() : 0,
                        measured ? of.get("bound").getAsDouble() : 0,
                        measured ? of.get("array").getAsString() : "",
                        of.has("failed")));
            }
            List<Failure> failures = new ArrayList<>();
            for (JsonElement element : json.getAsJsonArray("failures")) {
                JsonObject of = element.getAsJsonObject();
                List<String> kernels = new ArrayList<>();
                of.getAsJsonArray("kernels").forEach(kernel -> kernels.add(kernel.getAsString()));
                failures.add(new Failure(
                        of.get("strategy").getAsString(),
                        List.copyOf(kernels),
                        of.get("array").getAsString(),
                        of.get("problem").getAsString(),
                        of.get("case").getAsString()));
            }
            return new CaseResult(
                    json.get("strategy").getAsString(),
                    json.get("index").getAsInt(),
                    json.get("case").getAsString(),
                    json.get("process").getAsInt(),
                    json.get("seconds").getAsDouble(),
                    json.get("programs").getAsInt(),
                    json.get("build_seconds").getAsDouble(),
                    json.get("bits").getAsString(),
                    shares,
                    failures);
        } catch (JsonParseException | IllegalStateException | NullPointerException | NumberFormatException e) {
            throw new IllegalArgumentException("This is no result of a case: " + line, e);
        }
    }
}
