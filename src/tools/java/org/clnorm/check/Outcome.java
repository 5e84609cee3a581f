package org.clnorm.check;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.util.List;

/**
 * What came of a case.
 *
 * @param where the shape, in a few words
 * @param data what its numbers were like
 * @param errors of the arrays that were written
 * @param problems what is wrong; empty where nothing is
 */
public record Outcome(String where, Data data, List<Deviation> errors, List<Problem> problems) {
    static final Gson GSON =
            new GsonBuilder().serializeSpecialFloatingPointValues().create();

    /**
     * How far an array is off.
     *
     * @param array its name
     * @param error what its worst element is off by
     * @param bound what that element may be off by
     */
    public record Deviation(String array, double error, double bound) {
        /** The error over the bound: more than 1 fails. */
        public double ofBound() {
            return error == 0 ? 0 : error / bound;
        }
    }

    /** Whether nothing is wrong. */
    public boolean passed() {
        return problems.isEmpty();
    }

    String toJson() {
        return GSON.toJson(this);
    }

    static Outcome fromJson(String json) {
        return GSON.fromJson(json, Outcome.class);
    }

    @Override
    public String toString() {
        return where + " " + data;
    }
}
