/** The networks that {@code train --network} trains, and what it prints of it. */
package org.clnorm.example.network;
