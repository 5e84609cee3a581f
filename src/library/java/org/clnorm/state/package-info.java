/**
 * Arrays in files: {@code .npz} as NumPy writes it, and safetensors, both also for the state of layers, by the names of
 * PyTorch, Keras, ONNX or DL4J.
 *
 * <p>Files are taken to be hostile: what they claim is checked against what they hold before memory is asked for.
 */
package org.clnorm.state;
