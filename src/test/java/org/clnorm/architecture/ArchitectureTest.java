package org.clnorm.architecture;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.belongToAnyOf;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.GeneralCodingRules.ACCESS_STANDARD_STREAMS;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.ArchRule;
import org.clnorm.Activation;
import org.clnorm.DataType;
import org.clnorm.DeviceInfo;
import org.clnorm.HalfFloat;
import org.clnorm.Layout;
import org.clnorm.NonFiniteException;
import org.clnorm.NonFinitePolicy;
import org.clnorm.OpenClInterop;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.Shape;
import org.clnorm.replicas.ChannelMoments;
import org.clnorm.replicas.GradientSums;
import org.junit.jupiter.api.Test;

/**
 * Who may know whom:
 *
 * <pre>cli → study → example; cli → example, tune, check, verify, bench → layers (the root package) → opencl → plan, and reference → backend, view → vocabulary; mpi → layers; testing → check</pre>
 *
 * <p>A rule that no class is subject to fails (ArchUnit's {@code archRule.failOnEmptyShould}), so that a package that is
 * renamed does not take its rule with it.
 */
final class ArchitectureTest {
    private static final String ALL = "org.clnorm..";
    private static final String ROOT = "org.clnorm";
    private static final String OPENCL = "org.clnorm.opencl..";
    private static final String PLAN = "org.clnorm.plan..";
    private static final String REFERENCE = "org.clnorm.reference..";
    private static final String BACKEND = "org.clnorm.backend..";
    private static final String VIEW = "org.clnorm.view..";
    private static final String FOLDING = "org.clnorm.folding..";
    private static final String DIAGNOSTICS = "org.clnorm.diagnostics..";
    private static final String FILES = "org.clnorm.files..";
    private static final String OPTIM = "org.clnorm.optim..";
    private static final String REPLICAS = "org.clnorm.replicas..";
    private static final String STATE = "org.clnorm.state..";
    private static final String VERIFY = "org.clnorm.verify..";
    private static final String BENCH = "org.clnorm.bench..";
    private static final String TUNE = "org.clnorm.tune..";
    private static final String EXAMPLE = "org.clnorm.example..";
    private static final String STUDY = "org.clnorm.study..";
    private static final String DEVICE_EXAMPLE = "org.clnorm.example.device";
    private static final String NETWORKS = "org.clnorm.example.network";
    private static final String CASES = "org.clnorm.cases..";
    private static final String CHECK = "org.clnorm.check..";
    private static final String REPORT = "org.clnorm.report..";
    private static final String CLI = "org.clnorm.cli..";
    private static final String MPI = "org.clnorm.mpi..";
    private static final String TESTING = "org.clnorm.testing..";

    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(location -> !location.contains("/test-classes/"))
            .importPackages(ROOT);

    /** The words that every layer of the code speaks. */
    private static final DescribedPredicate<JavaClass> VOCABULARY = orArraysOf(belongToAnyOf(
                            Shape.class,
                            Layout.class,
                            DataType.class,
                            HalfFloat.class,
                            Activation.class,
                            RunningAverage.class,
                            RunningVariance.class,
                            NonFinitePolicy.class,
                            NonFiniteException.class,
                            ChannelMoments.class,
                            GradientSums.class,
                            DeviceInfo.class)
                    .or(resideInAPackage(OPTIM)))
            .as("the vocabulary");

    private static final DescribedPredicate<JavaClass> INTEROP_DOOR =
            belongToAnyOf(OpenClInterop.class).as("the interop door");

    /** An enum's values() has an array of it, which is no class of the package to ArchUnit. */
    private static DescribedPredicate<JavaClass> orArraysOf(DescribedPredicate<JavaClass> predicate) {
        return describe("or arrays of them", javaClass -> predicate.test(javaClass.getBaseComponentType()));
    }

    /** Ours, but neither the vocabulary nor in the given packages. */
    private static DescribedPredicate<JavaClass> oursOutside(String... packages) {
        return resideInAPackage(ALL)
                .and(not(VOCABULARY))
                .and(not(orArraysOf(resideInAnyPackage(packages))))
                .as("of this project, outside of the vocabulary and %s", String.join(", ", packages));
    }

    private static void check(ArchRule rule) {
        rule.check(CLASSES);
    }

    private static ArchRule joclIsKnownTo(DescribedPredicate<JavaClass> allowed) {
        return noClasses()
                .that(not(allowed))
                .should()
                .dependOnClassesThat()
                .resideInAPackage("org.jocl..")
                .because("a program without OpenCL must be able to load everything else");
    }

    @Test
    void jocl_outsideOfTheBackend_isKnownToTheInteropDoorItsExampleAndTheCheckOfKernelsOnly() {
        check(joclIsKnownTo(resideInAnyPackage(OPENCL, DEVICE_EXAMPLE, CHECK).or(INTEROP_DOOR)));
    }

