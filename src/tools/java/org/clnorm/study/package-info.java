/**
 * What is told of batch normalization, measured: one experiment for each claim, with a figure and a verdict from its
 * numbers.
 */
package org.clnorm.study;
