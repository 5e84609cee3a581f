package org.clnorm.mpi;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A text in a fixed number of numbers, each with a few bytes as a whole number, which goes through anything unchanged. */
final class Words {
    private static final int NUMBERS = 300;
    private static final int BYTES_EACH = 6;

    private Words() {}

    /** The text, cut to what fits. */
    static double[] toNumbers(String text) {
        byte[] bytes = Arrays.copyOf(text.getBytes(StandardCharsets.UTF_8), NUMBERS * BYTES_EACH);
        double[] numbers = new double[NUMBERS];
        for (int i = 0; i < NUMBERS; i++) {
            long number = 0;
            for (int b = 0; b < BYTES_EACH; b++) {
                number = (number << Byte.SIZE) | (bytes[i * BYTES_EACH + b] & 0xff);
            }
            numbers[i] = number;
        }
        return numbers;
    }

    static String of(double[] numbers) {
        byte[] bytes = new byte[numbers.length * BYTES_EACH];
        for (int i = 0; i < numbers.length; i++) {
            long number = (long) numbers[i];
            for (int b = BYTES_EACH - 1; b >= 0; b--) {
                bytes[i * BYTES_EACH + b] = (byte) number;
                number >>= Byte.SIZE;
            }
        }
        int length = bytes.length;
        while (length > 0 && bytes[length - 1] == 0) {
            length--;
        }
        return new String(bytes, 0, length, StandardCharsets.UTF_8);
    }
}
