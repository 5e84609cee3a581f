/**
 * What is to be done on a device, decided before any device is asked: {@link org.clnorm.plan.DeviceFacts} and a {@link
 * org.clnorm.view.View} give a {@link org.clnorm.plan.Strategy}, those a {@link org.clnorm.plan.Geometry}, and a pass with
 * them its {@link org.clnorm.plan.Launch launches}. Pure functions of values; no class here touches JOCL.
 */
package org.clnorm.plan;
