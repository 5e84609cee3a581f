/** What the tools' reports are made of: markup, a page that needs nothing else, a file that appears whole. */
package org.clnorm.report;
