package org.clnorm.study;

import org.clnorm.Activation;
import org.clnorm.BatchNorm;
import org.clnorm.Device;
import org.clnorm.Shape;
import org.clnorm.example.Norm;

/** Which normalization stands between a dense layer and its ReLU. */
@FunctionalInterface
interface Norming {
    /** None; a network leaves the stage out. */
    Norming NONE = (device, units) -> null;

    /** Batch normalization with the library's defaults. */
    Norming BATCH = of(Norm.BATCH);

    /** Its stage, or null for none. */
    NormStage stage(Device device, int units);

    /** One of the normalizations of {@code clnorm train}, with its settings there. */
    static Norming of(Norm norm) {
        return norm == Norm.NONE
                ? NONE
                : (device, units) -> new NormStage(
                        device,
                        norm.build(device, Activation.NONE, 2, units), // the batch matters for GHOST alone
                        units,
                        rows -> norm.shape(rows, units));
    }

    /** Ghost batches of so many samples. */
    static Norming ghost(int samples) {
        return (device, units) -> of(device, BatchNorm.builder(units).virtualBatch(samples), units);
    }

    /** A stage of a batch normalization of rows. */
    static NormStage of(Device device, BatchNorm.Builder builder, int units) {
        return new NormStage(device, builder.build(device), units, rows -> Shape.of(rows, units));
    }
}
