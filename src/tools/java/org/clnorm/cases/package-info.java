/** Cases: inputs and settings of a normalization in an {@code .npz} file, for run and compare. */
package org.clnorm.cases;
