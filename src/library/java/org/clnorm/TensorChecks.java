package org.clnorm;

import java.util.Objects;

/**
 * What layers ask of the tensors that they are given. Each failure names the argument, its value and what was expected.
 */
final class TensorChecks {
    private TensorChecks() {}

    /** Refuses a tensor that is closed, or not on a device. */
    static void onDevice(String name, Tensor tensor, Device device) {
        Objects.requireNonNull(tensor, name);
        if (tensor.device() != device) {
            throw new IllegalArgumentException(
                    name + " must be on the layer's " + device + ", but given was " + tensor);
        }
        tensor.operand();
    }

    /**
     * Refuses a tensor that is closed, on another device, or of another shape or layout than another (a matrix has the
     * same elements in both layouts).
     */
    static void like(String name, Tensor tensor, String otherName, Tensor other) {
        onDevice(name, tensor, other.device());
        if (!tensor.shape().equals(other.shape())) {
            throw new IllegalArgumentException(name + " must have " + otherName + "'s shape " + other.shape()
                    + ", but given was " + tensor.shape());
        }
        if (tensor.layout() != other.layout() && tensor.shape().rank() > 2) {
            throw new IllegalArgumentException(name + " must have " + otherName + "'s layout " + other.layout()
                    + ", but given was " + tensor.layout());
        }
    }

    /** Refuses an output that shares memory with another tensor, unless it is exactly the same and that is allowed. */
    static void noOverlap(String name, Tensor output, String otherName, Tensor other, boolean sameAllowed) {
        if (output.overlaps(other) && !(sameAllowed && output.isSamePlaceAs(other))) {
            throw new IllegalArgumentException(name + " may not share memory with " + otherName
                    + (sameAllowed ? " unless it is the same place" : "") + ", but given were " + output + " and "
                    + other);
        }
    }

    /** Refuses a watched tensor that is closed, or not as the forward pass left it; watching none is no objection. */
    static void unchanged(String name, Watch watch) {
        Tensor tensor = watch.tensor();
        if (tensor == null) {
            return;
        }
        if (tensor.isClosed()) {
            throw new IllegalStateException(
                    "backward needs the forward pass's " + name + " " + tensor.shape() + ", but it was closed since");
        }
        if (watch.isWritten()) {
            throw new IllegalStateException("backward needs the forward pass's " + name + " " + tensor.shape()
                    + ", but it was written since (by an upload, a fill, or as an output)");
        }
    }
}
