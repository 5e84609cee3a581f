/**
 * What users type: a {@link org.clnorm.Device}, {@link org.clnorm.Tensor tensors} on it, and the normalization layers
 * that work on them.
 *
 * <pre>{@code
 * try (Device device = Device.open();
 *         BatchNorm norm = BatchNorm.builder(64).activation(Activation.RELU).build(device);
 *         Tensor x = device.upload(pixels, Shape.of(32, 64, 56, 56), Layout.CHANNELS_FIRST)) {
 *     Tensor y = norm.forward(x);
 *     ...
 *     Tensor dx = norm.backward(dy);
 * }
 * }</pre>
 *
 * <p>A null argument throws {@link NullPointerException} that names it, unless it is said what null means.
 *
 * <p>The architecture below this package: a layer checks its arguments and hands the work to the device's {@link
 * org.clnorm.backend.Backend}, of which there are two. {@code org.clnorm.opencl} turns the work into kernel launches;
 * {@code org.clnorm.reference} does it in double precision with plain loops. They know nothing of each other.
 */
package org.clnorm;
