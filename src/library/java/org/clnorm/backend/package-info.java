/**
 * What a device can do, as the layers see it: memory, and the passes of a normalization. {@code org.clnorm.opencl} and
 * {@code org.clnorm.reference} each implement it; nothing here knows either.
 *
 * <p>The layers check arguments before they call; a backend may rely on every operand being of the right size, on the
 * right device and open, and on a batch not being empty.
 */
package org.clnorm.backend;
