package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.clnorm.opencl.KernelCatalogue.Entry;
import org.junit.jupiter.api.Test;

class KernelSourceTest {
    @Test
    void read_everySource_hasEveryIncludeInItsPlaceOnce() {
        for (Entry entry : KernelCatalogue.entries()) {
            String text = KernelSource.read(entry.source());

            assertThat(text).as(entry.source()).doesNotContain("#include");
            assertThat(text.split("#ifndef VECTORS_CLH\n", -1))
                    .as(entry.source())
                    .hasSize(2);
        }
    }

    @Test
    void read_missingFile_isNamed() {
        assertThatThrownBy(() -> KernelSource.read("none.cl"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("none.cl");
    }
}
