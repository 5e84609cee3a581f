package org.clnorm.study;

/** What a network is being used for. */
enum Mode {
    /** With the batch's own statistics, which enter the running ones, and with dropout. */
    TRAIN,
    /** With running statistics. */
    EVAL,
    /** With the statistics of the batch at hand, which leave the running ones as they are. */
    ADAPTED
}
