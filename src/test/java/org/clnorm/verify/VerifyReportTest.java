package org.clnorm.verify;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.util.List;
import java.util.Map;
import org.clnorm.DeviceInfo;
import org.clnorm.verify.VerifyReport.Failure;
import org.clnorm.verify.VerifyReport.Row;
import org.clnorm.verify.VerifyReport.Verdict;
import org.junit.jupiter.api.Test;

class VerifyReportTest {
    private static final Row RIGHT = new Row("copy", "auto", 3, 1e-8, 5e-7, "y", Verdict.PASS);
    private static final Row WRONG =
            new Row("track", "auto", 3, Double.POSITIVE_INFINITY, 5e-7, "running_mean", Verdict.FAIL);
    private static final Row NOT_RUN = new Row("track", "auto", 0, 0, 0, "", Verdict.NOT_RUN);
    private static final Failure FAILURE =
            new Failure("auto", List.of("track"), "running_mean", "running_mean is off", "training (2, 3)");

    @Test
    void passed_allRight_isTrue() {
        assertThat(report(List.of(RIGHT), List.of()).passed()).isTrue();
    }

    @Test
    void passed_anythingElse_isFalse() {
        assertThat(report(List.of(RIGHT, WRONG), List.of(FAILURE)).passed()).isFalse();
        assertThat(report(List.of(RIGHT, NOT_RUN), List.of()).passed()).isFalse();
        assertThat(report(List.of(RIGHT), List.of(FAILURE)).passed())
                .as("a case that could not be computed is charged to no kernel")
                .isFalse();
    }

    @Test
    void toJson_failures_areAllThereAndItIsJson() {
        JsonObject json = JsonParser.parseString(
                        report(List.of(RIGHT, WRONG, NOT_RUN), List.of(FAILURE)).toJson())
                .getAsJsonObject();

        assertThat(json.get("passed").getAsBoolean()).isFalse();
        JsonObject device = json.getAsJsonObject("device");
        assertThat(device.get("name").getAsString()).isEqualTo("a device");
        assertThat(device.get("compute units").getAsString()).isEqualTo("2");
        JsonArray kernels = json.getAsJsonArray("kernels");
        assertThat(kernels).hasSize(3);
        JsonObject wrong = kernels.get(1).getAsJsonObject();
        assertThat(wrong.get("worst_error").getAsString())
                .as("JSON has no number for it")
                .isEqualTo("Infinity");
        assertThat(wrong.get("verdict").getAsString()).isEqualTo("fail");
        assertThat(kernels.get(0).getAsJsonObject().get("worst_error").getAsDouble())
                .isEqualTo(1e-8);
        assertThat(kernels.get(2).getAsJsonObject().get("verdict").getAsString())
                .isEqualTo("not-run");
        JsonObject failure = json.getAsJsonArray("failures").get(0).getAsJsonObject();
        assertThat(failure.get("case").getAsString()).isEqualTo("training (2, 3)");
        assertThat(failure.getAsJsonArray("kernels").get(0).getAsString()).isEqualTo("track");
    }

    private static VerifyReport report(List<Row> rows, List<Failure> failures) {
        DeviceInfo device = new DeviceInfo(DeviceInfo.Kind.CPU, "a platform", "a device", "1.2", 1, "auto");
        return new VerifyReport(device, Map.of("compute units", "2"), List.of("auto"), 3, 0, 40, 1.5, rows, failures);
    }
}
