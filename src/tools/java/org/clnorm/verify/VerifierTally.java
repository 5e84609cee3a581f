package org.clnorm.verify;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.clnorm.verify.CaseResult.Share;
import org.clnorm.verify.VerifyReport.Failure;
import org.clnorm.verify.VerifyReport.Row;
import org.clnorm.verify.VerifyReport.Verdict;

/** The results of cases, added up for each kernel and strategy. In what order they come makes no difference. */
final class VerifierTally {
    /** What is known of a kernel under a strategy so far. */
    private record Sum(int cases, Share worst) {
        Row row(String strategy) {
            Verdict verdict = cases == 0 ? Verdict.NOT_RUN : worst.failed() ? Verdict.FAIL : Verdict.PASS;
            return new Row(worst.kernel(), strategy, cases, worst.error(), worst.bound(), worst.array(), verdict);
        }
    }

    private final Map<String, Map<String, Sum>> sums = new LinkedHashMap<>();
    private final Map<String, Map<Integer, List<Failure>>> failures = new LinkedHashMap<>();
    private int results;

    /** Says that a strategy must launch a kernel in some case. */
    void expect(String strategy, Iterable<String> kernels) {
        Map<String, Sum> of = sums.computeIfAbsent(strategy, name -> new LinkedHashMap<>());
        kernels.forEach(kernel -> of.putIfAbsent(kernel, new Sum(0, new Share(kernel))));
        failures.computeIfAbsent(strategy, name -> new TreeMap<>());
    }

    void add(CaseResult result) {
        expect(result.strategy(), List.of());
        Map<String, Sum> of = sums.get(result.strategy());
        for (Share share : result.shares()) {
            of.merge(share.kernel(), new Sum(1, share), (sum, one) -> new Sum(sum.cases + 1, sum.worst.and(share)));
        }
        failures.get(result.strategy()).put(result.index(), result.failures());
        results++;
    }

    /** How many were added. */
    int results() {
        return results;
    }

    List<Row> rows() {
        List<Row> rows = new ArrayList<>();
        sums.forEach((strategy, of) -> of.values().forEach(sum -> rows.add(sum.row(strategy))));
        return rows;
    }

    /** In the order of strategies and cases. */
    List<Failure> failures() {
        return failures.values().stream()
                .flatMap(of -> of.values().stream())
                .flatMap(List::stream)
                .toList();
    }
}
