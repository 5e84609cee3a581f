package org.clnorm;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Parameter;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.clnorm.cases.CaseFile;
import org.clnorm.cases.CaseOptions;
import org.clnorm.diagnostics.Diagnoser;
import org.clnorm.diagnostics.Diagnostics;
import org.clnorm.folding.Folding;
import org.clnorm.folding.Weights;
import org.clnorm.mpi.DataParallel;
import org.clnorm.mpi.Group;
import org.clnorm.mpi.Groups;
import org.clnorm.mpi.Replicas;
import org.clnorm.mpi.SyncBatchNorm;
import org.clnorm.mpi.SyncForwardPass;
import org.clnorm.mpi.SyncStep;
import org.clnorm.optim.Adam;
import org.clnorm.optim.AdamW;
import org.clnorm.optim.GradientChange;
import org.clnorm.optim.RmsProp;
import org.clnorm.optim.Sgd;
import org.clnorm.optim.UpdateRule;
import org.clnorm.optim.UpdateStep;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.clnorm.state.NpyArray;
import org.clnorm.state.Npz;
import org.clnorm.state.Safetensors;
import org.clnorm.state.StateArray;
import org.clnorm.state.StateDict;
import org.clnorm.testing.ExpectedNormalization;
import org.clnorm.testing.NormalizationAssertions;
import org.clnorm.testing.NormalizedArrayAssert;
import org.clnorm.testing.NormalizedTensorAssert;
import org.jocl.cl_command_queue;
import org.jocl.cl_context;
import org.jocl.cl_device_id;
import org.jocl.cl_mem;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every public method and constructor with null in the place of each of its arguments: an exception that names the argument,
 * unless null is documented to mean something there.
 */
class NullArgumentsTest {
    private static final List<String> PACKAGES = List.of(
            "org.clnorm",
            "org.clnorm.cases",
            "org.clnorm.diagnostics",
            "org.clnorm.folding",
            "org.clnorm.mpi",
            "org.clnorm.optim",
            "org.clnorm.replicas",
            "org.clnorm.state",
            "org.clnorm.testing");

    /** Where null means something: by class, method and argument, with * for any of the first two. */
    private static final Set<String> NULLABLE = Set.of(
            "* forward residual",
            "* backward dresidual",
            "* beginForward residual",
            "* beginBackward dresidual",
            "* forwardCombined residual",
            "* backwardCombined dresidual",
            "* backwardAdding dresidual",
            "* mask mask",
            "* record residual",
            "* recordCombined residual",
            "* recompute residual",
            "SampleAffine <init> gamma",
            "SampleAffine <init> beta",
            "Device.Builder select selector",
            "Device.Builder strategy name",
            "BatchNorm.Builder renormalization schedule",
            "Folding of gamma",
            "Folding of beta",
            "Weights <init> bias",
            "Weights of bias",
            "Weights ofTransposed bias",
            "CaseFile read op",
            "CaseOptions <init> mask",
            "CaseOptions <init> normalizedDims",
            "CaseOptions <init> groups",
            "CaseOptions <init> virtualBatch",
            "CaseOptions <init> lastVirtualBatch",
            "CaseOptions <init> rMax",
            "CaseOptions <init> dMax",
            "NormalizationAssertions assertThat actual");

    private static final Map<Class<?>, Object> WITH_NULL = Map.of(
            Collection.class, Arrays.asList((Object) null),
            List.class, Arrays.asList((Object) null),
            Map.class, Collections.singletonMap("a", null));

    @TempDir
    static Path folder;

    private static Device device;

    private static Stream<Class<?>> publicClasses() {
        return new ClassFileImporter()
                .withImportOption(location -> !location.contains("/test-classes/")).importPackages(PACKAGES).stream()
                        .filter(javaClass -> PACKAGES.contains(javaClass.getPackageName()))
                        .map(JavaClass::reflect)
                        .filter(NullArgumentsTest::isPublic)
                        .filter(type -> !type.isInterface());
    }

