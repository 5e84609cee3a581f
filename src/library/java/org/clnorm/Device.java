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
 * they were made; only a download and {@link #finish} wait. Closing a device closes all that lives on it.
 *
 * <p>Any thread may close it, and what lives on it, at any time. The close waits for what was asked of the device before,
 * and every later call throws {@link IllegalStateException}; so does the rest of a call that asks the device for one thing
 * after another, such as the saving of a layer's state. Closing from inside of a call, as a program's own logging might,
 * waits for nothing; what is closed is released when the call is over.
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
     * The device that the environment variable {@code CLNORM_DEVICE} selects, or else the best one across all OpenCL
     * platforms: a GPU, then another accelerator, then a CPU. Where there is no OpenCL loader or no device, it is the
     * CPU reference, and the log says so once.
     *
     * @throws IllegalArgumentException when the variable selects nothing; the message lists what there is
     */
    public static Device open() {
        return builder().open();
    }

    /**
     * The best device that matches a selector.
     *
     * @param selector {@code "reference"}; a part of a platform's or device's name, such as {@code "nvidia"}; parts of
     *     both, {@code "pocl:epyc"}; or indices as the command {@code devices} prints them, {@code "0:0"}. Case does not
     *     matter.
     * @throws IllegalArgumentException when nothing matches; the message lists what there is
     */
    public static Device open(String selector) {
        return builder().select(Objects.requireNonNull(selector, "selector")).open();
    }

    /** The CPU reference: double precision in plain Java, for cross-checks and machines without OpenCL. */
    public static Device cpuReference() {
        return new Device(new ReferenceBackend());
    }

    /** A device with more to say about it than which. */
    public static Builder builder() {
        return new Builder(null, null, true);
    }

    /** The devices there are, as {@link #open()} sees them, the CPU reference last. */
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

    /** An environment variable; null too when it is empty, which is how a script says none. */
    public static String variable(String name) {
        Objects.requireNonNull(name, "name");
        String value = System.getenv(name);
        return value == null || value.isBlank() ? null : value;
    }

    private static boolean isReference(String selector) {
        return REFERENCE.equalsIgnoreCase(selector);
    }

    /** How to open a device. Immutable: each setter returns a new builder. */
    public static final class Builder {
        private final String selector;
        private final String strategy;
        private final boolean kernelCache;

        private Builder(String selector, String strategy, boolean kernelCache) {
            this.selector = selector;
            this.strategy = strategy;
            this.kernelCache = kernelCache;
        }

        /** Which device, as in {@link Device#open(String)}; null for what {@code CLNORM_DEVICE} says, or the best. */
        public Builder select(String selector) {
            return new Builder(selector, strategy, kernelCache);
        }

        /**
         * The kernel strategy, by a name that the command {@code devices} prints; null for what {@code CLNORM_STRATEGY}
         * says, or the one that fits the device.
         */
        public Builder strategy(String name) {
            return new Builder(selector, name, kernelCache);
        }

        /**
         * Whether compiled kernels are kept in the user's cache folder, and taken from there; true unless it is said here
         * or by {@code CLNORM_CACHE=off} that they are not.
         */
        public Builder kernelCache(boolean use) {
            return new Builder(selector, strategy, use);
        }

        /**
         * Opens it.
         *
         * @throws IllegalArgumentException when nothing matches the selector or the strategy
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

    /** Who it is. */
    public DeviceInfo info() {
        return info;
    }

    /**
     * A new tensor of zeros.
     *
     * @throws IllegalArgumentException when it is larger than the device allows
     */
    public Tensor tensor(Shape shape, Layout layout) {
        return tensor(shape, layout, DataType.FLOAT32);
    }

    /** A new tensor of zeros, stored as said; see {@link #tensor(Shape, Layout)}. */
    public Tensor tensor(Shape shape, Layout layout, DataType type) {
        return filled(allocate(shape, layout, type), tensor -> tensor.fill(0));
    }

    /**
     * A new tensor of the given elements, rounded to nearest even where they are stored in 16 bits.
     *
     * @param from in memory order of {@code layout}
     * @throws IllegalArgumentException when the length is not that of the shape
     */
    public Tensor upload(float[] from, Shape shape, Layout layout, DataType type) {
        return upload(FloatBuffer.wrap(Objects.requireNonNull(from, "from")), shape, layout, type);
    }

    /** A new tensor of float32 elements; see {@link #upload(float[], Shape, Layout, DataType)}. */
    public Tensor upload(float[] from, Shape shape, Layout layout) {
        return upload(FloatBuffer.wrap(Objects.requireNonNull(from, "from")), shape, layout);
    }

    /**
     * A new tensor of the elements that remain in a buffer.
     *
     * @param from in memory order of {@code layout}
     * @throws IllegalArgumentException when the length is not that of the shape
     */
    public Tensor upload(FloatBuffer from, Shape shape, Layout layout) {
        return upload(from, shape, layout, DataType.FLOAT32);
    }

    /** A new tensor of the elements that remain in a buffer; see {@link #upload(float[], Shape, Layout, DataType)}. */
    public Tensor upload(FloatBuffer from, Shape shape, Layout layout, DataType type) {
        Objects.requireNonNull(from, "from");
        Objects.requireNonNull(shape, "shape");
        if (from.remaining() != shape.elements()) {
            throw new IllegalArgumentException("from must have the " + shape.elements() + " elements of shape " + shape
                    + ", but given were " + from.remaining());
        }
        return filled(allocate(shape, layout, type), tensor -> tensor.upload(from));
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

    /** A new vector. */
    public Tensor vector(float... values) {
        Objects.requireNonNull(values, "values");
        return upload(values, Shape.of(values.length), Layout.CHANNELS_FIRST);
    }

    /** Waits for all that was asked for. */
    public void finish() {
        backend().finish();
    }

    /** Whether it was closed. */
    public boolean isClosed() {
        return !lease.isOpen();
    }

    /** Waits for its work and releases all that lives on it. Closing twice is harmless. */
    @Override
    public void close() {
        lease.close();
    }

    /** A new tensor whose content is undefined. */
    Tensor allocate(Shape shape, Layout layout, DataType type) {
        Objects.requireNonNull(layout, "layout");
        return Tensor.owning(this, shape, layout, memory(shape, type));
    }

    /** New memory for a tensor, its content undefined. */
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

    /** Its backend, once it is sure that it may be used. */
    Backend backend() {
        lease.check();
        return backend;
    }

    /** Its number and name, for messages. */
    String label() {
        return "device " + number + ", " + info.name();
    }

    /** Its number among the devices that this process opened, its platform and its name. */
    @Override
    public String toString() {
        return "Device " + number + ", " + info.platform() + " / " + info.name();
    }
}
