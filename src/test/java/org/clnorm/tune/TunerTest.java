package org.clnorm.tune;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.clnorm.DataType;
import org.clnorm.Device;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.Coefficients;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PassSpec;
import org.clnorm.backend.PreparedPass;
import org.clnorm.backend.PreparedUpdate;
import org.clnorm.backend.Role;
import org.clnorm.backend.UpdateRoom;
import org.clnorm.backend.Updated;
import org.clnorm.opencl.OpenCl;
import org.clnorm.opencl.OpenClBackend;
import org.clnorm.plan.Pass;
import org.clnorm.plan.Strategy;
import org.junit.jupiter.api.Test;

class TunerTest {
    private static final List<Rung> SMALL = List.of(new Rung(Shape.of(64, 32), Layout.CHANNELS_FIRST));

    private final OpenCl.Candidate device = OpenCl.require(OpenCl.devices(), System.getenv(Device.SELECTOR_VARIABLE));

    /** What the tuner asks of a backend, on its way there. */
    private static class Observed implements Backend {
        private final Backend to;

        Observed(Backend to) {
            this.to = to;
        }

        @Override
        public DeviceInfo info() {
            return to.info();
        }

        @Override
        public Memory allocate(long elements, DataType type) {
            return to.allocate(elements, type);
        }

        @Override
        public void write(Operand operand, FloatBuffer from) {
            to.write(operand, from);
        }

        @Override
        public void write(Operand operand, ShortBuffer from) {
            to.write(operand, from);
        }

        @Override
        public void read(Operand operand, ShortBuffer into) {
            to.read(operand, into);
        }

        @Override
        public void read(Operand from, FloatBuffer into) {
            to.read(from, into);
        }

        @Override
        public void fill(Operand operand, long count, float value) {
            to.fill(operand, count, value);
        }

        @Override
        public void copy(Operand from, Operand operand, long count) {
            to.copy(from, operand, count);
        }

        @Override
        public void finish() {
            to.finish();
        }

        @Override
        public Coefficients newCoefficients(int groups) {
            return to.newCoefficients(groups);
        }

        @Override
        public Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout) {
            return to.newCoefficients(normalization, shape, layout);
        }

