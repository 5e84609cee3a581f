package org.clnorm.benchmark;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.clnorm.bench.Norm;
import org.clnorm.bench.Workload.Direction;

/** What one would write in Java without a library: float arrays, several accumulators, two threads. */
final class JavaLoop implements Peer {
    private static final int LANES = 8;

    private final int threads;
    private final ExecutorService pool;

    JavaLoop(int threads) {
        this.threads = threads;
        this.pool = Executors.newFixedThreadPool(threads);
    }

    @Override
    public String name() {
        return "Java loop";
    }

    @Override
    public boolean supports(Task task) {
        return task.norm() == Norm.BATCH && task.form() != Form.BLOCKED && !task.relu();
    }

    @Override
    public Call prepare(Task task, Sets sets) {
        Pass pass = task.form() == Form.CHANNELS_FIRST && task.spatial() > 1
                ? new Planes(task, sets)
                : new Rows(task, sets);
        return new Call() {
            @Override
            public void run(int set) {
                pass.run(set);
            }

            @Override
            public float[] result() {
                if (task.direction() == Direction.BACKWARD) {
                    pass.statistics(0);
                }
                run(0);
                float[] result = new float[sets.elements()];
                System.arraycopy(sets.arena().javaOutputs, sets.y(0), result, 0, result.length);
                return result;
            }
        };
    }

    @Override
    public void close() {
        pool.shutdownNow();
    }

    private interface Part {
        /** From {@code from} up to {@code to} of what is shared out. */
        void run(int from, int to, int thread);
    }

    private void share(int n, Part part) {
        List<Callable<Void>> parts = new ArrayList<>();
        for (int t = 0; t < threads; t++) {
            int thread = t;
            int from = (int) ((long) n * t / threads);
            int to = (int) ((long) n * (t + 1) / threads);
            parts.add(() -> {
                part.run(from, to, thread);
                return null;
            });
        }
        try {
            for (Future<Void> done : pool.invokeAll(parts)) {
                done.get();
            }
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException("The Java loop's threads failed", e);
        }
    }

    /** The state both memory forms need: y = scale·x + shift, dx = scale·dy + ofX·x + shift. */
    private abstract class Pass {
        final Direction direction;
        final Sets sets;
        final int batch;
        final int channels;
        final int spatial;
        final float[] in;
        final float[] out;
        final float[] gamma;
        final float[] beta;
        final float[] mean;
        final float[] variance;

        Pass(Task task, Sets sets) {
            this.direction = task.direction();
            this.sets = sets;
            this.batch = task.batch();
            this.channels = task.channels();
            this.spatial = task.spatial();
            this.in = sets.arena().javaInputs;
            this.out = sets.arena().javaOutputs;
            this.gamma = task.gamma();
            this.beta = task.beta();
            this.mean = task.runningMean();
            this.variance = task.runningVariance();
        }

        abstract void statistics(int set);

        abstract void run(int set);

        final double invstd(int c) {
            return 1 / Math.sqrt(variance[c] + Task.EPSILON);
        }

        /** From sums of x − first and of its square. */
        final void moments(int c, double first, double sum, double squares) {
            double m = (double) batch * spatial;
            mean[c] = (float) (first + sum / m);
            variance[c] = (float) (squares / m - (sum / m) * (sum / m));
        }
    }

    /** Channels-first: each thread has whole channels. */
    private final class Planes extends Pass {
        Planes(Task task, Sets sets) {
            super(task, sets);
        }

        @Override
        void statistics(int set) {
            share(channels, (from, to, thread) -> {
                for (int c = from; c < to; c++) {
                    momentsOf(sets.x(set), c);
                }
            });
        }

        @Override
        void run(int set) {
            share(channels, (from, to, thread) -> {
                for (int c = from; c < to; c++) {
                    channel(set, c);
                }
            });
        }

