package org.clnorm.opencl;

import static org.clnorm.opencl.OpenClException.statusOf;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.clnorm.DeviceInfo;
import org.clnorm.backend.Backend;
import org.clnorm.plan.DeviceFacts;
import org.clnorm.plan.Strategy;
import org.jocl.CL;
import org.jocl.Pointer;
import org.jocl.Sizeof;
import org.jocl.cl_device_id;
import org.jocl.cl_platform_id;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The OpenCL devices of this machine. */
public final class OpenCl {
    /** Every type of device. JOCL's constant has all 64 bits set, which Mesa's rusticl refuses as unknown types. */
    private static final long ALL_TYPES = 0xFFFFFFFFL;

    /** What people call a platform whose own name is another. */
    private static final Map<String, String> ALIASES = Map.of(DeviceFacts.POCL, "pocl");

    /** What the loader answers where there is no platform; not among JOCL's constants. */
    private static final int NO_PLATFORM = -1001;

    private static final Logger log = LoggerFactory.getLogger(OpenCl.class);

    /** The platforms that did not tell of their devices when they were last asked, and why; empty where all did. */
    private static volatile String passedOver = "";

    private OpenCl() {}

    /** A device that could be opened. */
    public static final class Candidate {
        private final String index;
        private final cl_platform_id platform;
        private final cl_device_id id;
        private final DeviceFacts facts;

        private Candidate(String index, cl_platform_id platform, cl_device_id id, DeviceFacts facts) {
            this.index = index;
            this.platform = platform;
            this.id = id;
            this.facts = facts;
        }

        /** The same, treated as another: see {@link DeviceFacts#as}. */
        public Candidate as(String what) {
            return new Candidate(index, platform, id, facts.as(what));
        }

        /** Platform and device number, {@code "0:0"}. */
        public String index() {
            return index;
        }

        /** Whether it is that of a handle. */
        public boolean isDevice(cl_device_id handle) {
            return id.equals(handle);
        }

        /** What is known of it. */
        public DeviceFacts facts() {
            return facts;
        }

        /** Its index and what is known of it besides {@link #info}, for a person to read. */
        public Map<String, String> inWords() {
            Map<String, String> words = new LinkedHashMap<>();
            words.put("index", index);
            words.putAll(facts.toMap());
            return words;
        }

        /** Who it is, with the strategy that it would get. */
        public DeviceInfo info() {
            boolean tuned = TunedTables.ofUser().load(facts).isPresent();
            return infoOf(facts, Strategy.describeChoice(facts, tuned));
        }

        /** What a person may want to know of it besides, and of its compiler; see {@link DeviceDetails}. */
        public Map<String, String> details() {
            return DeviceDetails.of(platform, id);
        }

        /** One line. */
        public String describe() {
            return index + " " + facts.platform() + " / " + facts.name();
        }

        /**
         * Opens it.
         *
         * @param strategy a strategy's name, or null for the choice by shape
         * @throws IllegalArgumentException when there is no such strategy
         */
        public Backend open(String strategy) {
            return open(strategy, true);
        }

        /**
         * Opens it.
         *
         * @param kernelCache whether binaries of kernels may be taken from the user's cache folder and kept there
         */
        public Backend open(String strategy, boolean kernelCache) {
            return open(strategy, kernelCache ? cacheOf(platform, facts) : BinaryCache.off());
        }

        OpenClBackend open(String strategy, BinaryCache cache) {
            return OpenClBackend.open(platform, id, facts, strategy, false, cache);
        }

        /** Opens it under a strategy that need not be one of its own. */
        OpenClBackend openUnder(Strategy strategy) {
            return OpenClBackend.open(platform, id, facts, strategy, false, BinaryCache.off());
        }

        /** Opens it with a queue that times what it runs. */
        public OpenClBackend openForTiming(String strategy) {
            return OpenClBackend.open(platform, id, facts, strategy, true, cacheOf(platform, facts));
        }

        private boolean matches(String selector) {
            String wanted = selector.toLowerCase(Locale.ROOT);
            if (wanted.matches("\\d+:\\d+")) {
                return wanted.equals(index);
            }
            String platformName = facts.platform() + " " + ALIASES.getOrDefault(facts.platform(), "");
            int colon = wanted.indexOf(':');
            return colon < 0
                    ? contains(platformName, wanted) || contains(facts.name(), wanted)
                    : contains(platformName, wanted.substring(0, colon))
                            && contains(facts.name(), wanted.substring(colon + 1));
        }

        private static boolean contains(String name, String part) {
            return name.toLowerCase(Locale.ROOT).contains(part);
        }
    }

