/**
 * What networks are made of whose every tensor stays on the device: a queue that the example's own kernels, CLBlast and
 * clnorm share, parts with a forward and a backward pass, the loss, the optimizer, and the loop around them.
 *
 * <p>Read {@code Queue} first, then {@code Part} and {@code Dense}, and {@code Normalization}, which is all there is to
 * know about clnorm. {@code Trainer} is the loop.
 */
package org.clnorm.example.device;
