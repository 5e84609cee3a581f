package org.clnorm.state;

import java.io.IOException;

/** Work that needs Gson, a dependency that is optional: who has no use for JSON can do without. */
final class WithGson {
    /** The work that is done. */
    interface Work<T> {
        T get() throws IOException;
    }

    private WithGson() {}

    /** @throws IllegalStateException when Gson is not there, or too old; the message says what to add */
    static <T> T get(String what, Work<T> work) throws IOException {
        try {
            return work.get();
        } catch (LinkageError e) {
            throw new IllegalStateException(
                    what + " needs Gson 2.11 or newer: add com.google.code.gson:gson to the project's dependencies ("
                            + e + ")",
                    e);
        }
    }
}
