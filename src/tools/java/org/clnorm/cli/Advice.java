package org.clnorm.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.stream.Collectors;
import org.clnorm.opencl.KernelBuildException;
import org.clnorm.opencl.OpenClException;
import picocli.CommandLine.ParameterException;

/** What to tell a person of what ended a command: one line that says what to do. */
final class Advice {
    /** The longest line that a person reads; what goes on is in the stack trace. */
    private static final int LONGEST = 2_000;

    private static final String MORE = "; --verbose shows more";

    private Advice() {}

    /** What happened, in one line. */
    static String on(Throwable e) {
        return oneLine(words(e));
    }

    /** How to see more of it, of what is not the input's fault; empty otherwise. */
    static String onMore(Throwable e) {
        return isOfInput(e) && message(e).equals(firstLine(message(e))) ? "" : MORE;
    }

    private static boolean isOfInput(Throwable e) {
        return e instanceof IllegalArgumentException
                || e instanceof IOException
                || e instanceof UncheckedIOException
                || e instanceof ParameterException
                || e instanceof OutOfMemoryError;
    }

    private static String words(Throwable e) {
        if (e instanceof OutOfMemoryError) {
            return ofMemory(e);
        }
        if (e instanceof StackOverflowError) {
            return "the stack is full, which input that is nested this deeply does; take a simpler file, or a larger stack"
                    + " with java -Xss";
        }
        if (e instanceof ExceptionInInitializerError && e.getCause() != null) {
            return words(e.getCause());
        }
        if (e instanceof UnsatisfiedLinkError) {
            return "a native library could not be loaded (" + firstLine(message(e))
                    + "); install an OpenCL loader and a driver for" + " this processor, or use --device reference";
        }
        if (e instanceof LinkageError) {
            return "a class is missing or of another version (" + e
                    + "); take clnorm.jar whole, as mvnw package makes it";
        }
        if (e instanceof UncheckedIOException unchecked) {
            return e.getMessage() == null ? words(unchecked.getCause()) : e.getMessage();
        }
        if (e instanceof FileSystemException of) {
            return ofFile(of);
        }
        if (e instanceof OpenClException) {
            return "OpenCL: " + message(e) + ofOpenCl(e);
        }
        if (isOfInput(e)) {
            return message(e);
        }
        return "this should not have happened: " + e;
    }

    private static String ofOpenCl(Throwable e) {
        String message = message(e);
        if (message.contains("ALLOCATION_FAILURE") || message.contains("BUFFER_SIZE") || message.contains("OUT_OF_")) {
            return "; take a smaller shape or file, or another --device";
        }
        return e instanceof KernelBuildException ? "" : "; clnorm devices lists what else there is";
    }

    private static String message(Throwable e) {
        return e.getMessage() == null || e.getMessage().isBlank() ? e.toString() : e.getMessage();
    }

    /** The heap, unless it says of what. */
    private static String ofMemory(Throwable e) {
        String of = String.valueOf(e.getMessage());
        String limit = (Runtime.getRuntime().maxMemory() >> 20) + " MiB of heap";
        return "out of memory (" + of + ", with " + limit + "); "
                + (of.contains("thread")
                        ? "allow this user more threads"
                        : of.contains("direct")
                                ? "allow more with java -XX:MaxDirectMemorySize=4g"
                                : "allow more with java -Xmx4g, or take a smaller file");
    }

    /** The messages of these exceptions are the names of their files, and no words. */
    private static String ofFile(FileSystemException e) {
        String why = e instanceof NoSuchFileException
                ? "there is no such file or folder"
                : e instanceof AccessDeniedException
                        ? "permission is denied"
                        : e instanceof FileAlreadyExistsException
                                ? "something of that name is in the way"
                                : e.getReason() != null
                                        ? e.getReason()
                                        : e.getClass().getSimpleName();
        return e.getFile() == null ? why : e.getFile() + ": " + why;
    }

    private static String firstLine(String text) {
        return text.strip().lines().findFirst().orElse("");
    }

    /** The first line of a text, without what would move a terminal's cursor. */
    private static String oneLine(String text) {
        String first = firstLine(text);
        String cut = first.length() <= LONGEST ? first : first.substring(0, LONGEST) + "...";
        return cut.codePoints()
                .mapToObj(c -> Character.isISOControl(c) ? String.format("\\u%04x", c) : Character.toString(c))
                .collect(Collectors.joining());
    }
}