    private static boolean isPublic(Class<?> type) {
        return Modifier.isPublic(type.getModifiers())
                && (type.getDeclaringClass() == null || isPublic(type.getDeclaringClass()));
    }

    private static Stream<Executable> calls() {
        return publicClasses()
                .flatMap(type -> Stream.concat(
                        Stream.<Executable>of(type.getDeclaredConstructors()), Stream.of(type.getDeclaredMethods())))
                .filter(call -> Modifier.isPublic(call.getModifiers()) && !call.isSynthetic())
                .filter(call -> !call.getName().equals("equals"))
                .filter(call ->
                        !(call.getDeclaringClass().isEnum() && call.getName().equals("valueOf")));
    }

    @TestFactory
    Stream<DynamicTest> everyPublicCall_withNull_namesTheArgument() {
        return calls().flatMap(call -> Arrays.stream(call.getParameters())
                .filter(parameter -> !parameter.getType().isPrimitive())
                .map(parameter -> DynamicTest.dynamicTest(
                        label(call) + Arrays.toString(call.getParameterTypes()) + " " + parameter.getName(),
                        () -> check(call, parameter))));
    }

    /** The same with null among several. */
    @TestFactory
    Stream<DynamicTest> everyPublicCall_withNullInACollection_namesTheArgument() {
        return calls().flatMap(call -> Arrays.stream(call.getParameters())
                .filter(parameter -> WITH_NULL.containsKey(parameter.getType()))
                .map(parameter -> DynamicTest.dynamicTest(
                        label(call) + Arrays.toString(call.getParameterTypes()) + " " + parameter.getName(),
                        () -> check(call, parameter, WITH_NULL.get(parameter.getType()), false))));
    }

    /** That a list of exceptions has none of what is no more. */
    @Test
    void nullable_asListed_isThere() {
        Set<String> there = new TreeSet<>();
        calls().forEach(call -> Arrays.stream(call.getParameters())
                .forEach(parameter -> there.addAll(List.of(
                        label(call) + " " + parameter.getName(), "* " + name(call) + " " + parameter.getName()))));

        assertThat(there).containsAll(NULLABLE);
        assertThat(there).as("the names of arguments are in the class files").noneMatch(name -> name.endsWith(" arg0"));
    }

    /** What a message shows of an object is of use to whoever reads it. */
    @Test
    void toString_ofEveryPublicClass_isItsOwn() {
        assertThat(publicClasses()
                        .filter(type -> !type.isEnum()
                                && !type.isRecord()
                                && !type.getSimpleName().equals("Builder"))
                        .filter(type -> !Throwable.class.isAssignableFrom(type) && hasInstanceMethods(type)))
                .allSatisfy(type -> assertThat(type.getMethod("toString").getDeclaringClass())
                        .isNotEqualTo(Object.class));
    }

    private static boolean hasInstanceMethods(Class<?> type) {
        return Arrays.stream(type.getMethods())
                .anyMatch(method -> method.getDeclaringClass() == type && !Modifier.isStatic(method.getModifiers()));
    }

    private static String name(Executable call) {
        return call instanceof Constructor ? "<init>" : call.getName();
    }

    private static String label(Executable call) {
        String type =
                call.getDeclaringClass().getName().replaceFirst("^.*\\.", "").replace('$', '.');
        return type + " " + name(call);
    }

    private static void check(Executable call, Parameter parameter) throws Exception {
        boolean nullable = NULLABLE.contains(label(call) + " " + parameter.getName())
                || NULLABLE.contains("* " + name(call) + " " + parameter.getName());
        check(call, parameter, null, nullable);
    }

