package org.clnorm.plan;

import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.function.BiPredicate;
import java.util.function.Function;
import java.util.function.Predicate;
import org.clnorm.backend.Operand;
import org.clnorm.plan.ReduceFoldApply.Steps;
import org.clnorm.view.View;

/**
 * A kind of pass: which launches it takes and what decides that. Kinds are told apart by identity.
 *
 * @param chosenBy what its strategy is chosen by, besides its view; null where it is not chosen
 * @param view what a pass goes over
 * @param byElement whether γ and β go by the element of a row
 * @param tensors the places whose alignment decides how the elements are gone over
 * @param alike whether two passes take the same launches, if they have the same operands, wherever these lie; allocates
 *     nothing
 * @param place puts the operands that a pass has in their places; allocates nothing
 * @param steps the launches
 */
public record PassKind<P>(
        Pass chosenBy,
        Function<P, View> view,
        Predicate<P> byElement,
        List<Place> tensors,
        BiPredicate<P, P> alike,
        BiConsumer<P, Operand[]> place,
        BiFunction<P, ReduceFoldApply, Steps> steps) {}
