/** Somebody's own OpenCL kernel, checked against the reference: what it is handed by, what it must give, what is likely wrong. */
package org.clnorm.check;
