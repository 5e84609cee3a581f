package org.clnorm.files;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFileAttributes;

/**
 * A file that appears whole or not at all: readers see the old one or the new one, never a part, and a write that fails or
 * is cut off leaves the old one. That it can be written is known before the work whose result it is for.
 *
 * <p>A new file takes the place of the old one with its permissions, owner and group, as far as the system lets it; through
 * a symbolic link it is the link's target that is written. What is no regular file, such as a pipe, a terminal or
 * {@code /dev/stdout}, is written straight to.
 */
public final class WholeFile {
    /** What is to be in a file. */
    public interface Content {
        /** Writes all of it; the stream may be closed, or left open. */
        void writeTo(OutputStream out) throws IOException;
    }

    /** What the content may close, as a zip does, and is still open. */
    private static final class Kept extends BufferedOutputStream {
        Kept(OutputStream to) {
            super(to, BUFFER);
        }

        @Override
        public void close() throws IOException {
            flush();
        }
    }

    private static final int BUFFER = 1 << 16;

    /** As many as Linux follows. */
    private static final int MOST_LINKS = 40;

    /** Where the process's open files have names, each a link to itself; what the link says is no path. */
    private static final String[] DESCRIPTORS = {"/proc/self/fd", "/dev/fd"};

    private final Path path;

    private WholeFile(Path path) {
        this.path = path;
    }

    /**
     * A file that can be written. What is there already stays until {@link #write(Content)}.
     *
     * @throws IOException when it cannot be written; the message says which file, and why
     */
    public static WholeFile at(Path path) throws IOException {
        WholeFile file = new WholeFile(path);
        try {
            Path target = file.target();
            if (isDrafted(target)) {
                draftFor(target).close();
            }
        } catch (IOException e) {
            throw file.problem(e);
        }
        return file;
    }

    /** Writes a file at once; see {@link #at} and {@link #write(Content)}. */
    public static void write(Path path, Content content) throws IOException {
        new WholeFile(path).write(content);
    }

    /**
     * Writes a new file, or one in the place of what was there; as often as there is something new to say.
     *
     * @throws IOException when it cannot be written, or the content throws one; the message names the file, and what
     *     was there is there still
     */
    public void write(Content content) throws IOException {
        try {
            Path target = target();
            if (isDrafted(target)) {
                writeAndMove(target, content);
            } else if (isDescriptor(target)) {
                writeToDescriptor(target, content);
            } else {
                try (OutputStream to = Files.newOutputStream(target, StandardOpenOption.WRITE)) {
                    write(to, content);
                }
            }
        } catch (IOException e) {
            throw problem(e);
        }
    }

    /** Writes all of a text, in UTF-8; see {@link #write(Content)}. */
    public void write(String text) throws IOException {
        write(out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    }

    private IOException problem(IOException e) {
        return new IOException(
                path + " cannot be written: " + (e.getClass() == IOException.class ? e.getMessage() : e), e);
    }

    /** What is written, or is yet to be made: where the links lead to, if it is one. */
    private Path target() throws IOException {
        Path at = path.toAbsolutePath();
        for (int links = 0; Files.isSymbolicLink(at) && !isDescriptor(at); links++) {
            if (links == MOST_LINKS) {
                throw new IOException("it is a link that leads to no end");
            }
            at = at.resolveSibling(Files.readSymbolicLink(at));
        }
        if (Files.isDirectory(at)) {
            throw new IOException("it is a folder");
        }
        if (!Files.isDirectory(at.getParent())) {
            throw new IOException("there is no folder " + at.getParent());
        }
        if (!isDescriptor(at) && Files.exists(at) && !Files.isWritable(at)) {
            throw new IOException("it is write-protected"); // which a move over it would not ask
        }
        return at;
    }

    private static boolean isDrafted(Path target) {
        return !isDescriptor(target) && (Files.isRegularFile(target) || !Files.exists(target));
    }

    private static boolean isDescriptor(Path at) {
        for (String folder : DESCRIPTORS) {
            try {
                if (at.getParent() != null
                        && at.getParent().toRealPath().equals(Path.of(folder).toRealPath())) {
                    return true;
                }
            } catch (IOException e) {
                // There is no such folder.
            }
        }
        return false;
    }

    /** To where the process's own output is too, and after what it has printed, also where that is a file. */
    private static void writeToDescriptor(Path target, Content content) throws IOException {
        String number = target.getFileName().toString();
        if (number.equals("1") || number.equals("2")) {
            // Not closed: the process goes on to print.
            write(new FileOutputStream(number.equals("1") ? FileDescriptor.out : FileDescriptor.err), content);
        } else {
            try (OutputStream to = Files.newOutputStream(target, StandardOpenOption.WRITE, StandardOpenOption.APPEND)) {
                write(to, content);
            }
        }
    }

    private static void write(OutputStream to, Content content) throws IOException {
        OutputStream out = new Kept(to);
        content.writeTo(out);
        out.flush();
    }

    private static void writeAndMove(Path target, Content content) throws IOException {
        try (Draft draft = draftFor(target)) {
            if (Files.exists(target)) {
                takeOver(target, draft.path());
            }
            try (FileChannel channel = FileChannel.open(draft.path(), StandardOpenOption.WRITE)) {
                write(Channels.newOutputStream(channel), content);
                channel.force(true); // or a power cut could leave the name without the bytes
            }
            draft.replace(target);
        }
        Draft.sweep(target.getParent());
    }

    private static Draft draftFor(Path target) throws IOException {
        try {
            return Draft.in(target.getParent());
        } catch (IOException e) {
            throw new IOException("its folder does not take files (" + e + ")", e);
        }
    }

    /** Whose a file is and who may do what with it, for the one that takes its place, while that is still empty. */
    private static void takeOver(Path from, Path to) throws IOException {
        PosixFileAttributeView view = Files.getFileAttributeView(to, PosixFileAttributeView.class);
        if (view == null) {
            return;
        }
        PosixFileAttributes old = Files.readAttributes(from, PosixFileAttributes.class);
        PosixFileAttributes now = view.readAttributes();
        try {
            if (!old.group().equals(now.group())) {
                view.setGroup(old.group());
            }
            if (!old.owner().equals(now.owner())) {
                view.setOwner(old.owner());
            }
        } catch (IOException e) {
            // Only the superuser may give files away, and others to groups of theirs only.
        }
        if (!old.permissions().equals(now.permissions())) {
            view.setPermissions(old.permissions());
        }
    }
}
