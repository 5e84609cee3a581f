/**
 * The host layer: devices, buffers, queues, programs and kernels over JOCL. What is launched is decided in {@link
 * org.clnorm.plan}; {@code OpenClBackend} does it. No JOCL type leaves this package, except through {@code
 * org.clnorm.OpenClInterop}.
 */
package org.clnorm.opencl;