        private void channel(int set, int c) {
            int x = sets.x(set);
            int y = sets.y(set);
            if (direction == Direction.BACKWARD) {
                gradient(x, sets.dy(set), y, c);
                return;
            }
            if (direction == Direction.FORWARD) {
                momentsOf(x, c);
            }
            float scale = (float) (gamma[c] * invstd(c));
            float shift = beta[c] - mean[c] * scale;
            for (int n = 0; n < batch; n++) {
                int at = (n * channels + c) * spatial;
                affine(in, x + at, out, y + at, spatial, scale, shift);
            }
        }

        private void momentsOf(int x, int c) {
            float first = in[x + c * spatial];
            double[] sums = new double[2];
            for (int n = 0; n < batch; n++) {
                sum(in, x + (n * channels + c) * spatial, spatial, first, sums);
            }
            moments(c, first, sums[0], sums[1]);
        }

        private void gradient(int x, int dy, int dx, int c) {
            double[] sums = new double[2];
            for (int n = 0; n < batch; n++) {
                int at = (n * channels + c) * spatial;
                products(in, x + at, dy + at, spatial, mean[c], sums);
            }
            double m = (double) batch * spatial;
            double invstd = invstd(c);
            float scale = (float) (gamma[c] * invstd);
            float ofX = (float) (-gamma[c] * invstd * invstd * invstd * sums[1] / m);
            float shift = (float) (-gamma[c] * invstd * sums[0] / m) - mean[c] * ofX;
            for (int n = 0; n < batch; n++) {
                int at = (n * channels + c) * spatial;
                combine(in, x + at, dy + at, out, dx + at, spatial, scale, ofX, shift);
            }
        }
    }

    private static void sum(float[] a, int at, int n, float first, double[] sums) {
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
        float q0 = 0, q1 = 0, q2 = 0, q3 = 0, q4 = 0, q5 = 0, q6 = 0, q7 = 0;
        int i = 0;
        for (; i + LANES <= n; i += LANES) {
            float v0 = a[at + i] - first, v1 = a[at + i + 1] - first;
            float v2 = a[at + i + 2] - first, v3 = a[at + i + 3] - first;
            float v4 = a[at + i + 4] - first, v5 = a[at + i + 5] - first;
            float v6 = a[at + i + 6] - first, v7 = a[at + i + 7] - first;
            s0 += v0;
            s1 += v1;
            s2 += v2;
            s3 += v3;
            s4 += v4;
            s5 += v5;
            s6 += v6;
            s7 += v7;
            q0 += v0 * v0;
            q1 += v1 * v1;
            q2 += v2 * v2;
            q3 += v3 * v3;
            q4 += v4 * v4;
            q5 += v5 * v5;
            q6 += v6 * v6;
            q7 += v7 * v7;
        }
        for (; i < n; i++) {
            float v = a[at + i] - first;
            s0 += v;
            q0 += v * v;
        }
        sums[0] += ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
        sums[1] += ((q0 + q1) + (q2 + q3)) + ((q4 + q5) + (q6 + q7));
    }

    private static void products(float[] a, int x, int dy, int n, float mean, double[] sums) {
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        float p0 = 0, p1 = 0, p2 = 0, p3 = 0;
        int i = 0;
        for (; i + 4 <= n; i += 4) {
            float d0 = a[dy + i], d1 = a[dy + i + 1], d2 = a[dy + i + 2], d3 = a[dy + i + 3];
            s0 += d0;
            s1 += d1;
            s2 += d2;
            s3 += d3;
            p0 += d0 * (a[x + i] - mean);
            p1 += d1 * (a[x + i + 1] - mean);
            p2 += d2 * (a[x + i + 2] - mean);
            p3 += d3 * (a[x + i + 3] - mean);
        }
        for (; i < n; i++) {
            s0 += a[dy + i];
            p0 += a[dy + i] * (a[x + i] - mean);
        }
        sums[0] += (s0 + s1) + (s2 + s3);
        sums[1] += (p0 + p1) + (p2 + p3);
    }

    private static void affine(float[] in, int x, float[] out, int y, int n, float scale, float shift) {
        for (int i = 0; i < n; i++) {
            out[y + i] = in[x + i] * scale + shift;
        }
    }

    private static void combine(
            float[] in, int x, int dy, float[] out, int dx, int n, float scale, float ofX, float shift) {
        for (int i = 0; i < n; i++) {
            out[dx + i] = in[dy + i] * scale + in[x + i] * ofX + shift;
        }
    }

