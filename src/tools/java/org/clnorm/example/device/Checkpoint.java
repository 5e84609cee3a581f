package org.clnorm.example.device;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.clnorm.Optimizer;
import org.clnorm.files.WholeFile;
import org.clnorm.state.Safetensors;
import org.clnorm.state.StateDict;

/**
 * A training as it is after an epoch, in a file: weights, running statistics and the optimizer's state, and what was trained
 * how. The file appears whole or not at all, so that an interrupt leaves that of this epoch or that of the last one.
 */
public final class Checkpoint {
    private static final String EPOCH = "epoch";

    private final Path file;
    private final Map<String, String> facts;

    /**
     * @param facts what a training is to have in common with the one that it goes on with, by name
     * @throws IOException when the file cannot be written
     */
    public Checkpoint(Path file, Map<String, String> facts) throws IOException {
        this.file = file;
        this.facts = new TreeMap<>(facts);
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) {
            Files.createDirectories(folder);
        }
        WholeFile.at(file);
    }

    /** Writes what there is after an epoch, in the place of what was in the file. */
    public void write(int epoch, Part network, Optimizer optimizer) throws IOException {
        Map<String, String> metadata = new TreeMap<>(facts);
        metadata.put(EPOCH, Integer.toString(epoch));
        StateDict state = network.state()
                .withPrefix("network")
                .merge(optimizer.stateDict().withPrefix("optimizer"));
        Safetensors.write(file, state, metadata);
    }

    /**
     * Goes on from what is in the file.
     *
     * @return after which epoch it was written
     * @throws IOException when it cannot be read
     * @throws IllegalArgumentException when it is of another training; the message says in what
     */
    public int resume(Part network, Optimizer optimizer) throws IOException {
        int epoch;
        try (Safetensors reader = Safetensors.open(file)) {
            epoch = epoch(reader.metadata());
        }
        StateDict state = Safetensors.read(file);
        network.load(state.under("network"));
        optimizer.loadState(state.under("optimizer"));
        return epoch;
    }

    private int epoch(Map<String, String> metadata) {
        facts.forEach((name, wanted) -> {
            String there = metadata.get(name);
            if (!wanted.equals(there)) {
                throw new IllegalArgumentException(file + " cannot be resumed: its " + name + " is "
                        + (there == null ? "unknown" : there) + ", but here it is " + wanted);
            }
        });
        try {
            return Integer.parseInt(metadata.getOrDefault(EPOCH, ""));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                    file + " cannot be resumed: it does not say after which epoch it was", e);
        }
    }
}
