/**
 * What the parts of a batch on several devices tell each other, as values for any transport: moments going forward, sums going
 * back. {@link org.clnorm.BatchNorm#forwardCombined} and {@link org.clnorm.BatchNorm#backwardCombined} use them.
 */
package org.clnorm.replicas;
