package org.clnorm.mpi;

/** What a process says as it is ended, when no exception of its own would reach anybody, nor a log that ends with it. */
final class LastWord {
    private LastWord() {}

    static void say(String word) {
        System.err.println("clnorm: " + word);
        System.err.flush();
    }
}
