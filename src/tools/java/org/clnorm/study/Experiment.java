package org.clnorm.study;

/** One claim, and how it is put to the test. */
interface Experiment {
    /** A word to call it by on the command line. */
    String name();

    /** The heading. */
    String title();

    /** The claim as it is told. */
    String claim();

    /** Who says so, or where its formula is from. */
    String source();

    /** What is done, with the sizes. */
    String method(Lab lab);

    /** Does it. */
    Finding run(Lab lab);
}
