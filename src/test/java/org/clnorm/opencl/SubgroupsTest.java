package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.Layout;
import org.clnorm.Shape;
import org.clnorm.plan.Strategy;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The trees over sub-groups, with sub-groups made of local memory, since most devices that tests run on have none. What
 * is not tested so is one line: the shuffle itself.
 */
class SubgroupsTest {
    /**
     * Segments and, the other way round, columns; one group to a work-group, teams of several sub-groups, and several teams
     * to a sub-group, the last work-group with fewer.
     */
    private static final List<Shape> SHAPES =
            List.of(Shape.of(6, 8, 5, 5), Shape.of(6, 70, 5, 5), Shape.of(3, 130, 2, 2));

    @ParameterizedTest
    @CsvSource({"gpu-cached,8", "gpu-split,32"})
    void trees_overSubgroups_giveTheBitsOfTreesInLocalMemory(String name, int size) {
        OpenCl.Candidate device = DefaultDevice.candidate();
        Strategy plain = Strategy.named(name, device.facts()).withLanguage(Strategy.PLAIN_LANGUAGE);
        Strategy emulated = plain.withLanguage("-cl-std=CL1.2 -DSUBGROUPS=" + size);

        assertThat(bits(device, emulated))
                .as("the order of a sum is that of the items' numbers, whatever the tree goes through")
                .isEqualTo(bits(device, plain));
    }

    private static List<Integer> bits(OpenCl.Candidate device, Strategy strategy) {
        List<Integer> bits = new ArrayList<>();
        try (OpenClBackend backend = device.openUnder(strategy)) {
            for (Shape shape : SHAPES) {
                for (Layout layout : Layout.values()) {
                    try (TrainingStep step = new TrainingStep(backend, shape, layout, 1)) {
                        step.enqueue();
                        bits.add(step.bits());
                    }
                }
            }
        }
        return bits;
    }
}