    /** All devices of all platforms, in their order; none where there is no OpenCL loader. */
    public static List<Candidate> devices() {
        if (!isLoaded()) {
            return List.of();
        }
        List<Candidate> found = new ArrayList<>();
        List<String> problems = new ArrayList<>();
        SignalHandlers.keepDuring(() -> list(found, problems));
        problems.forEach(problem -> log.warn("Passed over is OpenCL platform {}", problem));
        passedOver = String.join("; ", problems);
        return found;
    }

    /** A platform that is broken is passed over: the others are still there. */
    private static void list(List<Candidate> found, List<String> problems) {
        int[] count = new int[1];
        int listed = statusOf(() -> CL.clGetPlatformIDs(0, null, count));
        if (listed == NO_PLATFORM || listed == CL.CL_SUCCESS && count[0] == 0) {
            return;
        }
        OpenClException.check(listed, "Counting OpenCL platforms");
        cl_platform_id[] platforms = new cl_platform_id[count[0]];
        OpenClException.check(CL.clGetPlatformIDs(platforms.length, platforms, null), "Listing OpenCL platforms");
        for (int p = 0; p < platforms.length; p++) {
            try {
                list(p, platforms[p], found);
            } catch (OpenClException e) {
                problems.add(p + ": " + e.getMessage());
            }
        }
    }

    private static void list(int p, cl_platform_id platform, List<Candidate> found) {
        int[] count = new int[1];
        int status = statusOf(() -> CL.clGetDeviceIDs(platform, ALL_TYPES, 0, null, count));
        if (status == CL.CL_DEVICE_NOT_FOUND || status == CL.CL_SUCCESS && count[0] == 0) {
            return;
        }
        OpenClException.check(status, "Counting devices");
        cl_device_id[] ids = new cl_device_id[count[0]];
        OpenClException.check(CL.clGetDeviceIDs(platform, ALL_TYPES, ids.length, ids, null), "Listing devices");
        for (int d = 0; d < ids.length; d++) {
            found.add(new Candidate(p + ":" + d, platform, ids[d], factsOf(platform, ids[d])));
        }
    }

    /** The best of the candidates that match a selector, or of all for null: a GPU, an accelerator, a CPU. */
    public static Optional<Candidate> select(List<Candidate> candidates, String selector) {
        return candidates.stream()
                .filter(candidate -> selector == null || candidate.matches(selector))
                .min(Comparator.comparing(candidate -> candidate.facts.kind()));
    }

    /**
     * The same, where one is needed.
     *
     * @throws IllegalArgumentException when nothing matches; the message lists what there is
     */
    public static Candidate require(List<Candidate> candidates, String selector) {
        return select(candidates, selector).orElseThrow(() -> {
            String wanted = selector == null ? "No OpenCL device" : "No device matches '" + selector + "'";
            String found = candidates.isEmpty()
                    ? why()
                    : candidates.stream().map(Candidate::describe).collect(Collectors.joining("; "));
            return new IllegalArgumentException(wanted + ". There are: " + found + "; reference, the CPU reference");
        });
    }

    /** Why {@link #devices} is empty, in words; empty when it is not. */
    public static String whyNoDevices() {
        if (!isLoaded()) {
            return Loader.problem;
        }
        return devices().isEmpty() ? why() : "";
    }

    /** Why there was none when it was last looked for one. */
    private static String why() {
        if (!isLoaded()) {
            return Loader.problem;
        }
        return "the OpenCL loader found no platform with a device"
                + (passedOver.isEmpty() ? "" : "; passed over was platform " + passedOver);
    }

    private static boolean isLoaded() {
        return Loader.problem == null;
    }

    /** Loads JOCL's native library, the OpenCL loader and its drivers, once. */
    private static final class Loader {
        static final String problem = load();
    }

    /** Outside of that class, which the thread that makes the call would wait for: it is not initialized yet. */
    private static String load() {
        try {
            SignalHandlers.keepDuring(() -> statusOf(() -> CL.clGetPlatformIDs(0, null, new int[1])));
            return null;
        } catch (LinkageError | RuntimeException e) {
            String message =
                    String.valueOf(e.getMessage()).strip().lines().findFirst().orElse("");
            return "the OpenCL loader could not be used (" + e.getClass().getSimpleName() + ": " + message + ")";
        }
    }

    static DeviceInfo infoOf(DeviceFacts facts, String strategy) {
        return new DeviceInfo(
                facts.kind(),
                facts.platform(),
                facts.name(),
                facts.version() + ", driver " + facts.driver(),
                facts.maxAllocationBytes(),
                strategy);
    }

