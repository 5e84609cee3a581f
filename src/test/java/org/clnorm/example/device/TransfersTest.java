package org.clnorm.example.device;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaMethodCall;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.util.Random;
import java.util.stream.IntStream;
import org.clnorm.Device;
import org.clnorm.Parameter;
import org.clnorm.Tensor;
import org.clnorm.example.Digits;
import org.clnorm.example.conv.ConvNetwork;
import org.jocl.CL;
import org.junit.jupiter.api.Test;

final class TransfersTest {
    private static final int BATCH = 10;

    /** That a queue counts all there are. */
    @Test
    void transfers_ofTheNetworks_goThroughTheQueue() {
        DescribedPredicate<JavaMethodCall> transfer = DescribedPredicate.describe("a transfer", call -> {
            String name = call.getName();
            return call.getTargetOwner().isEquivalentTo(Tensor.class) && name.matches("(up|down)load.*")
                    || call.getTargetOwner().isEquivalentTo(Device.class) && name.matches("upload.*|vector")
                    || call.getTargetOwner().isEquivalentTo(Parameter.class) && name.equals("scaleGradient")
                    || call.getTargetOwner().isEquivalentTo(CL.class)
                            && name.matches("clEnqueue(Read|Write|Map|SVM).*|clCreateBuffer.*");
        });
        noClasses()
                .that()
                .doNotBelongToAnyOf(Queue.class)
                .should()
                .callMethodWhere(transfer)
                .check(new ClassFileImporter()
                        .withImportOption(location -> !location.contains("/test-classes/"))
                        .importPackages(
                                "org.clnorm.example.device",
                                "org.clnorm.example.conv",
                                "org.clnorm.example.transformer",
                                "org.clnorm.example.network"));
    }

    @Test
    void step_ofTheNetwork_takesPixelsAndLabelsToTheDeviceAndNothingBack() throws IOException {
        try (Queue queue = TestQueue.open()) {
            Digits.Split digits = Digits.bundled().range(0, 75).split();
            Part network = ConvNetwork.build(queue, BATCH, 28, 10, new Random(1));
            Trainer trainer = new Trainer(queue, network, digits, 10, new Plan(BATCH, 1, 0.01, 3));
            long uploads = queue.uploads();
            long downloads = queue.downloads();

            trainer.step(IntStream.range(0, BATCH).toArray(), 0, 0.1);

            assertThat(queue.uploads() - uploads).isEqualTo(2);
            assertThat(queue.downloads() - downloads).isZero();

            trainer.epoch(1, () -> {}); // 6 steps, and a test of 15 digits in two batches

            assertThat(queue.uploads() - uploads).isEqualTo(2 + 2 * (6 + 2));
            assertThat(queue.downloads() - downloads)
                    .as("the losses and hits, once after training and once after the test")
                    .isEqualTo(4);
        }
    }
}
