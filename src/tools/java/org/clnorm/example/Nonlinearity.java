package org.clnorm.example;

import java.util.List;
import org.clnorm.diagnostics.Diagnostics;

/** What stands between the two dense layers. All arrays are (batch, channels). */
interface Nonlinearity extends AutoCloseable {
    /** y of x, in training; what {@link #backward} needs is kept. */
    float[] forward(float[] x);

    /** y of x, when the network is used; any number of rows. */
    float[] infer(float[] x);

    /** dx of dy, for the last {@link #forward}. */
    float[] backward(float[] dy);

    /** Moves its parameters, if it has any, down the gradient. */
    void step(Sgd sgd);

    /** What was seen of it in training, if that was asked for. */
    default List<Diagnostics> diagnostics() {
        return List.of();
    }

    @Override
    void close();
}