    private static void check(Executable call, Parameter parameter, Object wrong, boolean nullable) throws Exception {
        List<AutoCloseable> opened = new ArrayList<>();
        try (Device fresh = Device.cpuReference()) {
            device = fresh;
            Object receiver = call instanceof Constructor || Modifier.isStatic(call.getModifiers())
                    ? null
                    : receiver(call.getDeclaringClass());
            Object[] arguments = Arrays.stream(call.getParameters())
                    .map(each -> each.equals(parameter) ? wrong : argument(call, each))
                    .toArray();
            if (receiver instanceof AutoCloseable closeable) {
                opened.add(closeable);
            }
            Throwable thrown = thrownBy(call, receiver, arguments, opened);
            if (nullable) {
                assertThat(thrown instanceof NullPointerException)
                        .as("null is documented here, but: %s", thrown)
                        .isFalse();
            } else {
                assertThat(thrown)
                        .as("%s for %s", wrong, parameter.getName())
                        .isInstanceOfAny(NullPointerException.class, IllegalArgumentException.class);
                assertThat(thrown.getMessage())
                        .as("thrown at %s", thrown.getStackTrace()[0])
                        .isNotNull()
                        .containsPattern("\\b" + parameter.getName() + "\\b")
                        .as("not the virtual machine's own words")
                        .doesNotContain("because");
            }
        } finally {
            for (AutoCloseable each : opened) {
                each.close();
            }
        }
    }

    private static Throwable thrownBy(Executable call, Object receiver, Object[] arguments, List<AutoCloseable> opened)
            throws ReflectiveOperationException {
        try {
            Object result = call instanceof Method method
                    ? method.invoke(receiver, arguments)
                    : ((Constructor<?>) call).newInstance(arguments);
            if (result instanceof AutoCloseable closeable) {
                opened.add(closeable);
            }
            return null;
        } catch (InvocationTargetException e) {
            return e.getCause();
        }
    }

    /** One that the call would succeed on. */
    private static Object receiver(Class<?> type) throws IOException {
        Map<Class<?>, Supplier<Object>> receivers = Map.ofEntries(
                Map.entry(Layer.class, NullArgumentsTest::wentForward),
                Map.entry(Normalizer.class, NullArgumentsTest::wentForward),
                Map.entry(ChannelNormalizer.class, NullArgumentsTest::conditional),
                Map.entry(RowNormalizer.class, () -> LayerNorm.builder(2).build(device)),
                Map.entry(BatchNorm.Builder.class, () -> BatchNorm.builder(2)),
                Map.entry(InstanceNorm.Builder.class, () -> InstanceNorm.builder(2)),
                Map.entry(GroupNorm.Builder.class, () -> GroupNorm.builder(1, 2)),
                Map.entry(LayerNorm.Builder.class, () -> LayerNorm.builder(2)),
                Map.entry(RmsNorm.Builder.class, () -> RmsNorm.builder(2)),
                Map.entry(WeightNorm.Builder.class, () -> WeightNorm.builder(2)),
                Map.entry(L2Norm.Builder.class, L2Norm::builder),
                Map.entry(Device.Builder.class, Device::builder),
                Map.entry(Layout.class, () -> Layout.CHANNELS_LAST),
                Map.entry(HalfFloat.class, () -> HalfFloat.BINARY16),
                Map.entry(DataType.class, () -> DataType.FLOAT16),
                Map.entry(
                        PopulationStatistics.class,
                        () -> PopulationStatistics.over(BatchNorm.builder(2).build(device))),
                Map.entry(Folding.class, () -> Folding.of(BatchNorm.builder(2).build(device))),
                Map.entry(Diagnoser.class, () -> Diagnoser.every(1)));
        if (type == Safetensors.class) {
            return Safetensors.open(safetensors());
        }
        if (type == CaseFile.class) {
            return CaseFile.read(caseFile());
        }
        return receivers.containsKey(type) ? receivers.get(type).get() : sample(type, "");
    }

    private static BatchNorm wentForward() {
        BatchNorm norm = BatchNorm.builder(2).build(device);
        norm.forward(tensor(), tensor());
        return norm;
    }

    private static ForwardPass forwardPass() {
        return BatchNorm.builder(2).build(device).record(tensor(), tensor()).retain();
    }

