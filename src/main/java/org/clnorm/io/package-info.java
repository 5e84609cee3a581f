/**
 * Arrays in files: {@code .npz} as NumPy writes it, and the cases made of it that the command line runs and compares.
 * Files are taken to be hostile: what they claim is checked against what they hold before memory is asked for.
 */
package org.clnorm.io;