        @Override
        public PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
            return to.prepareUpdate(tensors, room);
        }

        @Override
        public PreparedPass prepare(PassSpec pass) {
            PreparedPass prepared = to.prepare(pass);
            return new PreparedPass() {
                @Override
                public void run(Operands operands, Coefficients coefficients) {
                    perform(pass, prepared, operands, coefficients);
                }

                @Override
                public void close() {
                    prepared.close();
                }
            };
        }

        /** Does a pass that was prepared; who watches or spoils it overrides this. */
        void perform(PassSpec pass, PreparedPass prepared, Operands operands, Coefficients coefficients) {
            prepared.run(operands, coefficients);
        }

        @Override
        public void close() {
            to.close();
        }
    }

    private TuneReport tune(UnaryOperator<Backend> seenAs, String name) {
        try (OpenClBackend owner = (OpenClBackend) device.open(Strategy.AUTO)) {
            return Tuner.run(
                    owner,
                    strategy ->
                            strategy.name().equals(name) ? seenAs.apply(owner.under(strategy)) : owner.under(strategy),
                    SMALL,
                    Double.POSITIVE_INFINITY,
                    Tuner.Progress.NONE);
        }
    }

    @Test
    void run_smallShape_triesEveryPassWithoutRunningStatistics() {
        List<String> steps = new ArrayList<>();
        List<ForwardTraining> passes = new ArrayList<>();

        try (OpenClBackend owner = (OpenClBackend) device.open(Strategy.AUTO)) {
            TuneReport report = Tuner.run(
                    owner,
                    strategy -> new Observed(owner.under(strategy)) {
                        @Override
                        void perform(
                                PassSpec pass, PreparedPass prepared, Operands operands, Coefficients coefficients) {
                            if (pass instanceof ForwardTraining forward) {
                                passes.add(forward);
                            }
                            super.perform(pass, prepared, operands, coefficients);
                        }
                    },
                    SMALL,
                    Double.POSITIVE_INFINITY,
                    (what, done, heats) -> steps.add(done + "/" + heats));

            assertThat(report.heats()).extracting(Heat::pass).containsExactly(Pass.values());
            assertThat(report.heats()).allSatisfy(heat -> {
                assertThat(heat.wrong()).isEmpty();
                assertThat(heat.candidates()).isGreaterThan(1);
                assertThat(heat.gains()).doesNotContainKey(heat.byDefault());
            });
            assertThat(report.allRight()).isTrue();
            assertThat(steps).containsExactly("0/3", "1/3", "2/3", "3/3");
            assertThat(passes).isNotEmpty().allMatch(pass -> pass.running() == null);
            try (Memory usable = owner.allocate(4)) {
                owner.fill(new Operand(usable, 0), 4, 3);
                FloatBuffer values = FloatBuffer.allocate(4);
                owner.read(new Operand(usable, 0), values);
                assertThat(values.array())
                        .as("the candidates shared its queue and context, and closing them left both")
                        .containsOnly(3);
            }
        }
    }

    private static List<String> problemsOf(String strategy, TuneReport report) {
        return report.heats().stream()
                .map(heat -> heat.wrong().entrySet().stream()
                        .filter(wrong -> wrong.getKey().name().equals(strategy))
                        .map(Map.Entry::getValue)
                        .findFirst()
                        .orElse("none"))
                .toList();
    }

    @Test
    void run_candidateThatDoesNothing_isTheFastestAndDoesNotWin() {
        TuneReport report = tune(
                backend -> new Observed(backend) {
                    @Override
                    void perform(PassSpec pass, PreparedPass prepared, Operands operands, Coefficients coefficients) {}
                },
                "gpu-split");

        assertThat(problemsOf("gpu-split", report))
                .hasSize(Pass.values().length)
                .containsOnly("element 0 of y was not written");
        assertThat(report.heats()).allSatisfy(heat -> assertThat(heat.gains().keySet())
                .extracting(Strategy::name)
                .doesNotContain("gpu-split"));
        assertThat(report.allRight()).isFalse();
        assertThat(report.table().rows()).noneMatch(row -> row.strategy().equals("gpu-split"));
    }

    @Test
    void run_candidateThatCannotRun_isExcludedAndTheOthersRace() {
        TuneReport report = tune(
                backend -> new Observed(backend) {
                    @Override
                    void perform(PassSpec pass, PreparedPass prepared, Operands operands, Coefficients coefficients) {
                        if (pass instanceof Backward) {
                            throw new IllegalStateException("no such instruction");
                        }
                        super.perform(pass, prepared, operands, coefficients);
                    }
                },
                "gpu-fused");

        assertThat(problemsOf("gpu-fused", report).get(2)).isEqualTo("it could not be run: no such instruction");
        assertThat(report.heats().get(2).candidates())
                .isGreaterThan(report.heats().get(2).wrong().size() + 1);
    }

    @Test
    void run_candidateThatIsWrongInOneElement_isExcludedWithTheError() {
        TuneReport report = tune(
                backend -> new Observed(backend) {
                    /** The verifier's arrays lie inside larger ones; where it does not look, nothing is done. */
                    @Override
                    void perform(PassSpec pass, PreparedPass prepared, Operands operands, Coefficients coefficients) {
                        Operand output = operands.get(pass instanceof Backward ? Role.DX : Role.Y);
                        if (output.offset() > 0) {
                            super.perform(pass, prepared, operands, coefficients);
                            if (!(pass instanceof Backward)) {
                                fill(output, 1, 1000);
                            }
                        }
                    }
                },
                "gpu-split");

        assertThat(report.heats())
                .allSatisfy(heat -> assertThat(heat.wrong().entrySet()).anySatisfy(wrong -> {
                    assertThat(wrong.getKey().name()).isEqualTo("gpu-split");
                    assertThat(wrong.getValue()).startsWith("y of ").contains("is off by", "the bound is 5.00e-07");
                }));
        assertThat(report.table().rows()).noneMatch(row -> row.strategy().equals("gpu-split"));
    }
}
