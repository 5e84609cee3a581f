package org.clnorm.benchmark.dl4j;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.BatchNormalization;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * DL4J's batch normalization layer, as a guest of the benchmark: see org.clnorm.benchmark.Guest for the lines it is told.
 * Its copy is of Java arrays, by as many threads as there are processors.
 */
public final class Dl4j {
    private static final LayerWorkspaceMgr NO_WORKSPACES = LayerWorkspaceMgr.noWorkspaces();

    private final int threads = Runtime.getRuntime().availableProcessors();
    private final ExecutorService pool = Executors.newFixedThreadPool(threads, task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    });
    private final INDArray arena;
    private final float[] inputs;
    private final float[] outputs;
    private final List<Job> jobs = new ArrayList<>();

    private interface Job {
        /** Nanoseconds of a call. */
        long run(int set);

        /** What the last call gave. */
        float[] result();
    }

    private Dl4j(Path pattern, int elements) throws IOException {
        FloatBuffer values = ByteBuffer.wrap(Files.readAllBytes(pattern))
                .order(ByteOrder.LITTLE_ENDIAN)
                .asFloatBuffer();
        inputs = new float[elements];
        outputs = new float[elements];
        for (int at = 0; at < elements; at += values.capacity()) {
            values.get(0, inputs, at, Math.min(values.capacity(), elements - at));
        }
        arena = Nd4j.createFromArray(inputs);
    }

    /** Takes the file of the inputs' pattern and how many elements of inputs there are. */
    public static void main(String[] arguments) throws IOException {
        PrintStream answers = System.out;
        System.setOut(System.err); // no library's words among the answers
        Dl4j guest = new Dl4j(Path.of(arguments[0]), Integer.parseInt(arguments[1]));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            guest.answer(line.split(" "), answers);
            answers.flush();
        }
        System.exit(0); // its threads would go on
    }

    private void answer(String[] words, PrintStream answers) {
        switch (words[0]) {
            case "prepare" -> {
                int[] n = new int[words.length - 3];
                for (int i = 0; i < n.length; i++) {
                    n[i] = Integer.parseInt(words[i + 3]);
                }
                try {
                    jobs.add(words[1].equals("COPY") ? copy(n) : layer(words[1], words[2].equals("CHANNELS_LAST"), n));
                    answers.print("ready " + (jobs.size() - 1) + "\n");
                } catch (RuntimeException e) {
                    answers.print("cannot: " + e + "\n");
                }
            }
            case "run" -> {
                Job job = jobs.get(Integer.parseInt(words[1]));
                long nanoseconds = 0;
                for (int i = 0; i < Integer.parseInt(words[3]); i++) {
                    nanoseconds += job.run(Integer.parseInt(words[2]) + i);
                }
                answers.print("done " + nanoseconds * 1e-9 + "\n");
            }
            case "result" -> {
                float[] result = jobs.get(Integer.parseInt(words[1])).result();
                ByteBuffer bytes =
                        ByteBuffer.allocate(result.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asFloatBuffer().put(result);
                answers.write(bytes.array(), 0, bytes.capacity());
            }
            default -> throw new IllegalArgumentException("Unknown: " + words[0]);
        }
    }

    /** By batch, channels, spatial, inputs and outputs of a set, padded elements, sets. */
    private Job copy(int[] n) {
        int elements = n[0] * n[1] * n[2];
        int sets = n[6];
        return new Job() {
            @Override
            public long run(int set) {
                long begin = System.nanoTime();
                int from = set % sets * n[3] * n[5];
                int to = set % sets * n[4] * n[5];
                List<Future<?>> parts = new ArrayList<>();
                for (int t = 0; t < threads; t++) {
                    int start = (int) ((long) elements * t / threads);
                    int end = (int) ((long) elements * (t + 1) / threads);
                    parts.add(pool.submit(
                            () -> System.arraycopy(inputs, from + start, outputs, to + start, end - start)));
                }
                for (Future<?> part : parts) {
                    try {
                        part.get();
                    } catch (InterruptedException | ExecutionException e) {
                        throw new IllegalStateException("The copy failed", e);
                    }
                }
                return System.nanoTime() - begin;
            }

            @Override
            public float[] result() {
                return java.util.Arrays.copyOf(outputs, elements);
            }
        };
    }

    private Job layer(String direction, boolean channelsLast, int[] n) {
        int channels = n[1];
        int side = (int) Math.round(Math.sqrt(n[2]));
        if (side * side != n[2]) {
            throw new IllegalArgumentException("planes are square here, but of " + n[2] + " positions");
        }
        long[] shape = n[2] == 1
                ? new long[] {n[0], channels}
                : channelsLast ? new long[] {n[0], side, side, channels} : new long[] {n[0], channels, side, side};
        Layer layer = layer(channels, channelsLast);
        int sets = n[6];
        INDArray[] x = new INDArray[sets];
        INDArray[] dy = new INDArray[sets];
        for (int set = 0; set < sets; set++) {
            x[set] = tensor(set * n[3] * n[5], shape);
            dy[set] = tensor((set * n[3] + 1) * n[5], shape);
        }
        return new Job() {
            private INDArray compute(int set) {
                return switch (direction) {
                    case "FORWARD" -> layer.activate(x[set], true, NO_WORKSPACES);
                    case "INFERENCE" -> layer.activate(x[set], false, NO_WORKSPACES);
                    default -> layer.backpropGradient(dy[set], NO_WORKSPACES).getSecond();
                };
            }

            private INDArray last;

            @Override
            public long run(int set) {
                if (last != null) {
                    last.close(); // its memory serves again
                }
                if (direction.equals("BACKWARD")) {
                    layer.activate(x[set % sets], true, NO_WORKSPACES).close(); // a backward pass uses up what it left
                }
                long begin = System.nanoTime();
                last = compute(set % sets);
                return System.nanoTime() - begin;
            }

            @Override
            public float[] result() {
                return last.dup('c').data().asFloat();
            }
        };
    }

    private static Layer layer(int channels, boolean channelsLast) {
        NeuralNetConfiguration configuration = new NeuralNetConfiguration.Builder()
                .dataType(DataType.FLOAT)
                .layer(new BatchNormalization.Builder()
                        .nIn(channels)
                        .nOut(channels)
                        .eps(1e-5)
                        .decay(0.9)
                        .useLogStd(false)
                        .dataFormat(channelsLast ? CNN2DFormat.NHWC : CNN2DFormat.NCHW)
                        .build())
                .build();
        long count = configuration.getLayer().initializer().numParams(configuration);
        INDArray parameters = Nd4j.zeros(DataType.FLOAT, 1, count);
        Layer layer = configuration.getLayer().instantiate(configuration, null, 0, parameters, true, DataType.FLOAT);
        layer.setBackpropGradientsViewArray(Nd4j.zeros(DataType.FLOAT, 1, count));
        float[][] values = new float[4][channels];
        for (int c = 0; c < channels; c++) {
            values[0][c] = 0.5f + c % 7 * 0.25f;
            values[1][c] = c % 5 * 0.2f - 0.4f;
            values[2][c] = c % 3 * 0.1f;
            values[3][c] = 1 + c % 4 * 0.5f;
        }
        String[] names = {"gamma", "beta", "mean", "var"};
        for (int i = 0; i < names.length; i++) {
            INDArray parameter = layer.getParam(names[i]);
            parameter.assign(Nd4j.createFromArray(values[i]).reshape(parameter.shape()));
        }
        return layer;
    }

    private INDArray tensor(int offset, long[] shape) {
        long count = 1;
        for (long dimension : shape) {
            count *= dimension;
        }
        return arena.get(NDArrayIndex.interval(offset, offset + count)).reshape('c', shape);
    }
}
