/** How an optimizer changes a parameter by its gradient: values, without a device; {@link org.clnorm.Optimizer} applies them. */
package org.clnorm.optim;
