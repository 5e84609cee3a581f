package org.clnorm;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Operand;
import org.clnorm.opencl.OpenCl;
import org.clnorm.reference.ReferenceBackend;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What tensors live on and layers compute on: an OpenCL device, or the CPU reference.
 *
 * <p>A device may be used by many threads. Calls return before the work is done and take effect in the order in which
 * they were made; only a download, {@link #finish} and what is said to wait do. Closing a device closes all that lives
 * on it.
 *
 * <p>Any thread may close a device, and what lives on it, at any time. The close waits for what was asked of the device
 * before, and every later call throws {@link IllegalStateException}; so does the rest of a call that asks the device
 * for one thing after another, such as the saving of a layer's state. Closing from inside of a call, as a program's own
 * logging might, waits for nothing; what is closed is released when the call is over.
 */
public final class Device implements AutoCloseable {
    /** The environment variable that selects a device where the program does not; see {@link #open(String)}. */
    public static final String SELECTOR_VARIABLE = "CLNORM_DEVICE";

    /** The environment variable that selects a kernel strategy where the program does not. */
    public static final String STRATEGY_VARIABLE = "CLNORM_STRATEGY";

    private static final Logger log = LoggerFactory.getLogger(Device.class);
    private static final String REFERENCE = "reference";
    /** Two devices may have one name, or be one opened twice; so each that is opened has a number for messages. */
    private static final AtomicInteger OPENED = new AtomicInteger();

    private final int number = OPENED.incrementAndGet();
    private final Backend backend;
    private final DeviceInfo info;
    private final Lease lease;

    private Device(Backend backend) {
        this.backend = backend;
        this.info = backend.info();
        this.lease = Lease.ofDevice(this, label(), backend::close);
    }

    /** A device that owns {@code backend}. */
    static Device over(Backend backend) {
        return new Device(backend);
    }

    /**
     * Opens the device that the environment variable {@code CLNORM_DEVICE} selects, or else the best one across all
     * OpenCL platforms: a GPU, then another accelerator, then a CPU. Where there is no OpenCL loader or no device, it
     * is the CPU reference, and the log says so once.
     *
     * @throws IllegalArgumentException when the variable, or {@code CLNORM_STRATEGY}, selects nothing; the message
     *     lists what there is
     */
    public static Device open() {
        return builder().open();
    }

    /**
     * Opens the best device that matches a selector.
     *
     * @param selector {@code "reference"}; a part of a platform's or device's name, such as {@code "nvidia"}; parts of
     *     both, {@code "pocl:epyc"}; or indices as the command {@code devices} prints them, {@code "0:0"}. Case does
     *     not matter.
     * @throws IllegalArgumentException when nothing matches; the message lists what there is
     */
    public static Device open(String selector) {
        return builder().select(Objects.requireNonNull(selector, "selector")).open();
    }

    /** Opens the CPU reference: double precision in plain Java, for cross-checks and machines without OpenCL. */
    public static Device cpuReference() {
        return new Device(new ReferenceBackend());
    }

    /** A builder of a device, for more to say about it than which it is. */
    public static Builder builder() {
        return new Builder(null, null, true);
    }

    /** The devices that {@link #open()} chooses from, the CPU reference last. */
    public static List<DeviceCandidate> candidates() {
        String selector = variable(SELECTOR_VARIABLE);
        List<OpenCl.Candidate> found = OpenCl.devices();
        OpenCl.Candidate chosen =
                isReference(selector) ? null : OpenCl.select(found, selector).orElse(null);
        String why = selector == null
                ? "the best there is: a GPU before an accelerator before a CPU, in the platforms' order"
                : "selected by " + SELECTOR_VARIABLE + "=" + selector;
        List<DeviceCandidate> candidates = new ArrayList<>();
        for (OpenCl.Candidate candidate : found) {
            boolean isDefault = candidate == chosen;
            candidates.add(new DeviceCandidate(candidate.info(), candidate.inWords(), isDefault, isDefault ? why : ""));
        }
        boolean fallBack = isReference(selector) || found.isEmpty();
        try (Backend reference = new ReferenceBackend()) {
            candidates.add(new DeviceCandidate(
                    reference.info(),
                    Map.of(),
                    fallBack,
                    found.isEmpty() ? OpenCl.whyNoDevices() : fallBack ? why : ""));
        }
        return candidates;
    }

    /**
     * The value of an environment variable; null where there is none or it is blank, which is how a script says none.
     *
     * @param name the variable's name
     */
    public static String variable(String name) {
        Objects.requireNonNull(name, "name");
        String value = System.getenv(name);
        return value == null || value.isBlank() ? null : value;
    }

    private static boolean isReference(String selector) {
        return REFERENCE.equalsIgnoreCase(selector);
    }

    /** The settings that a device is opened with. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final String selector;
        private final String strategy;
        private final boolean kernelCache;

        private Builder(String selector, String strategy, boolean kernelCache) {
            this.selector = selector;
            this.strategy = strategy;
            this.kernelCache = kernelCache;
        }

        /**
         * Says which device to open.
         *
         * @param selector as in {@link Device#open(String)}; null for what {@code CLNORM_DEVICE} says, or else the best
         *     device
         */
        public Builder select(String selector) {
            return new Builder(selector, strategy, kernelCache);
        }

        /**
         * Says which kernel strategy the device uses.
         *
         * @param name a name that the command {@code devices} prints; null for what {@code CLNORM_STRATEGY} says, or
         *     else the strategy that fits the device
         */
        public Builder strategy(String name) {
            return new Builder(selector, name, kernelCache);
        }

        /**
         * Says whether compiled kernels are kept in the user's cache folder, and taken from there; they are unless it
         * is said here or by {@code CLNORM_CACHE=off} that they are not.
         */
        public Builder kernelCache(boolean use) {
            return new Builder(selector, strategy, use);
        }

        /**
         * Opens the device.
         *
         * @throws IllegalArgumentException when nothing matches the selector or the strategy; the message lists what
         *     there is
         */
        public Device open() {
            String wanted = selector != null ? selector : variable(SELECTOR_VARIABLE);
            String wantedStrategy = strategy != null ? strategy : variable(STRATEGY_VARIABLE);
            if (isReference(wanted)) {
                return cpuReference();
            }
            List<OpenCl.Candidate> found = OpenCl.devices();
            if (found.isEmpty() && wanted == null) {
                FallBack.sayOnce();
                return cpuReference();
            }
            OpenCl.Candidate chosen = OpenCl.require(found, wanted);
            return new Device(chosen.open(wantedStrategy, kernelCache));
        }
    }

    /** Says once in the process's life that there is no OpenCL device. */
    private static final class FallBack {
        static {
            log.warn("No OpenCL device, so the CPU reference is used: {}", OpenCl.whyNoDevices());
        }

        static void sayOnce() {
            // Loading the class said it.
        }
    }

    /** What the device is, and the strategy in use. */
    public DeviceInfo info() {
        return info;
    }

    /**
     * Makes a float32 tensor of zeros.
     *
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in memory
     * @throws IllegalArgumentException when the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor tensor(Shape shape, Layout layout) {
        return tensor(shape, layout, DataType.FLOAT32);
    }

    /**
     * Makes a tensor of zeros.
     *
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in memory
     * @param type how its elements are stored
     * @throws IllegalArgumentException when the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor tensor(Shape shape, Layout layout, DataType type) {
        return filled(allocate(shape, layout, type), tensor -> tensor.fill(0));
    }

    /**
     * Makes a tensor of the given elements, rounded to nearest even where they are stored in 16 bits.
     *
     * @param from the elements in memory order of {@code layout}; the array may be changed at once
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in memory
     * @param type how its elements are stored
     * @throws IllegalArgumentException when the length is not that of the shape, or the tensor is larger than the
     *     device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor upload(float[] from, Shape shape, Layout layout, DataType type) {
        return upload(FloatBuffer.wrap(Objects.requireNonNull(from, "from")), shape, layout, type);
    }

    /**
     * Makes a float32 tensor of the given elements.
     *
     * @param from the elements in memory order of {@code layout}; the array may be changed at once
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in memory
     * @throws IllegalArgumentException when the length is not that of the shape, or the tensor is larger than the
     *     device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor upload(float[] from, Shape shape, Layout layout) {
        return upload(FloatBuffer.wrap(Objects.requireNonNull(from, "from")), shape, layout);
    }

    /**
     * Makes a float32 tensor of the elements that remain in a buffer, direct or not.
     *
     * @param from the elements in memory order of {@code layout}; its position stays, and it may be changed at once
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in memory
     * @throws IllegalArgumentException when the length is not that of the shape, or the tensor is larger than the
     *     device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor upload(FloatBuffer from, Shape shape, Layout layout) {
        return upload(from, shape, layout, DataType.FLOAT32);
    }

    /**
     * Makes a tensor of the elements that remain in a buffer, direct or not, rounded to nearest even where they are
     * stored in 16 bits.
     *
     * @param from the elements in memory order of {@code layout}; its position stays, and it may be changed at once
     * @param shape the tensor's dimensions
     * @param layout how its elements lie in memory
     * @param type how its elements are stored
     * @throws IllegalArgumentException when the length is not that of the shape, or the tensor is larger than the
     *     device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor upload(FloatBuffer from, Shape shape, Layout layout, DataType type) {
        Objects.requireNonNull(from, "from");
        Objects.requireNonNull(shape, "shape");
        if (from.remaining() != shape.elements()) {
            throw new IllegalArgumentException("from must have the " + shape.elements() + " elements of shape " + shape
                    + ", but given were " + from.remaining());
        }
        return filled(allocate(shape, layout, type), tensor -> tensor.upload(from));
    }

    /**
     * Makes a float32 tensor of zeros that is of rows: its last dimension is that of the features, as in a transformer's
     * activations of dimensions (batch, time, features).
     *
     * <p>Such a tensor needs no word on its layout, since its dimensions are given in the order of memory. It is the one
     * of {@link Shape} (batch, features, time) that lies {@linkplain Layout#CHANNELS_LAST channels-last}: its features are
     * the channels where a layer has a γ for each channel, and the row where a layer normalizes rows. So {@code
     * BatchNorm.builder(features)}, {@code LayerNorm.builder(features)} and {@code RmsNorm.builder(features)} all take it.
     *
     * @param dimensions in the order of memory, slowest first, the features last: 2 to 8, of which layers take up to 5
     * @throws IllegalArgumentException for fewer than two dimensions, for those that {@link Shape#of} refuses, and when
     *     the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor rows(long... dimensions) {
        return rows(DataType.FLOAT32, dimensions);
    }

    /**
     * Makes a tensor of zeros that is of rows; see {@link #rows(long...)}.
     *
     * @param type how its elements are stored
     * @param dimensions in the order of memory, slowest first, the features last: 2 to 8, of which layers take up to 5
     * @throws IllegalArgumentException for fewer than two dimensions, for those that {@link Shape#of} refuses, and when
     *     the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor rows(DataType type, long... dimensions) {
        return tensor(shapeOfRows(dimensions), Layout.CHANNELS_LAST, type);
    }

    /**
     * Makes a float32 tensor of the given elements that is of rows; see {@link #rows(long...)}.
     *
     * @param from the elements, one row after the other; the array may be changed at once
     * @param dimensions in the order of memory, slowest first, the features last: 2 to 8, of which layers take up to 5
     * @throws IllegalArgumentException for fewer than two dimensions, for those that {@link Shape#of} refuses, when the
     *     length is not their product, and when the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor rows(float[] from, long... dimensions) {
        return rows(from, DataType.FLOAT32, dimensions);
    }

    /**
     * Makes a tensor of the given elements that is of rows, rounded to nearest even where they are stored in 16 bits; see
     * {@link #rows(long...)}.
     *
     * @param from the elements, one row after the other; the array may be changed at once
     * @param type how its elements are stored
     * @param dimensions in the order of memory, slowest first, the features last: 2 to 8, of which layers take up to 5
     * @throws IllegalArgumentException for fewer than two dimensions, for those that {@link Shape#of} refuses, when the
     *     length is not their product, and when the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor rows(float[] from, DataType type, long... dimensions) {
        Objects.requireNonNull(from, "from");
        return upload(from, shapeOfRows(dimensions), Layout.CHANNELS_LAST, type);
    }

    private static Shape shapeOfRows(long... dimensions) {
        Shape shape = Layout.CHANNELS_LAST.fromMemoryOrder(dimensions);
        if (shape.rank() < 2) {
            throw new IllegalArgumentException(
                    "A tensor of rows has 2 or more dimensions, the last of them a row's, but given was " + shape);
        }
        return shape;
    }

    private static Tensor filled(Tensor tensor, Consumer<Tensor> how) {
        try {
            how.accept(tensor);
            return tensor;
        } catch (RuntimeException e) {
            tensor.close();
            throw e;
        }
    }

    /**
     * Makes a float32 tensor of one dimension.
     *
     * @param values its elements; their number is its dimension
     * @throws IllegalArgumentException when the tensor is larger than the device allows
     * @throws IllegalStateException when the device is closed
     */
    public Tensor vector(float... values) {
        Objects.requireNonNull(values, "values");
        return upload(values, Shape.of(values.length), Layout.CHANNELS_FIRST);
    }

    /**
     * Waits for all work that was asked for.
     *
     * @throws IllegalStateException when the device is closed
     */
    public void finish() {
        backend().finish();
    }

    /** Whether the device was closed. */
    public boolean isClosed() {
        return !lease.isOpen();
    }

    /** Waits for the device's work and releases all that lives on it. Closing twice is harmless. */
    @Override
    public void close() {
        lease.close();
    }

    /** Makes a tensor whose content is undefined. */
    Tensor allocate(Shape shape, Layout layout, DataType type) {
        Objects.requireNonNull(layout, "layout");
        return Tensor.owning(this, shape, layout, memory(shape, type));
    }

    /** Makes memory for a tensor; its content is undefined. */
    Operand memory(Shape shape, DataType type) {
        Objects.requireNonNull(shape, "shape");
        Objects.requireNonNull(type, "type");
        long most = info.maxAllocationBytes() / type.bytes();
        if (shape.elements() > most) {
            throw new IllegalArgumentException("A tensor on " + label() + " has at most " + most
                    + " elements, but given was shape " + shape + " with " + shape.elements());
        }
        return new Operand(backend().allocate(shape.elements(), type), 0, type);
    }

    Lease lease() {
        return lease;
    }

    /**
     * The device's backend, once it is sure that it may be used.
     *
     * @throws IllegalStateException when the device is closed
     */
    Backend backend() {
        lease.check();
        return backend;
    }

    /** The device's number and name, for messages. */
    String label() {
        return "device " + number + ", " + info.name();
    }

    /** The device's number among those that this process opened, its platform and its name. */
    @Override
    public String toString() {
        return "Device " + number + ", " + info.platform() + " / " + info.name();
    }
}
