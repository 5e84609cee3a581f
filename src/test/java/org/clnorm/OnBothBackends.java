package org.clnorm;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A test that takes a {@link TestDevice} and runs on the CPU reference and on the OpenCL device as users get it: for what
 * happens before a kernel is chosen.
 */
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@ParameterizedTest(name = "{0}")
@EnumSource(
        value = TestDevice.class,
        names = {"REFERENCE", "AUTO"})
public @interface OnBothBackends {}
