/** Where the elements of a group lie in memory: pure values that a strategy is chosen by and a kernel is told. */
package org.clnorm.view;
