package org.clnorm.verify;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.clnorm.DataType;
import org.clnorm.verify.Verifier.Extent;

/** A case of {@code verify} under a strategy, by its place among those of elements of a type. */
record KernelTrial(String strategy, DataType type, int index) {
    /** Under which elements of 16 bits are tried, which the same functions read and write everywhere. */
    private static final Set<String> OF_16_BITS = Set.of("cpu-split", "gpu-split");

    /** All that {@code verify} runs with float32; with 16 bits the quick cases of batch normalization. */
    static List<KernelTrial> all(String strategy) {
        List<KernelTrial> all = new ArrayList<>();
        for (DataType type : DataType.values()) {
            List<VerifierCase> cases = extent(type).cases(strategy);
            for (int i = 0; i < cases.size(); i++) {
                if (type == DataType.FLOAT32
                        || OF_16_BITS.contains(strategy) && cases.get(i).isPlain()) {
                    all.add(new KernelTrial(strategy, type, i));
                }
            }
        }
        return all;
    }

    static Extent extent(DataType type) {
        return new Extent(type != DataType.FLOAT32, type);
    }

    @Override
    public String toString() {
        return strategy + " " + type.name() + " " + index;
    }

    static KernelTrial parse(String words) {
        String[] parts = words.split(" ");
        return new KernelTrial(parts[0], DataType.valueOf(parts[1]), Integer.parseInt(parts[2]));
    }
}