    private static BatchNorm conditional() {
        BatchNorm norm = BatchNorm.builder(2).build(device);
        norm.forward(tensor(), null, tensor(), new SampleAffine(tensor(), null));
        return norm;
    }

    private static BatchNorm combined() {
        BatchNorm norm = BatchNorm.builder(2).build(device);
        Tensor x = tensor();
        norm.forwardCombined(x, null, tensor(), norm.moments(x));
        return norm;
    }

    private static Group group() {
        return Groups.local(1, Duration.ofSeconds(1)).get(0);
    }

    private static SyncBatchNorm synced() {
        SyncBatchNorm norm =
                new DataParallel(group()).synchronize(BatchNorm.builder(2).build(device));
        norm.forward(tensor(), tensor());
        return norm;
    }

    private static Optimizer.Builder optimizer() {
        return Optimizer.builder(Sgd.rate(0.5)).add("a", tensor(), tensor());
    }

    private static Tensor tensor() {
        return device.upload(new float[] {1, 2, 3, 5}, Shape.of(2, 2), Layout.CHANNELS_FIRST);
    }

    private static Path safetensors() throws IOException {
        Path file = folder.resolve("a.safetensors");
        Safetensors.write(file, StateDict.empty().with("a", StateArray.scalar(1)));
        return file;
    }

    private static Path caseFile() throws IOException {
        Path file = folder.resolve("case.npz");
        byte[] options = "{\"op\": \"batch-norm\"}".getBytes(java.nio.charset.StandardCharsets.UTF_8);
        Npz.write(file, Map.of("x", NpyArray.of(new float[4], 2, 2), "case", NpyArray.of(options, options.length)));
        return file;
    }