    @Test
    void vocabulary_asItIs_knowsNothingElse() {
        check(noClasses()
                .that(VOCABULARY)
                .should()
                .dependOnClassesThat(resideInAPackage(ALL).and(not(VOCABULARY))));
        check(classes()
                .that(VOCABULARY)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", ROOT, REPLICAS, OPTIM));
    }

    @Test
    void backends_asTheyAre_doNotKnowEachOther() {
        check(noClasses()
                .that()
                .resideInAPackage(OPENCL)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(REFERENCE));
        check(noClasses()
                .that()
                .resideInAPackage(REFERENCE)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(OPENCL));
    }

    @Test
    void reference_asItIs_hasNoViewInCommonWithTheKernels() {
        check(noClasses()
                .that()
                .resideInAPackage(REFERENCE)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(VIEW)
                .because("a reference that shares a view or a formula with the kernels shares their errors"));
    }

    @Test
    void backends_asTheyAre_knowOnlyWhatIsBelowThem() {
        check(noClasses()
                .that()
                .resideInAnyPackage(OPENCL, REFERENCE)
                .should()
                .dependOnClassesThat(oursOutside(OPENCL, PLAN, REFERENCE, BACKEND, VIEW, FILES)));
    }

    @Test
    void backendInterfaceAndViews_asTheyAre_knowTheVocabularyOnly() {
        check(noClasses().that().resideInAnyPackage(BACKEND).should().dependOnClassesThat(oursOutside(BACKEND)));
        check(noClasses().that().resideInAnyPackage(VIEW).should().dependOnClassesThat(oursOutside(VIEW)));
        check(classes()
                .that()
                .resideInAnyPackage(BACKEND, VIEW)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", ALL));
    }

    /** It decides, and is tested without a device. */
    @Test
    void plan_asItIs_knowsWhereGroupsLieAndNoDevice() {
        check(noClasses().that().resideInAPackage(PLAN).should().dependOnClassesThat(oursOutside(PLAN, BACKEND, VIEW)));
        check(classes()
                .that()
                .resideInAPackage(PLAN)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", ALL));
    }

    @Test
    void layers_asTheyAre_knowNoTools() {
        check(noClasses()
                .that()
                .resideInAPackage(ROOT)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        PLAN,
                        VIEW,
                        FOLDING,
                        DIAGNOSTICS,
                        CASES,
                        VERIFY,
                        BENCH,
                        TUNE,
                        CHECK,
                        EXAMPLE,
                        STUDY,
                        REPORT,
                        CLI));
    }

    @Test
    void files_asTheyAre_knowTheVocabularyOnly() {
        check(noClasses().that().resideInAPackage(STATE).should().dependOnClassesThat(oursOutside(STATE, FILES)));
    }

    @Test
    void wholeFiles_asTheyAre_knowNothingOfWhatIsInThem() {
        check(classes()
                .that()
                .resideInAPackage(FILES)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", FILES));
    }

    @Test
    void reports_asTheyAre_knowNothingOfWhatTheyReport() {
        check(classes()
                .that()
                .resideInAPackage(REPORT)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", REPORT));
    }

    @Test
    void tools_asTheyAre_doNotKnowWhoUsesThem() {
        check(noClasses()
                .that()
                .resideInAnyPackage(VERIFY, BENCH, TUNE, CHECK)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(EXAMPLE, STUDY, CLI));
        check(noClasses()
                .that()
                .resideInAnyPackage(VERIFY, BENCH)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(TUNE, CHECK));
        check(noClasses()
                .that()
                .resideOutsideOfPackage(CLI)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(CLI));
    }

    @Test
    void examples_asTheyAre_useThePublicInterfaceOnly() {
        check(noClasses()
                .that()
                .resideInAnyPackage(EXAMPLE, STUDY)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(OPENCL, PLAN, REFERENCE, BACKEND, VIEW, CASES, VERIFY, BENCH, TUNE, CHECK)
                .because("their readers are to do the same, and have nothing else"));
        check(noClasses()
                .that()
                .resideInAPackage(EXAMPLE)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(STUDY));
    }

    /** The MLP is plain Java and needs no OpenCL; of what networks on the device are made, nothing knows the networks. */
    @Test
    void networks_asTheyAre_areKnownToTheCommandsOnly() {
        check(noClasses()
                .that()
                .resideOutsideOfPackages("org.clnorm.example.*", CLI)
                .should()
                .dependOnClassesThat()
                .resideInAPackage("org.clnorm.example.*"));
        check(noClasses()
                .that()
                .resideInAnyPackage(DEVICE_EXAMPLE, "org.clnorm.example.conv", "org.clnorm.example.transformer")
                .should()
                .dependOnClassesThat()
                .resideInAPackage(NETWORKS));
        check(noClasses()
                .that()
                .resideInAPackage(DEVICE_EXAMPLE)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("org.clnorm.example.conv", "org.clnorm.example.transformer"));
    }

    @Test
    void aids_asTheyAre_useThePublicInterfaceOnly() {
        check(noClasses().that().resideInAPackage(FOLDING).should().dependOnClassesThat(oursOutside(ROOT, FOLDING)));
        check(noClasses()
                .that()
                .resideInAPackage(DIAGNOSTICS)
                .should()
                .dependOnClassesThat(oursOutside(ROOT, DIAGNOSTICS)));
    }

    /** What a user of the library gets. That it does not know the tools is seen to by its being built without them. */
    @Test
    void library_asItIs_needsJoclJnaAndSlf4jOnly() {
        check(classes()
                .that()
                .resideInAnyPackage(
                        ROOT, REPLICAS, OPTIM, OPENCL, PLAN, REFERENCE, BACKEND, VIEW, FILES, FOLDING, DIAGNOSTICS)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", "com.sun.jna..", "org.jocl..", "org.slf4j..", ALL));
        check(noClasses()
                .that()
                .resideOutsideOfPackages(OPENCL, MPI)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("sun..", "com.sun..")
                .because("only the signals that an OpenCL compiler takes over, and MPI, have no other interface"));
    }

    /** It is an artifact of its own, for those who have MPI. */
    @Test
    void mpi_asItIs_usesThePublicInterfaceOnlyAndIsKnownToNoLayer() {
        check(noClasses().that().resideInAPackage(MPI).should().dependOnClassesThat(oursOutside(ROOT, MPI)));
        check(classes()
                .that()
                .resideInAPackage(MPI)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", "com.sun.jna..", ALL));
        check(noClasses()
                .that()
                .resideInAnyPackage(ROOT, OPENCL, PLAN, REFERENCE, BACKEND, VERIFY, BENCH, TUNE)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(MPI));
    }

    /** It is an artifact for the tests of others, and brings of the tools what the check of kernels needs, which is little. */
    @Test
    void testing_asItIs_bringsJunitAndAssertjAndNoCommands() {
        check(noClasses()
                .that()
                .resideInAPackage(TESTING)
                .should()
                .dependOnClassesThat(oursOutside(ROOT, TESTING, CHECK, OPENCL, BACKEND)));
        check(classes()
                .that()
                .resideInAPackage(TESTING)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage("java..", "org.junit..", "org.assertj..", ALL));
        check(noClasses()
                .that()
                .resideOutsideOfPackage(TESTING)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(TESTING, "org.junit..", "org.assertj.."));
        check(noClasses()
                .that()
                .resideInAnyPackage(CHECK, VERIFY, BENCH, CASES, REPORT)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        MPI, EXAMPLE, STUDY, CLI, "org.jocl.blast..", "picocli..", "me.tongfei..", "ch.qos.logback..")
                .because("the POM of clnorm-testing leaves these artifacts out"));
    }

    @Test
    void picocli_outsideOfTheCommands_isUnknown() {
        check(noClasses()
                .that()
                .resideOutsideOfPackage(CLI)
                .should()
                .dependOnClassesThat()
                .resideInAPackage("picocli.."));
    }

    @Test
    void gson_outsideOfFilesAndReports_isUnknown() {
        check(noClasses()
                .that()
                .resideOutsideOfPackages(STATE, CASES, VERIFY, BENCH, CHECK, CLI)
                .should()
                .dependOnClassesThat()
                .resideInAPackage("com.google.gson.."));
    }

    @Test
    void progressBar_outsideOfWhatTalksToPeople_isUnknown() {
        check(noClasses()
                .that()
                .resideOutsideOfPackages(EXAMPLE, CLI)
                .should()
                .dependOnClassesThat()
                .resideInAPackage("me.tongfei.."));
    }

    @Test
    void log_ofAnyClass_isReachedThroughSlf4jOnly() {
        check(noClasses()
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("ch.qos.logback..", "java.util.logging..")
                .because("which log a program has is the program's choice"));
    }

    @Test
    void console_outsideOfWhatTalksToPeople_isSilent() {
        check(noClasses()
                .that()
                .resideOutsideOfPackages(EXAMPLE, CLI)
                .and()
                .doNotHaveFullyQualifiedName("org.clnorm.mpi.LastWord")
                .should(ACCESS_STANDARD_STREAMS)
                .because("but for a process that is ended, which has no exception or log to say why in"));
    }

    /** That the rules above see the classes that they are of, and would find what they look for. */
    @Test
    void rules_wherePeopleBreakThem_fail() {
        assertThat(CLASSES).anyMatch(javaClass -> javaClass.isEquivalentTo(OpenClInterop.class));
        assertThat(CLASSES).noneMatch(javaClass -> javaClass.isEquivalentTo(ArchitectureTest.class));
        assertThat(joclIsKnownTo(resideInAPackage(OPENCL)).evaluate(CLASSES).hasViolation())
                .as("the interop door does use JOCL, so that a rule without its exemption is broken")
                .isTrue();
        assertThat(noClasses()
                        .that()
                        .resideInAPackage(OPENCL)
                        .should()
                        .dependOnClassesThat(oursOutside(OPENCL, VIEW))
                        .evaluate(CLASSES)
                        .hasViolation())
                .as("the kernels' backend does implement the interface")
                .isTrue();
        assertThat(noClasses().should(ACCESS_STANDARD_STREAMS).evaluate(CLASSES).hasViolation())
                .as("the commands do print")
                .isTrue();
    }
}
