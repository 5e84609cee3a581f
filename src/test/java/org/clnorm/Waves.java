package org.clnorm;

/**
 * Data of any length whose normalization is known exactly. x is a mean and ± a deviation of its channel, dy the sum of a
 * constant, of what goes with x, and of a wave that is orthogonal to both; so
 *
 * <pre>
 *   x̂ = ± deviation/√(deviation² + ε)      dβ = m·CONSTANT      dγ = m·WITH_X·|x̂|
 *   dx = (wave + WITH_X·(± 1)·(1 − x̂²))/√(deviation² + ε)
 * </pre>
 *
 * <p>They come in chunks in the order of memory, each of which is whole periods of all channels that it has. The chunks of the
 * four quarters of a tensor differ, in the sign of x and in the height of the wave, so that one that was read or written in
 * another's place shows.
 */
final class Waves {
    /** In dy. */
    static final double CONSTANT = 0.125;

    /** In dy, times the sign that x has. */
    static final double WITH_X = 0.5;

    /** The layers' own. */
    private static final double EPSILON = 1e-5;

    private final int channels;
    private final int length;
    private final Layout layout;

    private Waves(int channels, int length, Layout layout) {
        this.channels = channels;
        this.length = length;
        this.layout = layout;
    }

    /**
     * Of channels with a mean and a deviation of their own.
     *
     * @param spatial elements of a channel in a chunk, a multiple of 4
     */
    static Waves ofChannels(int channels, int spatial, Layout layout) {
        return new Waves(channels, channels * spatial, layout);
    }

    /** All of one group, or of groups that are alike. */
    static Waves ofOne(int length) {
        return new Waves(1, length, Layout.CHANNELS_FIRST);
    }

    /** Elements of a chunk. */
    int length() {
        return length;
    }

    double deviation(int channel) {
        return 1 + channel % channels % 2;
    }

    /** 1/√(deviation² + ε). */
    double inverse(int channel) {
        double deviation = deviation(channel);
        return 1 / Math.sqrt(deviation * deviation + EPSILON);
    }

    float x(int quarter, int i) {
        int channel = channel(i);
        return (float) (3 + channel % 4 + deviation(channel) * sign(quarter, i));
    }

    float y(int quarter, int i) {
        int channel = channel(i);
        return (float) (deviation(channel) * inverse(channel) * sign(quarter, i));
    }

    float dy(int quarter, int i) {
        return (float) (CONSTANT + WITH_X * sign(quarter, i) + wave(quarter, i));
    }

    float dx(int quarter, int i) {
        int channel = channel(i);
        double normalized = deviation(channel) * inverse(channel);
        double withX = WITH_X * sign(quarter, i) * (1 - normalized * normalized);
        return (float) ((wave(quarter, i) + withX) * inverse(channel));
    }

    private int channel(int i) {
        return layout == Layout.CHANNELS_LAST ? i % channels : i / (length / channels);
    }

    /** Of an element among those of its channel. */
    private int place(int i) {
        return layout == Layout.CHANNELS_LAST ? i / channels : i % (length / channels);
    }

    private int sign(int quarter, int i) {
        return ((place(i) + quarter) & 1) == 0 ? 1 : -1;
    }

    private double wave(int quarter, int i) {
        return ((place(i) & 2) == 0 ? 0.25 : -0.25) * (1 + quarter);
    }
}
