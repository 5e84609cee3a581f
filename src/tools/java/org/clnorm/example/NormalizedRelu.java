package org.clnorm.example;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Layout;
import org.clnorm.Normalizer;
import org.clnorm.Parameter;
import org.clnorm.Shape;
import org.clnorm.Tensor;
import org.clnorm.diagnostics.Diagnoser;
import org.clnorm.diagnostics.Diagnostics;

/**
 * A normalization and the ReLU after it, in one pass on the device: all that this example needs of the library.
 *
 * <p>Each training step sends the hidden activations to the device, normalizes, and fetches the result, then does the
 * same with the gradients. A network whose other layers are on the device too would hand over tensors instead.
 */
final class NormalizedRelu implements Nonlinearity {
    private final Device device;
    private final Norm kind;
    private final int channels;
    private final Normalizer norm;
    private final Diagnoser diagnoser;
    private final List<Diagnostics> diagnostics = new ArrayList<>();
    // Made once and used in every training step, which so allocates nothing on the device.
    private final Tensor x;
    private final Tensor y;
    private final Tensor dy;
    private final Tensor dx;

    /**
     * @param kind which normalization; for batch normalization, {@code norm} is as good as
     *     {@code BatchNorm.builder(channels).activation(Activation.RELU).build(device)}
     * @param batch the rows of every training batch; {@link #infer} takes any number
     * @param diagnoser what looks at the training batches
     */
    NormalizedRelu(Norm kind, Device device, int batch, int channels, Diagnoser diagnoser) {
        this.device = device;
        this.kind = kind;
        this.channels = channels;
        this.diagnoser = diagnoser;
        norm = kind.build(device, Activation.RELU, batch, channels);
        Shape shape = kind.shape(batch, channels);
        x = device.tensor(shape, Layout.CHANNELS_FIRST);
        y = device.tensor(shape, Layout.CHANNELS_FIRST);
        dy = device.tensor(shape, Layout.CHANNELS_FIRST);
        dx = device.tensor(shape, Layout.CHANNELS_FIRST);
    }

    /** Normalizes with statistics of the batch itself, and lets them into any running statistics. */
    @Override
    public float[] forward(float[] values) {
        norm.train();
        x.upload(values);
        norm.forward(x, y);
        if (norm instanceof BatchNorm batchNorm) {
            diagnoser.observe(batchNorm, y).ifPresent(diagnostics::add);
        }
        return y.download();
    }

    /** Normalizes with any running statistics: a digit's answer then does not depend on the digits beside it. */
    @Override
    public float[] infer(float[] values) {
        norm.eval();
        Shape shape = kind.shape(values.length / channels, channels);
        try (Tensor in = device.upload(values, shape, Layout.CHANNELS_FIRST);
                Tensor out = norm.forward(in)) {
            return out.download();
        }
    }

    /** The gradient of x; those of γ and β are left in the layer's parameters. */
    @Override
    public float[] backward(float[] gradient) {
        dy.upload(gradient);
        norm.backward(dy, dx);
        return dx.download();
    }

    /** γ and β belong to the layer, and are on the device: fetch, step, send back. */
    @Override
    public void step(Sgd sgd) {
        for (Parameter parameter : norm.parameters()) {
            float[] values = parameter.value().download();
            sgd.step(values, parameter.gradient().download());
            parameter.value().upload(values);
        }
    }

    @Override
    public List<Diagnostics> diagnostics() {
        return List.copyOf(diagnostics);
    }

    @Override
    public void close() {
        dx.close();
        dy.close();
        y.close();
        x.close();
        norm.close();
    }
}
