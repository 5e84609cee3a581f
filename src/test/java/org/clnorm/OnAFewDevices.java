package org.clnorm;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A test that takes a {@link TestDevice} and runs on the reference, on the choice by shape and in one form for GPUs: for elements
 * of 16 bits in what all strategies do alike, since each of them is a dozen programs more to compile. How each strategy loads and
 * stores them is for the verification.
 */
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@ParameterizedTest(name = "{0}")
@EnumSource(names = {"REFERENCE", "AUTO", "GPU_CACHED"})
public @interface OnAFewDevices {}
