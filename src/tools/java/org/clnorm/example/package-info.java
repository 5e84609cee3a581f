/**
 * How to use the library in a training loop of one's own: a small network learns handwritten digits with and without
 * a normalization. Dense layers, loss and optimizer are plain Java; the normalization runs on the device.
 *
 * <p>Read {@code NormalizedRelu} first, which is all there is to know about the library, then {@code Network}, the loop
 * around it. The rest is data, bookkeeping and the report.
 *
 * <p>Every step copies activations to the device and back here. Networks whose every tensor stays there are in the packages
 * below this one: begin with {@code device}.
 */
package org.clnorm.example;
