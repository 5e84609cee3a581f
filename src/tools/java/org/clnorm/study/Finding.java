package org.clnorm.study;

import java.util.List;

/**
 * What an experiment found.
 *
 * @param plots its figures
 * @param checks the parts of the claim against its numbers
 */
record Finding(List<Plot> plots, List<Check> checks) {
    Verdict verdict() {
        return Verdict.of(checks);
    }
}
