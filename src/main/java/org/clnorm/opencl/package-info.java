/**
 * The host layer: devices, buffers, queues, programs, kernels and strategies over JOCL.
 *
 * <p>Pure values decide and are tested without a device: {@link org.clnorm.opencl.DeviceFacts} and a {@link
 * org.clnorm.view.View} give a {@link org.clnorm.opencl.Strategy}, and those a {@link org.clnorm.opencl.Geometry}.
 * {@code OpenClBackend} turns a pass into the launches they say. No JOCL type leaves this package, except through {@code
 * org.clnorm.OpenClInterop}.
 */
package org.clnorm.opencl;
