package org.clnorm;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells the log what was dropped without being closed: one warning for each place where such objects were made, with
 * their number, and another one when there are ten times as many.
 */
final class Leaks {
    private static final Logger log = LoggerFactory.getLogger(Leaks.class);

    /** The garbage collector finds many at once, which are to be counted before they are reported. */
    private static final Executor LATER = CompletableFuture.delayedExecutor(100, TimeUnit.MILLISECONDS);

    private static final class Place {
        final String where;
        /** The first of them. */
        final String what;

        long count;
        long nextReport = 1;
        boolean isToBeReported;

        Place(String where, String what) {
            this.where = where;
            this.what = what;
        }
    }

    private final Map<String, Place> places = new HashMap<>();

    synchronized void add(String what, StackWalker.StackFrame madeAt) {
        Place place = places.computeIfAbsent(madeAt.toString(), where -> new Place(where, what));
        place.count++;
        if (place.count >= place.nextReport && !place.isToBeReported) {
            place.isToBeReported = true;
            LATER.execute(() -> report(place));
        }
    }

    private synchronized void report(Place place) {
        place.isToBeReported = false;
        place.nextReport = 10 * place.count;
        if (place.count == 1) {
            log.warn("Leaked: {} made at {} was never closed", place.what, place.where);
        } else {
            log.warn(
                    "Leaked: {} objects made at {} were never closed, the first of them {}",
                    place.count,
                    place.where,
                    place.what);
        }
    }
}
