/**
 * For tests of kernels and layers with JUnit 5 and AssertJ: {@link org.clnorm.testing.OpenClDevice} hands a test the OpenCL device
 * that it runs on, and {@link org.clnorm.testing.NormalizationAssertions} hold arrays and tensors against the double-precision
 * reference.
 *
 * <pre>{@code
 * @Test
 * void forward_ofRows_isLayerNorm(@OpenClDevice Device device) {
 *     float[] y = mine(device, x, gamma, beta);
 *
 *     assertThat(y).is(layerNormOf(x, shape, Layout.CHANNELS_FIRST).gamma(gamma).beta(beta));
 *     KernelCheck.of(source, binding).quick(true).on(device).verify();
 * }
 * }</pre>
 */
package org.clnorm.testing;
