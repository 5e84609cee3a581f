package org.clnorm.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.check.Binding.Direction;
import org.clnorm.check.Binding.Operation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every operation and direction, in each layout and type, by a kernel that is right and as simple as can be: a work-item for
 * each group, one sum after another. So what is expected and what is allowed holds for others than those of the documentation.
 */
class SerialKernelTest {
    private static final String SOURCE = """
            // Where element j of group g lies, and which gamma it has.
            #if defined(ROWS)
            #define AT(g, j) ((g) * C + (j))
            #define AFFINE(g, j) (j)
            #elif defined(BATCH)
            #ifdef LAST
            #define AT(g, j) ((j) * C + (g))
            #else
            #define AT(g, j) (((j) / S * C + (g)) * S + (j) % S)
            #endif
            #define AFFINE(g, j) (g)
            #else
            #define K (C / G)
            #ifdef LAST
            #define AT(g, j) (((g) / G * S + (j) / K) * C + (g) % G * K + (j) % K)
            #define AFFINE(g, j) ((g) % G * K + (j) % K)
            #else
            #define AT(g, j) ((g) * M + (j))
            #define AFFINE(g, j) ((g) % G * K + (j) / S)
            #endif
            #endif
            #if BITS == 32
            #define T float
            #define LOAD(p, i) p[i]
            #define STORE(v, p, i) p[i] = v
            #elif BITS == 16
            #define T half
            #define LOAD(p, i) vload_half(i, p)
            #define STORE(v, p, i) vstore_half_rte(v, i, p)
            #else
            #define T ushort
            #define LOAD(p, i) as_float((uint) p[i] << 16)
            #define STORE(v, p, i) p[i] = bfloat16(v)
            static ushort bfloat16(float v) {
                uint bits = as_uint(v);
                return isnan(v) ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
            }
            #endif

            static void statistics(global const T* x, int g, int C, int S, int G, int M, float epsilon, float* mean, float* invstd) {
                *mean = 0;
            #ifndef RMS
                for (int j = 0; j < M; j++) *mean += LOAD(x, AT(g, j));
                *mean /= M;
            #endif
                float squares = 0;
                for (int j = 0; j < M; j++) {
                    float d = LOAD(x, AT(g, j)) - *mean;
                    squares += d * d;
                }
                *invstd = 1 / sqrt(squares / M + epsilon);
            }

            kernel void forward(global const T* x, global T* y, global const float* gamma, global const float* beta,
                    global float* invstds, int C, int S, int G, int M, float epsilon) {
                int g = get_global_id(0);
                float mean, invstd;
                statistics(x, g, C, S, G, M, epsilon, &mean, &invstd);
                invstds[g] = invstd;
                for (int j = 0; j < M; j++) {
                    int a = AFFINE(g, j);
                    STORE((LOAD(x, AT(g, j)) - mean) * invstd * gamma[a] + beta[a], y, AT(g, j));
                }
            }

            kernel void backward(global const T* x, global const T* dy, global T* dx, global const float* gamma,
                    global float* saved, int C, int S, int G, int M, float epsilon) {
                int g = get_global_id(0);
                float mean, invstd;
                statistics(x, g, C, S, G, M, epsilon, &mean, &invstd);
                saved[2 * g] = mean;
                saved[2 * g + 1] = invstd;
                float sum = 0, product = 0;
                for (int j = 0; j < M; j++) {
                    float h = LOAD(dy, AT(g, j)) * gamma[AFFINE(g, j)];
                    sum += h;
                    product += h * (LOAD(x, AT(g, j)) - mean) * invstd;
                }
            #ifdef RMS
                sum = 0;
            #endif
                for (int j = 0; j < M; j++) {
                    float h = LOAD(dy, AT(g, j)) * gamma[AFFINE(g, j)];
                    float normalized = (LOAD(x, AT(g, j)) - mean) * invstd;
                    STORE(invstd * (h - sum / M - normalized * product / M), dx, AT(g, j));
                }
            }

            kernel void parameters(global const T* x, global const T* dy, global const float* saved, global float* dgamma,
                    global float* dbeta, int groups, int C, int S, int G, int M) {
                int a = get_global_id(0);
                float sum = 0, product = 0;
                for (int g = 0; g < groups; g++) {
                    for (int j = 0; j < M; j++) {
                        if (AFFINE(g, j) == a) {
                            sum += LOAD(dy, AT(g, j));
                            product += LOAD(dy, AT(g, j)) * ((LOAD(x, AT(g, j)) - saved[2 * g]) * saved[2 * g + 1]);
                        }
                    }
                }
                dgamma[a] = product;
                dbeta[a] = sum;
            }
            """;