    static DeviceFacts factsOf(cl_platform_id platform, cl_device_id id) {
        long type = longOf(id, CL.CL_DEVICE_TYPE);
        DeviceInfo.Kind kind = (type & CL.CL_DEVICE_TYPE_GPU) != 0 && (type & CL.CL_DEVICE_TYPE_CPU) == 0
                ? DeviceInfo.Kind.GPU
                : (type & CL.CL_DEVICE_TYPE_CPU) != 0 ? DeviceInfo.Kind.CPU : DeviceInfo.Kind.ACCELERATOR;
        int width = intOf(id, CL.CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
        DeviceFacts facts = new DeviceFacts(
                kind,
                stringOf(platform, CL.CL_PLATFORM_NAME),
                stringOf(id, CL.CL_DEVICE_NAME),
                stringOf(id, CL.CL_DEVICE_VENDOR),
                stringOf(id, CL.CL_DEVICE_VERSION),
                stringOf(id, CL.CL_DRIVER_VERSION),
                intOf(id, CL.CL_DEVICE_MAX_COMPUTE_UNITS),
                width,
                (int) Math.min(Integer.MAX_VALUE, longOf(id, CL.CL_DEVICE_MAX_WORK_GROUP_SIZE)),
                longOf(id, CL.CL_DEVICE_LOCAL_MEM_SIZE),
                longOf(id, CL.CL_DEVICE_GLOBAL_MEM_CACHE_SIZE),
                longOf(id, CL.CL_DEVICE_GLOBAL_MEM_SIZE),
                longOf(id, CL.CL_DEVICE_MAX_MEM_ALLOC_SIZE),
                stringOf(id, CL.CL_DEVICE_EXTENSIONS));
        return facts.as(System.getenv(DeviceFacts.AS_VARIABLE));
    }

    /** What makes division and square root correctly rounded, as sums and products are, where the device offers it. */
    static String roundingOption(cl_device_id id) {
        boolean offered = (longOf(id, CL.CL_DEVICE_SINGLE_FP_CONFIG) & CL.CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;
        return offered ? " -cl-fp32-correctly-rounded-divide-sqrt" : "";
    }

    static cl_platform_id platformOf(cl_device_id id) {
        cl_platform_id platform = new cl_platform_id();
        OpenClException.check(
                CL.clGetDeviceInfo(id, CL.CL_DEVICE_PLATFORM, Sizeof.cl_platform_id, Pointer.to(platform), null),
                asking(CL.CL_DEVICE_PLATFORM));
        return platform;
    }

    static BinaryCache cacheOf(cl_platform_id platform, DeviceFacts facts) {
        return BinaryCache.of(facts, stringOf(platform, CL.CL_PLATFORM_VERSION));
    }

    private static String stringOf(cl_platform_id platform, int what) {
        String asking = "Asking a platform for " + CL.stringFor_cl_platform_info(what);
        long[] size = new long[1];
        OpenClException.check(CL.clGetPlatformInfo(platform, what, 0, null, size), asking);
        byte[] bytes = new byte[(int) size[0]];
        OpenClException.check(CL.clGetPlatformInfo(platform, what, bytes.length, Pointer.to(bytes), null), asking);
        return text(bytes);
    }

    private static String stringOf(cl_device_id id, int what) {
        long[] size = new long[1];
        OpenClException.check(CL.clGetDeviceInfo(id, what, 0, null, size), asking(what)); // or the size would be any
        byte[] bytes = new byte[(int) size[0]];
        OpenClException.check(CL.clGetDeviceInfo(id, what, bytes.length, Pointer.to(bytes), null), asking(what));
        return text(bytes);
    }

    private static String asking(int what) {
        return "Asking a device for " + CL.stringFor_cl_device_info(what);
    }

    private static String text(byte[] zeroTerminated) {
        int end = 0;
        while (end < zeroTerminated.length && zeroTerminated[end] != 0) {
            end++;
        }
        return new String(zeroTerminated, 0, end, StandardCharsets.UTF_8).strip();
    }

    private static int intOf(cl_device_id id, int what) {
        int[] value = new int[1];
        OpenClException.check(CL.clGetDeviceInfo(id, what, Sizeof.cl_int, Pointer.to(value), null), asking(what));
        return value[0];
    }

    /** Of a fact of 64 bits, or size_t, which is as wide on the platforms that JOCL has natives for. */
    private static long longOf(cl_device_id id, int what) {
        long[] value = new long[1];
        OpenClException.check(CL.clGetDeviceInfo(id, what, Sizeof.cl_ulong, Pointer.to(value), null), asking(what));
        return value[0];
    }
}