    private static Object argument(Executable call, Parameter parameter) {
        String method = label(call) + " " + parameter.getName();
        try {
            return switch (method) {
                case "CaseFile read file" -> caseFile();
                case "Safetensors open file", "Safetensors read file" -> safetensors();
                default -> sample(parameter.getType(), parameter.getName());
            };
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Some value of a type, of shape (2, 2) or for two channels. */
    private static Object sample(Class<?> type, String name) {
        if (type.isEnum()) {
            return type.getEnumConstants()[0];
        }
        if (type == long[].class) {
            return new long[] {2, 2};
        }
        if (type == float[].class) {
            return new float[4];
        }
        if (type == double[].class) {
            return new double[2];
        }
        Map<Class<?>, Supplier<Object>> samples = Map.ofEntries(
                Map.entry(int.class, () -> 2),
                Map.entry(long.class, () -> 0L),
                Map.entry(double.class, () -> 0.25),
                Map.entry(float.class, () -> 0.5f),
                Map.entry(boolean.class, () -> true),
                Map.entry(String.class, () -> "a"),
                Map.entry(Path.class, () -> folder.resolve("a")),
                Map.entry(short[].class, () -> new short[4]),
                Map.entry(byte[].class, () -> new byte[4]),
                Map.entry(int[].class, () -> new int[2]),
                Map.entry(boolean[].class, () -> new boolean[2]),
                Map.entry(FloatBuffer.class, () -> FloatBuffer.allocate(4)),
                Map.entry(ShortBuffer.class, () -> ShortBuffer.allocate(4)),
                Map.entry(ByteBuffer.class, () -> ByteBuffer.allocate(4)),
                Map.entry(Map.class, Map::of),
                Map.entry(List.class, List::of),
                Map.entry(Collection.class, List::of),
                Map.entry(Iterator.class, () -> List.of().iterator()),
                Map.entry(Runnable.class, () -> (Runnable) () -> {}),
                Map.entry(UnaryOperator.class, UnaryOperator::identity),
                Map.entry(Integer.class, () -> 1),
                Map.entry(Long.class, () -> 1L),
                Map.entry(Double.class, () -> 1.0),
                Map.entry(Shape.class, () -> Shape.of(2, 2)),
                Map.entry(Device.class, () -> device),
                Map.entry(Tensor.class, NullArgumentsTest::tensor),
                Map.entry(BatchNorm.class, NullArgumentsTest::combined),
                Map.entry(WeightNorm.class, () -> WeightNorm.builder(2).build(device)),
                Map.entry(ForwardPass.class, () -> forwardPass()),
                Map.entry(SampleAffine.class, () -> new SampleAffine(tensor(), null)),
                Map.entry(ChannelMoments.class, () -> new ChannelMoments(2, new double[2], new double[2])),
                Map.entry(GradientSums.class, () -> GradientSums.empty(2)),
                Map.entry(Duration.class, () -> Duration.ofSeconds(1)),
                Map.entry(Group.class, NullArgumentsTest::group),
                Map.entry(DataParallel.class, () -> new DataParallel(group())),
                Map.entry(SyncBatchNorm.class, NullArgumentsTest::synced),
                Map.entry(SyncStep.class, () -> synced().beginForward(tensor(), null, tensor())),
                Map.entry(SyncStep[].class, () -> new SyncStep[] {synced().beginForward(tensor(), null, tensor())}),
                Map.entry(SyncForwardPass.class, () -> synced().record(tensor(), tensor())),
                Map.entry(Replicas.class, () -> Replicas.of(List.of(device), Duration.ofSeconds(1))),
                Map.entry(Replicas.Work.class, () -> (Replicas.Work<Object>) (all, on) -> null),
                Map.entry(RunningAverage.class, RunningAverage::none),
                Map.entry(Activation.class, () -> Activation.RELU),
                Map.entry(Layer.class, () -> BatchNorm.builder(2).build(device)),
                Map.entry(Optimizer.class, () -> optimizer().build(device)),
                Map.entry(Optimizer.Builder.class, () -> optimizer()),
                Map.entry(Mask.class, () -> Mask.of(device, 2, 1, Mask.Outside.ZERO)),
                Map.entry(UpdateRule.class, () -> Sgd.rate(0.5)),
                Map.entry(Sgd.class, () -> Sgd.rate(0.5)),
                Map.entry(Adam.class, () -> Adam.rate(0.5)),
                Map.entry(AdamW.class, () -> AdamW.rate(0.5)),
                Map.entry(RmsProp.class, () -> RmsProp.rate(0.5)),
                Map.entry(GradientChange.class, () -> GradientChange.NONE),
                Map.entry(UpdateStep.class, () -> UpdateStep.CLIP),
                Map.entry(
                        Parameter.class,
                        () -> BatchNorm.builder(2).build(device).gamma().orElseThrow()),
                Map.entry(DeviceInfo.class, () -> device.info()),
                Map.entry(StateDict.class, StateDict::empty),
                Map.entry(NetworkState.class, () -> NetworkState.of(Map.of())),
                Map.entry(StateArray.class, () -> StateArray.scalar(1)),
                Map.entry(StateArray.Source.class, () -> (StateArray.Source) to -> {}),
                Map.entry(NpyArray.class, () -> NpyArray.of(new float[1], 1)),
                Map.entry(Safetensors.Entry.class, () -> new Safetensors.Entry("a", "I64", List.of(), 0, 8)),
                Map.entry(Weights.class, () -> Weights.of(new float[4], new long[] {2, 2}, null)),
                Map.entry(Diagnostics.class, () -> null),
                Map.entry(ExpectedNormalization.class, () -> NormalizationAssertions.batchNormOf(tensor())),
                Map.entry(NormalizedArrayAssert.class, () -> NormalizationAssertions.assertThat(tensor().download())),
                Map.entry(NormalizedTensorAssert.class, () -> NormalizationAssertions.assertThat(tensor())),
                Map.entry(CaseOptions.class, () -> null),
                Map.entry(cl_context.class, cl_context::new),
                Map.entry(cl_device_id.class, cl_device_id::new),
                Map.entry(cl_command_queue.class, cl_command_queue::new),
                Map.entry(cl_mem.class, cl_mem::new));
        assertThat(samples).as("a sample of what the argument %s is", name).containsKey(type);
        return samples.get(type).get();
    }
}
