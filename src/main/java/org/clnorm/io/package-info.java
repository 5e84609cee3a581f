/**
 * Arrays in files: {@code .npz} as NumPy writes it, the cases made of it that the command line runs and compares, and
 * safetensors, for the state of layers.
 * Files are taken to be hostile: what they claim is checked against what they hold before memory is asked for.
 */
package org.clnorm.io;
