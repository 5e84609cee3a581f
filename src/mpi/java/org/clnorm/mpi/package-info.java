/**
 * Training on several devices, each with a part of every batch: a {@link org.clnorm.mpi.Group} of ranks, which are threads of
 * one process or processes of an MPI job, and {@link org.clnorm.mpi.DataParallel}, which makes batch normalization and
 * gradients those of the whole batch.
 *
 * <pre>{@code
 * try (Device device = Device.open();
 *         DataParallel all = new DataParallel(Groups.mpi(Duration.ofSeconds(60)));
 *         BatchNorm norm = BatchNorm.builder(64).build(device)) {
 *     SyncBatchNorm synced = all.synchronize(norm);
 *     GradientSum gradients = all.gradientsOf(norm.parameters());
 *     ...
 *     synced.forward(x, y);
 *     synced.backward(dy, dx);
 *     gradients.average();
 * }
 * }</pre>
 *
 * <p>Every rank makes the same calls in the same order. What differs between them ends in a {@link
 * org.clnorm.mpi.GroupException} on every rank, and a rank that is missing in one on every other.
 */
package org.clnorm.mpi;
