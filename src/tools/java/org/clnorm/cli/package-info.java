/** The commands of the runnable jar. Only {@link org.clnorm.cli.Main} is for others. */
package org.clnorm.cli;
