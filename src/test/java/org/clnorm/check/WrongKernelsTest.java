package org.clnorm.check;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.check.Examples.replacing;

import java.io.IOException;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.clnorm.check.CheckReport.Failure;
import org.clnorm.check.Problem.Kind;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Kernels that are wrong in one place: each is found, by the check that is for it, and told what is wrong. */
class WrongKernelsTest {
    private static final String FORWARD = "batch-norm-forward";

    /**
     * An edit of a right kernel.
     *
     * @param kind the check that is to find it
     * @param sentence a part of what is said to be likely
     */
    private record Wrong(
            String name, String kernel, UnaryOperator<String> edit, Kind kind, String array, String sentence) {}

    private static Stream<Wrong> all() {
        return Stream.of(
                new Wrong(
                        "unbiased",
                        FORWARD,
                        replacing(
                                "sum_of_group(squares, partial) / m;",
                                "sum_of_group(squares, partial) / max(m - 1, 1);"),
                        Kind.VALUES,
                        "y",
                        "it divides by m - 1"),
                new Wrong(
                        "biased running variance",
                        FORWARD,
                        replacing("m > 1 ? variance * m / (m - 1) : variance", "variance"),
                        Kind.VALUES,
                        "running_variance",
                        "takes the biased variance"),
                new Wrong(
                        "epsilon outside of the root",
                        FORWARD,
                        replacing("1 / sqrt(variance + epsilon)", "1 / (sqrt(variance) + epsilon)"),
                        Kind.VALUES,
                        "invstd",
                        "epsilon is added outside of the root"),
                new Wrong(
                        "no epsilon",
                        "batch-norm-inference",
                        replacing("sqrt(variance[c] + epsilon)", "sqrt(variance[c])"),
                        Kind.VALUES,
                        "y",
                        "epsilon is left out"),
                new Wrong(
                        "E[x^2] - E[x]^2",
                        FORWARD,
                        text -> replacing("- mean;", ";")
                                .apply(replacing(
                                                "sum_of_group(squares, partial) / m;",
                                                "sum_of_group(squares, partial) / m - mean * mean;")
                                        .apply(text)),
                        Kind.VALUES,
                        "y",
                        "errors grow with the mean"),
                new Wrong(
                        "missing barrier",
                        "split-batch-norm",
                        replacing("    barrier(CLK_LOCAL_MEM_FENCE);\n    if (lid == 0)", "    if (lid == 0)"),
                        Kind.RUNS_DIFFER,
                        "y",
                        "a barrier is missing"),
                new Wrong(
                        "tail not written",
                        "batch-norm-inference",
                        replacing("if (i < elements)", "if (i < elements / 4 * 4)"),
                        Kind.NOT_WRITTEN,
                        "y",
                        "the last elements are left out"),
                new Wrong(
                        "tail not summed",
                        "layer-norm",
                        replacing("i < length; i += WG) sum", "i < length / 4 * 4; i += WG) sum"),
                        Kind.VALUES,
                        "y",
                        "the tail is left out"),
                new Wrong(
                        "another channel's parameters",
                        "batch-norm-inference",
                        replacing("* gamma[c] + beta[c]", "* gamma[i % channels] + beta[i % channels]"),
                        Kind.VALUES,
                        "y",
                        "one channel's gamma and beta are taken in another"),
                new Wrong("no gamma", "rms-norm", replacing(" * weight[i]", ""), Kind.VALUES, "y", "gamma is ignored"),
                new Wrong(
                        "written past the end",
                        "batch-norm-inference",
                        replacing("if (i < elements)", ""),
                        Kind.OVERRUN,
                        "y",
                        "an index is not held against the array's length"),
                new Wrong(
                        "a term of dx missing",
                        "batch-norm-backward",
                        replacing(" - total / rows", ""),
                        Kind.VALUES,
                        "dx",
                        "the term of the mean"),
                new Wrong(
                        "parameters' gradients exchanged",
                        "batch-norm-backward",
                        text -> replacing("dbeta[c] = total", "dbeta[c] = scaled")
                                .apply(replacing("dgamma[c] = scaled", "dgamma[c] = total")
                                        .apply(text)),
                        Kind.VALUES,
                        "dgamma",
                        "the two are exchanged"),
                new Wrong(
                        "input normalized in place",
                        "batch-norm-inference",
                        replacing("y[i] = (x[i] - mean[c])", "y[i] = (((global float*) x)[i] -= mean[c])"),
                        Kind.INPUT_CHANGED,
                        "x",
                        "another order"),
                new Wrong(
                        "NaN lost",
                        "split-batch-norm",
                        replacing(
                                "const float variance = squares / m;",
                                "const float variance = fmax(squares / m, 0.0f);"),
                        Kind.VALUES,
                        "variance",
                        "a NaN in x is lost"),
                new Wrong(
                        "a square by powr",
                        "layer-norm",
                        replacing("(x[row + i] - mean) * (x[row + i] - mean)", "powr(x[row + i] - mean, 2.0f)"),
                        Kind.VALUES,
                        "y",
                        "a root or a power of a negative number"),
                new Wrong(
                        "E[x^2] - E[x]^2 of few values",
                        "split-batch-norm",
                        text -> replacing("*mean += distance * n / total;", "*mean += other_mean;")
                                .apply(replacing(
                                                "*squares += other_squares + distance * distance * *count * n / total;",
                                                "*squares += n == 1 ? other_mean * other_mean : other_squares;")
                                        .apply(replacing(
                                                        "const float variance = squares / m;",
                                                        "mean /= m; const float variance = squares / m - mean * mean;")
                                                .apply(text))),
                        Kind.VALUES,
                        "variance",
                        "errors grow with the mean"),
                new Wrong(
                        "1/sigma cubed",
                        "batch-norm-backward",
                        replacing(
                                "invstd[c] * (dy[i] - total / rows - normalized * scaled / rows)",
                                "(invstd[c] * (dy[i] - total / rows)"
                                        + " - (x[i] - mean[c]) * products[0] / rows * pown(invstd[c], 3))"),
                        Kind.VALUES,
                        "dx",
                        "something on the way is beyond the range of its type"),
                new Wrong(
                        "does not compile",
                        "rms-norm",
                        replacing("vload_half(row + i, x);", "vload_half(row + i, x)"),
                        Kind.CALL,
                        "",
                        ""));
    }

