package org.clnorm.plan;

import static org.clnorm.plan.Argument.named;

import java.util.List;
import org.clnorm.backend.Operand;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.view.View;

/** A copy of so many elements. Its view is of whole lines, the last of which may be a part of one. */
public record Copy(Operand from, Operand to, long count, Strategy strategy) {
    public static final PassKind<Copy> KIND = new PassKind<>(
            null,
            copy -> new View.Columnar(16, (copy.count + 15) / 16, 1),
            copy -> false,
            List.of(),
            (one, other) -> one.count == other.count && one.strategy.equals(other.strategy),
            (copy, places) -> {
                Place.FROM.put(copy.from, places);
                Place.TO.put(copy.to, places);
            },
            (copy, over) -> {
                long perSlice = Geometry.flatPerSlice(copy.strategy, copy.count, over.computeUnits());
                long workGroups = (copy.count + perSlice - 1) / perSlice;
                return new Steps(over.launch(
                        "copy",
                        "",
                        workGroups,
                        named("x", Place.FROM),
                        named("y", Place.TO),
                        named("elements", copy.count),
                        named("per_slice", perSlice)));
            });
}
