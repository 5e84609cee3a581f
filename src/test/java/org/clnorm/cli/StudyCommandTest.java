package org.clnorm.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.clnorm.cli.Commands.clnorm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.clnorm.cli.Commands.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class StudyCommandTest {
    @TempDir
    private Path folder;

    private Path report() {
        return folder.resolve("the study");
    }

    private Result study(String... options) {
        List<Object> words = new ArrayList<>(List.of("study", "--report", report()));
        words.addAll(List.of(options));
        return clnorm(words.toArray());
    }

    @Test
    void study_twoClaims_printsALineForEachAndWritesThePage() throws IOException {
        Result result = study("--quick", "--seeds", "2", "--only", "scale,bias", "--device", "reference");

        assertThat(result.exitCode()).as(result.err()).isZero();
        assertThat(result.out())
                .containsPattern("bias +holds +3 of 3 parts hold")
                .containsPattern("scale +holds partly +2 of 3 parts hold")
                .endsWith("Report: " + report().resolve("index.html") + System.lineSeparator());
        assertThat(Files.readString(report().resolve("index.html")))
                .contains("This is a quick look: 2 seeds", "id=\"bias\"", "id=\"scale\"")
                .doesNotContain("id=\"rates\"");
        assertThat(result.err()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--seeds 1          | 2 to 1000 seeds",
                "--seeds some       | 'some' is not an int",
                "--only covariates  | no experiment covariates; there are rates",
                "--device nonesuch  | No device matches 'nonesuch'",
                "--epochs 3         | Unknown option"
            })
    void study_wrongOption_saysWhyAndExitsWith2(String options, String message) {
        Result result = study(options.split(" "));

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).contains(message);
        assertThat(report()).doesNotExist();
    }

    @Test
    void study_pageThatCannotBeWritten_saysSoBeforeItMeasures() throws IOException {
        Files.writeString(report(), "the user's");

        Result result = study("--only", "bias", "--device", "reference");

        assertThat(result.exitCode()).isEqualTo(2);
        assertThat(result.err()).startsWith("clnorm: The report cannot go into the folder " + report());
        assertThat(result.out()).isEmpty();
        assertThat(report()).hasContent("the user's");
    }
}
