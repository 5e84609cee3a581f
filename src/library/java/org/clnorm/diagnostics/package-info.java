/**
 * What goes on inside a batch normalization in training: statistics that drift, channels that died, numbers that are
 * not finite.
 */
package org.clnorm.diagnostics;