    /** Channels-last, and (N, C): each thread has some of the rows, and all of the columns. */
    private final class Rows extends Pass {
        private final int rows = batch * spatial;
        private final float[][] sums = new float[threads][channels];
        private final float[][] others = new float[threads][channels];
        private final float[] first = new float[channels];
        private final float[] scale = new float[channels];
        private final float[] ofX = new float[channels];
        private final float[] shift = new float[channels];

        Rows(Task task, Sets sets) {
            super(task, sets);
        }

        @Override
        void statistics(int set) {
            int x = sets.x(set);
            System.arraycopy(in, x, first, 0, channels);
            share(rows, (from, to, thread) -> {
                Arrays.fill(sums[thread], 0);
                Arrays.fill(others[thread], 0);
                for (int row = from; row < to; row++) {
                    addRow(in, x + row * channels, channels, first, sums[thread], others[thread]);
                }
            });
            for (int c = 0; c < channels; c++) {
                double s = 0;
                double q = 0;
                for (int t = 0; t < threads; t++) {
                    s += sums[t][c];
                    q += others[t][c];
                }
                moments(c, first[c], s, q);
            }
        }

        @Override
        void run(int set) {
            int x = sets.x(set);
            int y = sets.y(set);
            if (direction == Direction.BACKWARD) {
                gradient(x, sets.dy(set), y);
                return;
            }
            if (direction == Direction.FORWARD) {
                statistics(set);
            }
            for (int c = 0; c < channels; c++) {
                scale[c] = (float) (gamma[c] * invstd(c));
                shift[c] = beta[c] - mean[c] * scale[c];
            }
            share(rows, (from, to, thread) -> {
                for (int row = from; row < to; row++) {
                    affineRow(in, x + row * channels, out, y + row * channels, channels, scale, shift);
                }
            });
        }

        private void gradient(int x, int dy, int dx) {
            share(rows, (from, to, thread) -> {
                Arrays.fill(sums[thread], 0);
                Arrays.fill(others[thread], 0);
                for (int row = from; row < to; row++) {
                    int at = row * channels;
                    addProducts(in, x + at, dy + at, channels, mean, sums[thread], others[thread]);
                }
            });
            for (int c = 0; c < channels; c++) {
                double s = 0;
                double p = 0;
                for (int t = 0; t < threads; t++) {
                    s += sums[t][c];
                    p += others[t][c];
                }
                double invstd = invstd(c);
                scale[c] = (float) (gamma[c] * invstd);
                ofX[c] = (float) (-gamma[c] * invstd * invstd * invstd * p / rows);
                shift[c] = (float) (-gamma[c] * invstd * s / rows) - mean[c] * ofX[c];
            }
            share(rows, (from, to, thread) -> {
                for (int row = from; row < to; row++) {
                    int at = row * channels;
                    combineRow(in, x + at, dy + at, out, dx + at, channels, scale, ofX, shift);
                }
            });
        }
    }

    private static void addRow(float[] a, int at, int n, float[] first, float[] sums, float[] squares) {
        for (int c = 0; c < n; c++) {
            float v = a[at + c] - first[c];
            sums[c] += v;
            squares[c] += v * v;
        }
    }

    private static void addProducts(float[] a, int x, int dy, int n, float[] mean, float[] sums, float[] products) {
        for (int c = 0; c < n; c++) {
            float d = a[dy + c];
            sums[c] += d;
            products[c] += d * (a[x + c] - mean[c]);
        }
    }

    private static void affineRow(float[] in, int x, float[] out, int y, int n, float[] scale, float[] shift) {
        for (int c = 0; c < n; c++) {
            out[y + c] = in[x + c] * scale[c] + shift[c];
        }
    }

    private static void combineRow(
            float[] in, int x, int dy, float[] out, int dx, int n, float[] scale, float[] ofX, float[] shift) {
        for (int c = 0; c < n; c++) {
            out[dx + c] = in[dy + c] * scale[c] + in[x + c] * ofX[c] + shift[c];
        }
    }
}
