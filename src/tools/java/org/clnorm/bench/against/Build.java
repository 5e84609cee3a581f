package org.clnorm.bench.against;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.clnorm.plan.KernelCatalogue;

/**
 * A build of this library that can be loaded beside this one, any number of times: this build itself, this build with the
 * kernels of another, or what is in another's jar.
 *
 * <p>Each time its classes are new ones, and nothing of their state is shared but the log and JOCL, whose native library a
 * process can load only once. A jar from before there were {@link Contender contenders} cannot be compared.
 */
public final class Build {
    private static final String OURS = "org/clnorm/";
    private static final String KERNELS = OURS + "opencl/kernels/";
    private static final String CLASS = ".class";
    /** One that every build of this library has. */
    private static final String BACKEND = OURS + "opencl/OpenClBackend.class";

    private static final List<String> SHARED = List.of(Contender.class.getName(), Contender.Work.class.getName());

    private final String description;
    /** The content of a file on its class path; null where there is none. */
    private final Function<String, byte[]> files;

    private Build(String description, Function<String, byte[]> files) {
        this.description = description;
        this.files = files;
    }

    /** The build that this class is of. */
    public static Build thisOne() {
        return new Build("this build", Build::fileOfThisBuild);
    }

    /**
     * What there is at a path: a folder is of kernels, a file is a jar. It is read whole, so that it may change while the
     * comparison goes on.
     *
     * @throws IOException when it is neither; the message says why
     */
    public static Build at(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            return withKernels(path);
        }
        if (!Files.isRegularFile(path)) {
            throw new IOException("There is no folder of kernels and no jar at " + path);
        }
        return ofJar(path);
    }

    private static Build withKernels(Path folder) throws IOException {
        Map<String, byte[]> kernels = new HashMap<>();
        try (Stream<Path> found = Files.list(folder)) {
            for (Path file : found.filter(Files::isRegularFile).toList()) {
                String name = file.getFileName().toString();
                if (name.endsWith(".cl") || name.endsWith(".clh")) {
                    kernels.put(KERNELS + name, Files.readAllBytes(file));
                }
            }
        }
        TreeSet<String> missing = new TreeSet<>();
        for (KernelCatalogue.Entry entry : KernelCatalogue.entries()) {
            if (!kernels.containsKey(KERNELS + entry.source())) {
                missing.add(entry.source());
            }
        }
        if (!missing.isEmpty()) {
            throw new IOException("A folder of kernels has this build's files, but " + folder + " has no "
                    + String.join(", ", missing) + "; a jar of its commit can be compared instead");
        }
        return new Build(
                "this build with the kernels of " + folder,
                path -> path.startsWith(KERNELS) ? kernels.get(path) : fileOfThisBuild(path));
    }

    private static Build ofJar(Path jar) throws IOException {
        Map<String, byte[]> files = new HashMap<>();
        try (ZipFile zip = new ZipFile(jar.toFile())) {
            for (ZipEntry entry : zip.stream().toList()) {
                if (entry.getName().startsWith(OURS) && !entry.isDirectory()) {
                    try (InputStream in = zip.getInputStream(entry)) {
                        files.put(entry.getName(), in.readAllBytes());
                    }
                }
            }
        } catch (ZipException e) {
            throw new IOException(jar + " is no jar: " + e.getMessage(), e);
        }
        if (!files.containsKey(BACKEND)) {
            throw new IOException(jar + " is no jar of this library: it has no " + BACKEND);
        }
        if (!files.containsKey(pathOf(Contender.IMPLEMENTATION))) {
            throw new IOException(
                    jar + " is of a build that is too old to be compared: it has no " + Contender.IMPLEMENTATION);
        }
        return new Build(jar.toString(), files::get);
    }

    private static byte[] fileOfThisBuild(String path) {
        try (InputStream in = Build.class.getClassLoader().getResourceAsStream(path)) {
            return in == null ? null : in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException("This build's own " + path + " cannot be read", e);
        }
    }

    private static String pathOf(String className) {
        return className.replace('.', '/') + CLASS;
    }

    /**
     * Loads it anew, over the context and the queue of a backend of this build.
     *
     * @param handles as {@link org.clnorm.opencl.Handles} has them
     * @param strategy a strategy's name, or null for the choice by shape
     */
    Contender open(List<Object> handles, String strategy) {
        try {
            return (Contender) new Loader()
                    .loadClass(Contender.IMPLEMENTATION)
                    .getConstructor(List.class, String.class)
                    .newInstance(handles, strategy);
        } catch (InvocationTargetException e) {
            throw misfit(e.getCause());
        } catch (ReflectiveOperationException | LinkageError e) {
            throw misfit(e);
        }
    }

    /** What to say of an error that it met where this build meets none. */
    IllegalArgumentException misfit(Throwable e) {
        String why = e instanceof LinkageError || e instanceof ReflectiveOperationException
                ? "its classes do not fit this build's: " + e
                : String.valueOf(e.getMessage());
        return new IllegalArgumentException("Nothing can be compared with " + description + ": " + why, e);
    }

    @Override
    public String toString() {
        return description;
    }

    /** Of this library it takes all classes and files from the build, of others all from where this class is. */
    private final class Loader extends ClassLoader {
        Loader() {
            super(Build.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!pathOf(name).startsWith(OURS) || SHARED.contains(name)) {
                return super.loadClass(name, resolve);
            }
            synchronized (getClassLoadingLock(name)) {
                Class<?> loaded = findLoadedClass(name);
                if (loaded == null) {
                    byte[] content = files.apply(pathOf(name));
                    if (content == null) {
                        throw new ClassNotFoundException(name + " is not in " + description);
                    }
                    loaded = defineClass(name, content, 0, content.length);
                }
                if (resolve) {
                    resolveClass(loaded);
                }
                return loaded;
            }
        }

        @Override
        public InputStream getResourceAsStream(String name) {
            if (!name.startsWith(OURS)) {
                return super.getResourceAsStream(name);
            }
            byte[] content = files.apply(name);
            return content == null ? null : new ByteArrayInputStream(content);
        }
    }
}
