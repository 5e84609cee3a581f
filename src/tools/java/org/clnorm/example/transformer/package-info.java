/**
 * A pre-norm transformer block over the rows of an image, with layer or RMS normalization. Read {@code TransformerNetwork},
 * then {@code TransformerBlock}.
 */
package org.clnorm.example.transformer;
