package org.clnorm.benchmark;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Fusion;

/**
 * A program of its own that takes turns with those in this process, because it is no Java or brings libraries that conflict:
 * it is told in lines what to do, and answers when it is done. It knows two things to do, what it is here for and a copy, so
 * that there is a copy in the same process to compare with.
 *
 * <p>The lines: {@code prepare DIRECTION|COPY FORM BATCH CHANNELS SPATIAL INPUTS OUTPUTS PADDED SETS} is answered with
 * {@code ready ID} and a remark; {@code run ID FIRST COUNT} with {@code done} and the seconds that it took; {@code result ID} with the
 * floats of the first output as the last run left it, little-endian.
 */
final class Guest implements AutoCloseable {
    private final String name;
    private final Process process;
    private final DataInputStream answers;

    /** Starts it; its errors come out here. */
    Guest(String name, List<String> command) {
        this.name = name;
        try {
            process = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(name + " cannot be started by " + command, e);
        }
        answers = new DataInputStream(new BufferedInputStream(process.getInputStream(), 1 << 16));
    }

    /** What it is here for, for the tasks that it can do; nothing is fused. */
    Peer peer(Predicate<Task> can) {
        return new Turn(
                name, false, task -> task.norm() == Norm.BATCH && task.fusion() == Fusion.NONE && can.test(task));
    }

    /** The copy in its process. */
    Peer copy() {
        return new Turn(
                copyOf(name),
                true,
                task -> task.norm() == Norm.BATCH
                        && task.fusion() == Fusion.NONE
                        && task.form() == Form.CHANNELS_FIRST);
    }

    /** The name of the copy in the process of a guest. */
    static String copyOf(String name) {
        return "copy beside " + name;
    }

    private final class Turn implements Peer {
        private final String title;
        private final boolean copies;
        private final Predicate<Task> can;

        Turn(String title, boolean copies, Predicate<Task> can) {
            this.title = title;
            this.copies = copies;
            this.can = can;
        }

        @Override
        public String name() {
            return title;
        }

        @Override
        public boolean copies() {
            return copies;
        }

        @Override
        public boolean supports(Task task) {
            return can.test(task);
        }

        @Override
        public Call prepare(Task task, Sets sets) {
            String answer = ask(String.format(
                    "prepare %s %s %d %d %d %d %d %d %d",
                    copies ? "COPY" : task.direction().name(),
                    task.form().name(),
                    task.batch(),
                    task.channels(),
                    task.spatial(),
                    sets.inputs(),
                    sets.outputs(),
                    sets.padded(),
                    sets.count()));
            String[] parts = answer.split(" ", 3);
            if (!parts[0].equals("ready")) {
                throw new IllegalStateException(title + " cannot do " + task + ": " + answer);
            }
            return new Call() {
                @Override
                public void run(int set) {
                    seconds(set, 1, sets);
                }

                @Override
                public double seconds(int first, int count, Sets all) {
                    String[] done =
                            ask("run " + parts[1] + " " + first + " " + count).split(" ");
                    if (!done[0].equals("done")) {
                        throw new IllegalStateException(title + " failed at " + task + ": " + String.join(" ", done));
                    }
                    return Double.parseDouble(done[1]) / count;
                }

                @Override
                public float[] result() {
                    run(0);
                    return floats("result " + parts[1], sets.elements());
                }
            };
        }
    }

    private String ask(String line) {
        try {
            tell(line);
            StringBuilder answer = new StringBuilder();
            for (int c = answers.read(); c != '\n'; c = answers.read()) {
                if (c < 0) {
                    throw new IllegalStateException(name + " ended at: " + line);
                }
                answer.append((char) c);
            }
            return answer.toString();
        } catch (IOException e) {
            throw new UncheckedIOException(name + " does not answer to: " + line, e);
        }
    }

    private float[] floats(String line, int count) {
        try {
            tell(line);
            byte[] bytes = new byte[count * Float.BYTES];
            answers.readFully(bytes);
            float[] values = new float[count];
            ByteBuffer.wrap(bytes)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .asFloatBuffer()
                    .get(values);
            return values;
        } catch (IOException e) {
            throw new UncheckedIOException(name + " does not answer to: " + line, e);
        }
    }

    private void tell(String line) throws IOException {
        process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.US_ASCII));
        process.getOutputStream().flush();
    }

    /** It ends when nothing more can come. */
    @Override
    public void close() {
        try (InputStream rest = process.getInputStream()) {
            process.getOutputStream().close();
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (IOException e) {
            process.destroyForcibly();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
