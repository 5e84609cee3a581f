package org.clnorm.study;

import java.util.Random;

/**
 * Random filters over square images: a convolution whose weights nobody trains.
 *
 * @param side pixels along an edge of an image
 * @param count how many filters
 * @param weights (count, 3, 3)
 */
record Filters(int side, int count, float[] weights) {
    private static final int SIZE = 3;

    static Filters random(int side, int count, Random random) {
        return new Filters(side, count, Noise.gaussian(count * SIZE * SIZE, 0, 1.0 / SIZE, random));
    }

    /** Pixels along an edge of a map. */
    int mapSide() {
        return side - SIZE + 1;
    }

    /** (images, count, mapSide, mapSide) of (images, side, side). */
    float[] apply(float[] images) {
        int n = images.length / (side * side);
        int out = mapSide();
        float[] maps = new float[n * count * out * out];
        for (int at = 0; at < maps.length; at++) {
            int column = at % out;
            int row = at / out % out;
            int filter = at / (out * out) % count;
            int from = at / (out * out * count) * side * side + row * side + column;
            float sum = 0;
            for (int k = 0; k < SIZE * SIZE; k++) {
                sum += weights[filter * SIZE * SIZE + k] * images[from + k / SIZE * side + k % SIZE];
            }
            maps[at] = sum;
        }
        return maps;
    }

    /** ReLU, then means over squares of so many pixels along an edge, which divides the map's. */
    static float[] reluAndPool(float[] maps, int mapSide, int block) {
        int out = mapSide / block;
        float[] pooled = new float[maps.length / (block * block)];
        for (int at = 0; at < maps.length; at++) {
            int column = at % mapSide / block;
            int row = at / mapSide % mapSide / block;
            int map = at / (mapSide * mapSide);
            pooled[(map * out + row) * out + column] += Math.max(0, maps[at]) / (block * block);
        }
        return pooled;
    }
}
