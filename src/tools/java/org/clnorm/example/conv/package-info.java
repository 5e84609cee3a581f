/**
 * A small residual network: convolutions as matrix products, batch normalization with ReLU and with addition and ReLU. Read
 * {@code ConvNetwork} from its end to its beginning.
 */
package org.clnorm.example.conv;
