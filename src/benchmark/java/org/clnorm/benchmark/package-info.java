/** Normalizations side by side with other libraries, on one CPU and in one process. */
package org.clnorm.benchmark;
