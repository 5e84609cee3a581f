/** Batch normalization for inference without batch normalization: as part of the layer before it or after it. */
package org.clnorm.folding;
