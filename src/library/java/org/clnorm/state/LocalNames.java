package org.clnorm.state;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * The names in a zip, which has each twice: in its directory at the end, and before the entry's bytes. Readers take the
 * first or the second, so that a file in which they differ is another for each.
 */
final class LocalNames {
    // Of PKWARE's APPNOTE.TXT: signatures, sizes without what varies, and places within.
    private static final int END_SIGNATURE = 0x06054b50;
    private static final int END_BYTES = 22;
    private static final int END_64_SIGNATURE = 0x06064b50;
    private static final int END_64_BYTES = 56;
    private static final int LOCATOR_64_SIGNATURE = 0x07064b50;
    private static final int LOCATOR_64_BYTES = 20;
    private static final int CENTRAL_SIGNATURE = 0x02014b50;
    private static final int CENTRAL_BYTES = 46;
    private static final int LOCAL_SIGNATURE = 0x04034b50;
    private static final int LOCAL_BYTES = 30;
    private static final int EXTRA_64 = 1;
    private static final int LONGEST_COMMENT = 0xffff;
    private static final long NOT_HERE = 0xffff_ffffL;

    private final FileChannel channel;

    private LocalNames(FileChannel channel) {
        this.channel = channel;
    }

    /**
     * Checks a file that is a zip otherwise.
     *
     * @throws IOException when an entry's two names differ, or it is no such zip; the message does not name the file
     */
    static void check(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file)) {
            new LocalNames(channel).check();
        }
    }

    private void check() throws IOException {
        long end = end();
        ByteBuffer record = at(end, END_BYTES);
        long bytes = unsigned(record.getInt(12));
        long offset = unsigned(record.getInt(16));
        long directoryEnd = end;
        if (end >= LOCATOR_64_BYTES) {
            ByteBuffer locator = at(end - LOCATOR_64_BYTES, LOCATOR_64_BYTES);
            if (locator.getInt(0) == LOCATOR_64_SIGNATURE) {
                ByteBuffer end64 = at(locator.getLong(8), END_64_BYTES);
                if (end64.getInt(0) == END_64_SIGNATURE) {
                    bytes = end64.getLong(40);
                    offset = end64.getLong(48);
                    directoryEnd = locator.getLong(8);
                }
            }
        }
        // What stands before the zip, as in a self-extracting one, shifts all of it.
        long directory = directoryEnd - bytes;
        long shift = directory - offset;
        for (long entry = directory; entry < directoryEnd; ) {
            entry += checkEntry(entry, shift);
        }
    }

    /** Where the last end record begins whose comment reaches to the file's end. */
    private long end() throws IOException {
        int most = (int) Math.min(channel.size(), END_BYTES + LONGEST_COMMENT);
        long start = channel.size() - most;
        ByteBuffer tail = at(start, most);
        for (int i = most - END_BYTES; i >= 0; i--) {
            if (tail.getInt(i) == END_SIGNATURE && i + END_BYTES + unsigned(tail.getShort(i + 20)) == most) {
                return start + i;
            }
        }
        throw new IOException("has no directory at its end");
    }

    /** How many bytes the entry takes in the directory. */
    private long checkEntry(long at, long shift) throws IOException {
        ByteBuffer head = at(at, CENTRAL_BYTES);
        if (head.getInt(0) != CENTRAL_SIGNATURE) {
            throw new IOException("has a damaged directory");
        }
        int nameBytes = unsigned(head.getShort(28));
        int extraBytes = unsigned(head.getShort(30));
        byte[] name = at(at + CENTRAL_BYTES, nameBytes).array();
        long place = unsigned(head.getInt(42));
        if (place == NOT_HERE) {
            place = place64(head, at(at + CENTRAL_BYTES + nameBytes, extraBytes));
        }
        ByteBuffer local = at(place + shift, LOCAL_BYTES);
        if (local.getInt(0) != LOCAL_SIGNATURE
                || !Arrays.equals(
                        name,
                        at(place + shift + LOCAL_BYTES, unsigned(local.getShort(26)))
                                .array())) {
            throw new IOException("has an entry that its directory calls " + text(name)
                    + ", but that is called otherwise where it lies");
        }
        return CENTRAL_BYTES + nameBytes + extraBytes + unsigned(head.getShort(32));
    }

    /**
     * The place of an entry that has no room for it: from the extra field of 64-bit values, where sizes come first,
     * then the place.
     */
    private static long place64(ByteBuffer head, ByteBuffer extra) throws IOException {
        while (extra.remaining() >= 2 * Short.BYTES) {
            int id = unsigned(extra.getShort());
            int bytes = unsigned(extra.getShort());
            int before = (unsigned(head.getInt(24)) == NOT_HERE ? Long.BYTES : 0)
                    + (unsigned(head.getInt(20)) == NOT_HERE ? Long.BYTES : 0);
            if (id == EXTRA_64 && bytes >= before + Long.BYTES && extra.remaining() >= bytes) {
                return extra.getLong(extra.position() + before);
            }
            extra.position(Math.min(extra.limit(), extra.position() + bytes));
        }
        throw new IOException("has a damaged directory");
    }

    private ByteBuffer at(long place, int count) throws IOException {
        if (place < 0 || place > channel.size() - count) {
            throw new EOFException("has a directory that points outside of it");
        }
        ByteBuffer bytes = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
        while (bytes.hasRemaining()) {
            if (channel.read(bytes, place + bytes.position()) < 0) {
                throw new EOFException("became shorter while it was read");
            }
        }
        return bytes.flip();
    }

    private static String text(byte[] name) {
        StringBuilder text = new StringBuilder();
        for (byte b : name) {
            text.append(b >= ' ' && b <= '~' ? (char) b : '?');
        }
        return text.toString();
    }

    private static int unsigned(short value) {
        return value & 0xffff;
    }

    private static long unsigned(int value) {
        return value & NOT_HERE;
    }
}
