package org.clnorm.cli;

import java.nio.file.Path;
import java.time.Duration;
import org.clnorm.example.Norm;
import org.clnorm.example.device.Plan;
import org.clnorm.example.network.NetworkExample;
import org.clnorm.example.network.NetworkKind;
import org.clnorm.mpi.DataParallel;
import org.clnorm.mpi.Groups;
import picocli.CommandLine.Option;

/** The options of {@code train} that are for networks on the device. */
final class NetworkOptions {
    private static final int EPOCHS = 12;
    private static final int BATCH = 50;

    /** What mpirun says to each of the processes that it starts. */
    private static final String RANKS = "OMPI_COMM_WORLD_SIZE";

    @Option(
            names = "--network",
            paramLabel = "NAME",
            description = {
                "Another network: ${COMPLETION-CANDIDATES}.",
                "conv is residual, with batch normalization. transformer is a pre-norm block over the rows of the image,"
                        + " with layer or RMS normalization. Both need an OpenCL device. Under Open MPI's mpirun, each process"
                        + " trains with its part of every batch."
            })
    private NetworkKind kind;

    @Option(
            names = "--rate",
            paramLabel = "RATE",
            description =
                    "The learning rate with --network, which half an epoch rises to, and which then halves every few"
                            + " epochs. Default: 0.01 for conv, 0.005 for transformer.")
    private Double rate;

    @Option(
            names = "--checkpoint",
            paramLabel = "FILE",
            description = "Where --network keeps the training after every epoch, whole or not at all. Default:"
                    + " target/NAME.safetensors.")
    private Path checkpoint;

    @Option(
            names = "--resume",
            description = "Goes on after the last epoch in the checkpoint, to the same numbers as without the"
                    + " interruption.")
    private boolean resume;

    @Option(
            names = "--deadline",
            paramLabel = "SECONDS",
            defaultValue = "300",
            description =
                    "How long a process of an MPI job waits for the others, compilations included, before all end."
                            + " Default: ${DEFAULT-VALUE}.")
    private int deadline;

    boolean isGiven() {
        return kind != null;
    }

    void checkUnused() {
        if (rate != null || checkpoint != null || resume) {
            throw new IllegalArgumentException("--rate, --checkpoint and --resume are for --network");
        }
    }

    /** Those who train together, where this process is one of an MPI job; else null. */
    DataParallel ranks() {
        if (System.getenv(RANKS) == null) {
            return null;
        }
        return new DataParallel(Groups.mpi(Duration.ofSeconds(deadline)));
    }

    /** The training; null stands for what was not said. */
    NetworkExample example(Norm norm, Integer epochs, Integer batch, long seed) {
        return new NetworkExample(
                kind,
                norm == null ? kind.norms().get(0) : norm,
                epochs == null ? EPOCHS : epochs,
                new Plan(batch == null ? BATCH : batch, seed, rate == null ? kind.rate() : rate, kind.halving()),
                checkpoint == null ? Path.of("target", kind + ".safetensors") : checkpoint,
                resume);
    }
}
