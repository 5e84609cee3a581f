package org.clnorm.benchmark;

import org.clnorm.Layout;
import org.clnorm.Shape;

/** How a tensor (N, C, spatial...) lies in memory. */
enum Form {
    CHANNELS_FIRST("channels-first"),
    CHANNELS_LAST("channels-last"),
    /** Blocks of 16 channels: (N, C/16, spatial, 16), oneDNN's own. */
    BLOCKED("nChw16c");

    private final String label;

    Form(String label) {
        this.label = label;
    }

    boolean fits(Shape shape) {
        return switch (this) {
            case CHANNELS_FIRST -> true;
            case CHANNELS_LAST -> shape.rank() > 2;
            case BLOCKED -> shape.rank() == 4 && shape.channels() % 16 == 0;
        };
    }

    /** The layout of ours that this is; none for blocks. */
    Layout layout() {
        return this == CHANNELS_FIRST ? Layout.CHANNELS_FIRST : Layout.CHANNELS_LAST;
    }

    /** Where the value of sample n, channel c, position s lies. */
    int index(int n, int c, int s, int channels, int spatial) {
        return switch (this) {
            case CHANNELS_FIRST -> (n * channels + c) * spatial + s;
            case CHANNELS_LAST -> (n * spatial + s) * channels + c;
            case BLOCKED -> ((n * (channels / 16) + c / 16) * spatial + s) * 16 + c % 16;
        };
    }

    @Override
    public String toString() {
        return label;
    }
}
