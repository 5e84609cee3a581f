package org.clnorm;

import java.util.Locale;

/**
 * Which estimate of the variance of a batch, of m values in each channel, enters the running variance. Normalization
 * itself always divides by m.
 */
public enum RunningVariance {
    /** Σ(x−mean)² / (m−1), as PyTorch and TensorFlow's fused operation do. */
    UNBIASED,
    /** Σ(x−mean)² / m, as ONNX and DL4J do. */
    BIASED;

    /** The name used in files and on the command line: {@code unbiased} or {@code biased}. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