    record Serial(Operation operation, Direction direction, Layout layout, DataType type) {
        Binding binding() {
            boolean rows = operation.isOfRows();
            String groups =
                    switch (operation) {
                        case BATCH_NORM -> "C";
                        case LAYER_NORM, RMS_NORM -> "R";
                        case GROUP_NORM -> "N * G";
                        case INSTANCE_NORM -> "N * C";
                    };
            String g = operation == Operation.INSTANCE_NORM ? "C" : "G";
            String options = "-D BITS="
                    + switch (type) {
                        case FLOAT32 -> 32;
                        case FLOAT16 -> 16;
                        case BFLOAT16 -> 17;
                    }
                    + (rows ? " -D ROWS" : operation == Operation.BATCH_NORM ? " -D BATCH" : "")
                    + (operation == Operation.RMS_NORM ? " -D RMS" : "")
                    + (layout == Layout.CHANNELS_LAST ? " -D LAST" : "");
            String text =
                    "operation = " + operation + "\ndirection = " + direction + "\nlayout = " + layout + "\ntype = "
                            + type + "\noptions = " + options + "\nshapes = "
                            + (rows ? "1,1; 3,5; 7,37; 2,300" : "2,4,1; 3,2,5; 3,6,37; 5,4,130") + "\n"
                            + (operation == Operation.GROUP_NORM ? "groups = max(C / 2, 1)\n" : "");
            if (direction == Direction.FORWARD) {
                text += "kernel = forward\nargs = x, y, gamma, beta, invstd, C, S, int: " + g
                        + ", M, epsilon\nglobal = " + groups + "\n";
            } else {
                text += "scratch.saved = 2 * " + groups
                        + "\nlaunch.1.kernel = backward\nlaunch.1.args = x, dy, dx, gamma,"
                        + " saved, C, S, int: " + g + ", M, epsilon\nlaunch.1.global = " + groups
                        + "\nlaunch.2.kernel = parameters\nlaunch.2.args = x, dy, saved, dgamma, dbeta, int: " + groups
                        + ", C, S, int: " + g + ", M\nlaunch.2.global = C\n";
            }
            return Binding.parse(text);
        }
    }

    static Stream<Serial> all() {
        List<Serial> all = new ArrayList<>();
        for (Operation operation : Operation.values()) {
            for (Direction direction : List.of(Direction.FORWARD, Direction.BACKWARD)) {
                all.add(new Serial(operation, direction, Layout.CHANNELS_FIRST, DataType.FLOAT32));
                if (!operation.isOfRows()) {
                    all.add(new Serial(operation, direction, Layout.CHANNELS_LAST, DataType.FLOAT32));
                }
            }
        }
        all.add(new Serial(Operation.GROUP_NORM, Direction.FORWARD, Layout.CHANNELS_FIRST, DataType.FLOAT16));
        all.add(new Serial(Operation.BATCH_NORM, Direction.BACKWARD, Layout.CHANNELS_LAST, DataType.FLOAT16));
        all.add(new Serial(Operation.LAYER_NORM, Direction.FORWARD, Layout.CHANNELS_FIRST, DataType.BFLOAT16));
        all.add(new Serial(Operation.RMS_NORM, Direction.BACKWARD, Layout.CHANNELS_FIRST, DataType.BFLOAT16));
        return all.stream();
    }

    @ParameterizedTest
    @MethodSource("all")
    void serialKernel_ofEachOperation_passes(Serial serial) {
        CheckReport report = KernelCheck.of(SOURCE, serial.binding()).on(Examples.device());

        assertThat(report.passed()).as(report.toText()).isTrue();
        assertThat(report.outcomes()).hasSize(4 * Data.values().length);
    }

    @Test
    void serialKernel_ofAnotherGroupsMean_isFoundAndTold() {
        Serial serial = new Serial(Operation.GROUP_NORM, Direction.FORWARD, Layout.CHANNELS_FIRST, DataType.FLOAT32);
        String wrong = Examples.replacing(
                        "statistics(x, g, C, S, G, M, epsilon, &mean, &invstd);\n    invstds[g]",
                        "statistics(x, (g + 1) % (int) get_global_size(0), C, S, G, M, epsilon, &mean, &invstd);\n    invstds[g]")
                .apply(SOURCE);

        CheckReport report = KernelCheck.of(wrong, serial.binding()).on(Examples.device());

        assertThat(report.failures())
                .filteredOn(failure -> failure.array().equals("y"))
                .singleElement()
                .satisfies(failure ->
                        assertThat(failure.mistake()).isEqualTo("one group's mean and deviation are taken in another"));
    }
}
