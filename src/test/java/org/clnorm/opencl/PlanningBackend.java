package org.clnorm.opencl;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.clnorm.ChannelMoments;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.GradientSums;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Backward;
import org.clnorm.backend.BackwardCombined;
import org.clnorm.backend.ForwardCombined;
import org.clnorm.backend.ForwardInference;
import org.clnorm.backend.ForwardTraining;
import org.clnorm.backend.Memory;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.Operand;
import org.clnorm.backend.ReduceBackward;
import org.clnorm.backend.ReduceForward;
import org.clnorm.backend.SavedStatistics;
import org.clnorm.plan.Copy;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Launch;
import org.clnorm.plan.Pass;
import org.clnorm.plan.PassKind;
import org.clnorm.plan.Passes;
import org.clnorm.plan.Place;
import org.clnorm.plan.ReduceFoldApply;
import org.clnorm.plan.Strategy;
import org.clnorm.plan.StrategyChoice;
import org.clnorm.plan.StrategyTable;
import org.clnorm.view.View;

/** A device that is not here: it plans passes as {@link OpenClBackend} does, and runs none. */
public final class PlanningBackend implements Backend {
    private final StrategyChoice choice;
    private final Set<String> programs = new TreeSet<>();
    private final Map<String, List<String>> ofRows = new TreeMap<>();
    private final Map<String, List<String>> ofOthers = new TreeMap<>();

    /** @param strategy a strategy's name, or "auto" */
    public PlanningBackend(DeviceFacts facts, String strategy) {
        Strategy fixed = strategy.equals(Strategy.AUTO) ? null : Strategy.named(strategy, facts);
        this.choice = new StrategyChoice(facts, fixed, StrategyTable.DEFAULTS);
    }

    /** What the passes would have built: kernels, and the compiler's options. */
    public Set<String> programs() {
        return programs;
    }

    /** The kernels of the passes, those for rows or the others: how the host sets the parameters of each. */
    public Map<String, List<String>> parameters(boolean rows) {
        return rows ? ofRows : ofOthers;
    }

    /** How kernels declare their parameters. */
    public static Map<String, List<String>> declared(Collection<String> kernels, boolean rows) {
        try (DefaultDevice.Foreign device = new DefaultDevice.Foreign()) {
            return KernelSignature.declared(kernels, rows, device);
        }
    }

    private <P> void plan(PassKind<P> kind, P pass, Strategy given) {
        Operand[] places = new Operand[Place.values().length];
        kind.place().accept(pass, places);
        View view = kind.view().apply(pass);
        Strategy strategy = given == null ? choice.forPass(kind.chosenBy(), view) : given;
        ReduceFoldApply over = Plan.over(kind, pass, places, view, strategy, choice.facts());
        DataType[] types = new DataType[places.length];
        for (int i = 0; i < types.length; i++) {
            types[i] = places[i] == null ? null : places[i].type();
        }
        for (Launch launch : kind.steps().apply(pass, over).launches()) {
            programs.add(launch.kernel() + " " + launch.storing(types).options());
            List<String> set = KernelSignature.set(launch);
            parameters(set.contains("float* row_gamma_buffer")).put(launch.kernel(), set);
        }
    }

    @Override
    public SavedStatistics newSavedStatistics(int channels) {
        return new OpenClSavedStatistics(channels, 1, new Operand(allocate(1), 0), null);
    }

    @Override
    public SavedStatistics newSavedStatistics(Normalization normalization, Shape shape, Layout layout) {
        View view = Passes.view(normalization, shape, layout);
        return new OpenClSavedStatistics(view.groups(), view.blocks().count(), new Operand(allocate(1), 0), null);
    }

    @Override
    public void forward(ForwardTraining pass) {
        plan(Passes.TRAINING, pass, null);
    }

    @Override
    public void forward(ForwardInference pass) {
        plan(Passes.INFERENCE, pass, null);
    }

    @Override
    public void backward(Backward pass) {
        plan(Passes.GRADIENT, pass, null);
    }

    @Override
    public ChannelMoments moments(ReduceForward pass) {
        plan(Passes.MOMENTS, pass, choice.split(Pass.FORWARD, pass.shape(), pass.layout()));
        int channels = Math.toIntExact(pass.shape().channels());
        return new ChannelMoments(
                pass.shape().batch() * pass.shape().spatial(), new double[channels], new double[channels]);
    }

    @Override
    public void forward(ForwardCombined pass) {
        plan(Passes.COMBINED, pass, null);
    }

    @Override
    public GradientSums gradientSums(ReduceBackward pass) {
        plan(Passes.SUMS, pass, choice.split(Pass.BACKWARD, pass.shape(), pass.layout()));
        int channels = Math.toIntExact(pass.shape().channels());
        return new GradientSums(
                pass.shape().batch() * pass.shape().spatial(), new double[channels], new double[channels]);
    }

    @Override
    public void backward(BackwardCombined pass) {
        plan(Passes.COMBINED_GRADIENT, pass, choice.split(Pass.BACKWARD, pass.shape(), pass.layout()));
    }

    @Override
    public void copy(Operand from, Operand to, long count) {
        Strategy strategy = choice.forCopies();
        plan(Copy.KIND, new Copy(from, to, count, strategy), strategy);
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
