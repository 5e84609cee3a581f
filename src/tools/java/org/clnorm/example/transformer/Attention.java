package org.clnorm.example.transformer;

import java.util.Random;
import org.clnorm.Tensor;
import org.clnorm.example.device.Chain;
import org.clnorm.example.device.Composite;
import org.clnorm.example.device.Dense;
import org.clnorm.example.device.Gemm;
import org.clnorm.example.device.Gemm.Matrix;
import org.clnorm.example.device.Kernels;
import org.clnorm.example.device.Plain;
import org.clnorm.example.device.Queue;

/**
 * Self-attention with several heads (Vaswani et al., 2017): every row of a sequence asks all rows of it.
 *
 * <p>One dense layer gives queries, keys and values side by side, another one mixes what the heads found. In between, the
 * sequences of a batch are matrices a fixed stride apart, and a head a stripe of their columns; so each product here is
 * one batched product for each head, and nothing is ever copied into another order.
 */
public final class Attention extends Composite {
    private final Chain chain;

    /**
     * @param batch how many sequences
     * @param rows of a sequence
     * @param width of a row, a multiple of {@code heads}
     */
    public Attention(Queue queue, int batch, int rows, int width, int heads, Random random) {
        chain = add(
                "self",
                new Chain()
                        .then("in", new Dense(queue, batch * rows, width, 3 * width, 1, random))
                        .then("heads", new Heads(queue, batch, rows, width, heads))
                        .then("out", new Dense(queue, batch * rows, width, width, 1, random)));
    }

    @Override
    public Tensor forward(Tensor x) {
        return chain.forward(x);
    }

    @Override
    public Tensor backward(Tensor dy) {
        return chain.backward(dy);
    }

    /** softmax(Q·Kᵀ/√d)·V of each sequence and head. */
    static final class Heads extends Plain {
        private final int batch;
        private final int rows;
        private final int width;
        private final int heads;
        private final int head;
        private final float scale;
        private final Gemm gemm;
        private final Kernels kernels;
        /** By sequence, head, and row that asks: how much it takes of each row. */
        private final Tensor shares;

        private final Tensor dshares;
        private final Tensor y;
        private final Tensor dx;
        private Tensor x;

        Heads(Queue queue, int batch, int rows, int width, int heads) {
            super(queue);
            this.batch = batch;
            this.rows = rows;
            this.width = width;
            this.heads = heads;
            this.head = width / heads;
            this.scale = (float) (1 / Math.sqrt(head));
            this.gemm = new Gemm(queue);
            this.kernels = queue.kernels(Attention.class, "transformer.cl");
            this.shares = queue.tensor(batch, heads, rows, rows);
            this.dshares = queue.tensor(batch, heads, rows, rows);
            this.y = queue.tensor((long) batch * rows, width);
            this.dx = queue.tensor((long) batch * rows, 3L * width);
        }

        @Override
        public Tensor forward(Tensor x) {
            this.x = x;
            for (int h = 0; h < heads; h++) {
                gemm.multiplyEach(
                        batch,
                        rows,
                        rows,
                        head,
                        scale,
                        queries(x, h),
                        keys(x, h).transpose(),
                        square(shares, h));
            }
            kernels.run("softmax_rows", batch * heads * rows, shares, rows);
            for (int h = 0; h < heads; h++) {
                gemm.multiplyEach(batch, rows, head, rows, 1, square(shares, h), values(x, h), found(y, h));
            }
            return y;
        }

        @Override
        public Tensor backward(Tensor dy) {
            for (int h = 0; h < heads; h++) {
                gemm.multiplyEach(
                        batch, rows, head, rows, 1, square(shares, h).transpose(), found(dy, h), values(dx, h));
                gemm.multiplyEach(
                        batch, rows, rows, head, 1, found(dy, h), values(x, h).transpose(), square(dshares, h));
            }
            kernels.run("softmax_rows_backward", batch * heads * rows, shares, dshares, rows);
            for (int h = 0; h < heads; h++) {
                gemm.multiplyEach(batch, rows, head, rows, scale, square(dshares, h), keys(x, h), queries(dx, h));
                gemm.multiplyEach(
                        batch, rows, head, rows, scale, square(dshares, h).transpose(), queries(x, h), keys(dx, h));
            }
            return dx;
        }

        private Matrix queries(Tensor of, int h) {
            return stripe(of, 0, h, 3 * width);
        }

        private Matrix keys(Tensor of, int h) {
            return stripe(of, width, h, 3 * width);
        }

        private Matrix values(Tensor of, int h) {
            return stripe(of, 2 * width, h, 3 * width);
        }

        private Matrix found(Tensor of, int h) {
            return stripe(of, 0, h, width);
        }

        /** A head's columns, from some column on, of rows of some length. */
        private Matrix stripe(Tensor of, int from, int h, int length) {
            return new Matrix(of, from + (long) h * head, length, (long) rows * length, false);
        }

        private Matrix square(Tensor of, int h) {
            return new Matrix(of, (long) h * rows * rows, rows, (long) heads * rows * rows, false);
        }
    }
}
