/** Which strategy is the fastest on a device, by trying: candidates against the default, each checked before it may win. */
package org.clnorm.tune;
