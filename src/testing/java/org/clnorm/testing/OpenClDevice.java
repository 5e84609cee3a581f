package org.clnorm.testing;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A {@link org.clnorm.Device} that a test is handed: the one that the environment variable {@code CLNORM_DEVICE} selects, or else
 * the best OpenCL device there is, such as PoCL's where there is no GPU.
 *
 * <pre>{@code
 * @Test
 * void forward_ofRows_isLayerNorm(@OpenClDevice Device device) { ... }
 * }</pre>
 *
 * <p>It stands at a parameter of a test, of what runs before and after tests or of a test class's constructor, or at a field, which
 * may be private and is not final. Each place gets a device of its own. That of a parameter, or of a field of an instance, is closed
 * after the test, with all that lives on it; that of a static field, or of a method that runs once for a class, is closed after
 * the class, and so is that of a class with one instance for all of its tests.
 *
 * <p>Where there is no OpenCL device the test fails, and says why there is none. It is not skipped, since a test that is skipped
 * looks like one that passes; nor does the CPU reference take the device's place, unless {@code CLNORM_DEVICE=reference} says
 * so. A test also fails where the variable selects nothing.
 *
 * <p>It takes JUnit 5.12 or newer; 6 will do.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.PARAMETER, ElementType.FIELD})
@ExtendWith(OpenClDeviceExtension.class)
public @interface OpenClDevice {}
