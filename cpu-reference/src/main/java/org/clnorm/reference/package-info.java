/**
 * Normalization in double precision on the CPU, written to be read: what the kernels are compared with, and what runs
 * where there is no OpenCL device. It shares the vocabulary of {@code org.clnorm} with the kernels and nothing else.
 */
package org.clnorm.reference;
