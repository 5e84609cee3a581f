package org.clnorm.bench;

import static org.assertj.core.api.Assertions.assertThat;

import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.bench.Workload.Direction;
import org.clnorm.bench.Workload.Fusion;
import org.junit.jupiter.api.Test;

final class BenchTest {
    @Test
    void minimalBytes_ofEachPass_countsEachTensorOnce() {
        for (Direction direction : Direction.values()) {
            int tensors = direction == Direction.BACKWARD ? 3 : 2;
            int withResidual = direction == Direction.BACKWARD ? 5 : 3;
            assertThat(bytes(direction, Fusion.NONE)).isEqualTo(tensors * 4L * 120);
            assertThat(bytes(direction, Fusion.RELU)).isEqualTo(tensors * 4L * 120);
            assertThat(bytes(direction, Fusion.ADD_RELU)).isEqualTo(withResidual * 4L * 120);
        }
    }

    private static long bytes(Direction direction, Fusion fusion) {
        return new Workload(direction, Shape.of(2, 3, 4, 5), Layout.CHANNELS_LAST, fusion).minimalBytes();
    }

    @Test
    void rotationBytes_largeCaches_areOutrunWhereThereIsRoom() {
        long mebi = 1L << 20;
        assertThat(Bench.rotationBytes(32 * mebi, 5000 * mebi)).isEqualTo(320 * mebi);
        assertThat(Bench.rotationBytes(256 * mebi, 100_000 * mebi)).isEqualTo(1024 * mebi);
        assertThat(Bench.rotationBytes(256 * mebi, 4000 * mebi)).isEqualTo(500 * mebi);
    }

    @Test
    void median_oddAndEven_isInTheMiddleWhateverTheOrder() {
        assertThat(Bench.median(new double[] {9, 1, 5})).isEqualTo(5);
        assertThat(Bench.median(new double[] {4, 9, 1, 2})).isEqualTo(3);
    }
}