    @TestFactory
    Stream<DynamicTest> wrongKernels_each_isFoundByTheCheckThatIsForItAndToldWhy() {
        return all().map(wrong -> DynamicTest.dynamicTest(wrong.name, () -> check(wrong)));
    }

    private static void check(Wrong wrong) throws IOException {
        CheckReport report =
                Examples.check(wrong.kernel, wrong.edit).quick(true).on(Examples.device());

        assertThat(report.passed()).as(report.toText()).isFalse();
        Failure failure = report.failures().stream()
                .filter(f -> f.kind() == wrong.kind && f.array().equals(wrong.array))
                .findFirst()
                .orElseThrow(() -> new AssertionError("Not found by " + wrong.kind + "\n" + report.toText()));
        assertThat(failure.mistake()).as(report.toText()).contains(wrong.sentence);
    }

    @Test
    void elementThatIsShown_isTheWrongOne() throws IOException {
        CheckReport report = Examples.check(
                        "split-batch-norm",
                        replacing(
                                "const float variance = squares / m;",
                                "const float variance = fmax(squares / m, 0.0f);"))
                .quick(true)
                .on(Examples.device());

        assertThat(report.failures())
                .filteredOn(failure -> failure.array().equals("variance"))
                .singleElement()
                .satisfies(failure -> assertThat(failure.text())
                        .startsWith("1 of 3 elements of variance is off by more than rounding; element 1 is 0.0,")
                        .endsWith(" but should be NaN"));
    }

    @Test
    void shapes_thatFail_areToldByWhatTheyHaveInCommon() throws IOException {
        CheckReport tail = Examples.check(
                        "layer-norm", replacing("i < length; i += WG) sum", "i < length / 4 * 4; i += WG) sum"))
                .quick(true)
                .on(Examples.device());
        CheckReport large = Examples.check(
                        "batch-norm-inference", replacing("if (i < elements)", "if (i < min(elements, 1000))"))
                .quick(true)
                .on(Examples.device());

        assertThat(tail.failures()).first().asString().contains("on shapes with D not a multiple of 4, on no others");
        assertThat(large.failures())
                .first()
                .asString()
                .contains("on shapes with M over 111 and E over 780, on no others");
        assertThat(large.failures()).first().asString().contains("1400 of 2400 elements of y, from element 1000 on");
    }
}
