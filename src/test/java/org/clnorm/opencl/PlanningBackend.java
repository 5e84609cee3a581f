package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.Layout;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Coefficients;
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
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.UpdateStep;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Launch;
import org.clnorm.plan.PassPlan;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyChoice;
import org.clnorm.plan.StrategyTable;
import org.clnorm.plan.Updates;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;

/** A device that is not here: it plans passes as {@link OpenClBackend} does, and runs none. */
public final class PlanningBackend implements Backend {
    private final StrategyChoice choice;
    private final Set<String> programs = new TreeSet<>();
    private final List<Launch> launches = new ArrayList<>();
    private final Map<String, Map<String, List<String>>> parameters = new TreeMap<>();

    /** @param strategy a strategy's name, or "auto" */
    public PlanningBackend(DeviceFacts facts, String strategy) {
        Strategy fixed = strategy.equals(Strategy.AUTO) ? null : Strategy.named(strategy, facts);
        this.choice = new StrategyChoice(facts, fixed, StrategyTable.DEFAULTS);
    }

    /** What the passes would have built: kernels, and the compiler's options. */
    public Set<String> programs() {
        return programs;
    }

    /** What the passes would have launched since the last call of this, in order. */
    public List<Launch> takeLaunches() {
        List<Launch> taken = List.copyOf(launches);
        launches.clear();
        return taken;
    }

    /**
     * How the host sets the parameters of each kernel of the passes, by those of the compiler's options that change which there
     * are: for rows, and with a mask.
     */
    public Map<String, Map<String, List<String>>> parameters() {
        return parameters;
    }

    /** How kernels declare their parameters under such options. */
    public static Map<String, List<String>> declared(Collection<String> kernels, String options) {
        try (DefaultDevice.Foreign device = new DefaultDevice.Foreign()) {
            return KernelSignature.declared(kernels, options, device);
        }
    }

    private void plan(PassPlan plan, Operands operands) {
        boolean aligned = plan.isAligned(operands);
        Stream.of(plan.steps(aligned), plan.stepsAfterLook(aligned))
                .flatMap(steps -> steps.launches().stream())
                .forEach(this::plan);
    }

    @Override
    public PreparedUpdate prepareUpdate(List<Updated> tensors, UpdateRoom room) {
        Updates updates =
                Updates.of(tensors.stream().map(Updated::elements).toList(), choice.forCopies(), choice.facts());
        return new PreparedUpdate() {
            @Override
            public void run(UpdateStep step, GradientChange change, BitSet skipped) {
                updates.batches().forEach(batch -> Stream.of(batch.update(), batch.norm())
                        .forEach(PlanningBackend.this::plan));
                plan(updates.fold());
            }

            @Override
            public void close() {}
        };
    }

    private void plan(Launch launch) {
        launches.add(launch);
        programs.add(launch.kernel() + " " + launch.options());
        List<String> set = KernelSignature.set(launch);
        String options = (set.contains("float* row_gamma_buffer") ? " -DROWS=1" : "")
                + (launch.options().contains("-DMASKED=1") ? " -DMASKED=1" : "");
        parameters.computeIfAbsent(options, any -> new TreeMap<>()).put(launch.kernel(), set);
    }

    @Override
    public PreparedPass prepare(PassSpec pass) {
        return PositionsPass.isOne(pass) ? prepare(PositionsPass.steps(pass, choice.facts())) : prepareParts(pass);
    }

    private PreparedPass prepare(List<PositionsPass.Step> steps) {
        Operand room = new Operand(allocate(1), 0);
        return new PreparedPass() {
            @Override
            public void run(Operands operands, Coefficients coefficients) {
                steps.forEach(step -> plan(Passes.plan(step.spec(), choice), step.of(operands, room, room, room)));
            }

            @Override
            public void close() {}
        };
    }

    private PreparedPass prepareParts(PassSpec pass) {
        List<SplitPass.Part> parts = SplitPass.parts(pass);
        List<PassPlan> plans =
                parts.stream().map(part -> Passes.plan(part.spec(), choice)).toList();
        return new PreparedPass() {
            @Override
            public void run(Operands operands, Coefficients coefficients) {
                for (int i = 0; i < plans.size(); i++) {
                    plan(plans.get(i), parts.get(i).of(operands));
                }
            }

            @Override
            public void close() {}
        };
    }

    /** There are none: what a pass leaves is of no interest here, and the moments and sums of parts are all 0. */
    private Coefficients coefficients(int groups) {
        return new Coefficients() {
            @Override
            public int groups() {
                return groups;
            }

            @Override
            public Operand mean() {
                return new Operand(allocate(groups), 0);
            }

            @Override
            public Operand inverseStandardDeviation() {
                return new Operand(allocate(groups), 0);
            }

            @Override
            public Supplier<ChannelMoments> readMoments(long count) {
                return () -> new ChannelMoments(count, new double[groups], new double[groups]);
            }

            @Override
            public void writeMoments(ChannelMoments moments, RunningVariance estimate) {}

            @Override
            public Supplier<GradientSums> readSums(long count) {
                return () -> new GradientSums(count, new double[groups], new double[groups]);
            }

            @Override
            public void writeSums(GradientSums own, GradientSums all) {}

            @Override
            public void close() {}
        };
    }

    @Override
    public Coefficients newCoefficients(int channels) {
        return coefficients(channels);
    }

    @Override
    public Coefficients newCoefficients(Normalization normalization, Shape shape, Layout layout) {
        return coefficients(Passes.view(normalization, shape, layout).groups());
    }

    @Override
    public void copy(Operand from, Operand to, long count) {
        Operands operands = new Operands().put(Role.X, from).put(Role.Y, to);
        plan(Passes.copy(count, choice.forCopies(), choice.facts(), operands.types()), operands);
    }

    @Override
    public DeviceInfo info() {
        throw new UnsupportedOperationException("A device that is not here has none");
    }

    @Override
    public Memory allocate(long elements, DataType type) {
        return new Memory() {
            @Override
            public long elements() {
                return elements;
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public void write(Operand to, FloatBuffer from) {}

    @Override
    public void read(Operand from, FloatBuffer to) {}

    @Override
    public void write(Operand to, ShortBuffer from) {}

    @Override
    public void read(Operand from, ShortBuffer to) {}

    @Override
    public void fill(Operand to, long count, float value) {}

    @Override
    public void finish() {}

    @Override
    public void close() {}
}
