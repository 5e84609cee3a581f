package org.clnorm.example.device;

import org.clnorm.OpenClInterop;
import org.clnorm.Tensor;
import org.jocl.blast.CLBlast;
import org.jocl.blast.CLBlastLayout;
import org.jocl.blast.CLBlastStatusCode;
import org.jocl.blast.CLBlastTranspose;

/**
 * Products of matrices by CLBlast, over the buffers of clnorm's tensors and in the same queue. Matrices lie row by row.
 */
public final class Gemm {
    /**
     * A matrix in a tensor, and in a batch of them those that follow it.
     *
     * @param tensor where it is
     * @param offset its first element
     * @param row from the beginning of one row to that of the next
     * @param stride from one matrix of a batch to the next
     * @param transposed whether to take it with rows and columns exchanged
     */
    public record Matrix(Tensor tensor, long offset, long row, long stride, boolean transposed) {
        /** A whole tensor of rows of so many elements. */
        public static Matrix of(Tensor tensor, long row) {
            return new Matrix(tensor, 0, row, 0, false);
        }

        /** The same, with rows and columns exchanged. */
        public Matrix transpose() {
            return new Matrix(tensor, offset, row, stride, !transposed);
        }

        private int operation() {
            return transposed ? CLBlastTranspose.CLBlastTransposeYes : CLBlastTranspose.CLBlastTransposeNo;
        }
    }

    private final Queue queue;

    /** Products in a queue. */
    public Gemm(Queue queue) {
        this.queue = queue;
    }

    /**
     * Enqueues {@code c = a·b + keep·c}.
     *
     * @param rows of a and c
     * @param columns of b and c
     * @param inner the columns of a and rows of b
     * @param keep 0 to overwrite c, 1 to add to it
     */
    public void multiply(long rows, long columns, long inner, Matrix a, Matrix b, float keep, Matrix c) {
        check(CLBlast.CLBlastSgemm(
                CLBlastLayout.CLBlastLayoutRowMajor,
                a.operation(),
                b.operation(),
                rows,
                columns,
                inner,
                1,
                OpenClInterop.buffer(a.tensor),
                a.offset,
                a.row,
                OpenClInterop.buffer(b.tensor),
                b.offset,
                b.row,
                keep,
                OpenClInterop.buffer(c.tensor),
                c.offset,
                c.row,
                queue.handle,
                null));
    }

    /** Enqueues {@code c = factor·a·b} for each of a batch of matrices, their strides apart. */
    public void multiplyEach(
            long batch, long rows, long columns, long inner, float factor, Matrix a, Matrix b, Matrix c) {
        check(CLBlast.CLBlastSgemmStridedBatched(
                CLBlastLayout.CLBlastLayoutRowMajor,
                a.operation(),
                b.operation(),
                rows,
                columns,
                inner,
                factor,
                OpenClInterop.buffer(a.tensor),
                a.offset,
                a.row,
                a.stride,
                OpenClInterop.buffer(b.tensor),
                b.offset,
                b.row,
                b.stride,
                0,
                OpenClInterop.buffer(c.tensor),
                c.offset,
                c.row,
                c.stride,
                batch,
                queue.handle,
                null));
    }

    private static void check(int status) {
        if (status != CLBlastStatusCode.CLBlastSuccess) {
            throw new IllegalStateException("CLBlast failed: " + CLBlastStatusCode.stringFor(status));
        }
    }
}
