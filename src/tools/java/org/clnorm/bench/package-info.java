/** How long the passes take against what the device's memory allows, measured side by side. */
package org.clnorm.bench;
