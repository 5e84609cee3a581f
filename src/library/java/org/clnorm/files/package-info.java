/** Files that are written whole or not at all, by everything here that writes one. */
package org.clnorm.files;
