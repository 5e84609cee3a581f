package org.clnorm.testing;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.List;
import org.clnorm.Device;
import org.clnorm.opencl.OpenCl;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionConfigurationException;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolutionException;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.junit.jupiter.api.extension.TestInstancePostProcessor;
import org.junit.platform.commons.support.AnnotationSupport;
import org.junit.platform.commons.support.HierarchyTraversalMode;

/** Opens what {@link OpenClDevice} stands at, and leaves it to the context of the test or class, which closes it at its end. */
final class OpenClDeviceExtension implements BeforeAllCallback, TestInstancePostProcessor, ParameterResolver {
    private static final Namespace NAMESPACE = Namespace.create(OpenClDevice.class);
    private static final String REFERENCE = "reference";

    OpenClDeviceExtension() {}

    @Override
    public void beforeAll(ExtensionContext context) throws IllegalAccessException {
        inject(context.getRequiredTestClass(), null, context);
    }

    @Override
    public void postProcessTestInstance(Object instance, ExtensionContext context) throws IllegalAccessException {
        inject(instance.getClass(), instance, context);
    }

    /** Else an instance's devices would be the class's, and stay open for all of its tests. */
    @Override
    public ExtensionContextScope getTestInstantiationExtensionContextScope(ExtensionContext root) {
        return ExtensionContextScope.TEST_METHOD;
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.isAnnotated(OpenClDevice.class);
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        Class<?> type = parameter.getParameter().getType();
        if (type != Device.class) {
            throw new ParameterResolutionException(
                    "@OpenClDevice is for a parameter of type org.clnorm.Device, but that of "
                            + parameter.getDeclaringExecutable() + " is of type " + type.getName());
        }
        return open(context);
    }

    /** @param instance or null for static fields */
    private static void inject(Class<?> type, Object instance, ExtensionContext context) throws IllegalAccessException {
        List<Field> fields = AnnotationSupport.findAnnotatedFields(
                type,
                OpenClDevice.class,
                field -> Modifier.isStatic(field.getModifiers()) == (instance == null),
                HierarchyTraversalMode.TOP_DOWN);
        for (Field field : fields) {
            if (field.getType() != Device.class || Modifier.isFinal(field.getModifiers())) {
                throw new ExtensionConfigurationException(
                        "@OpenClDevice is for a field of type org.clnorm.Device that is not final, but given was "
                                + field);
            }
            field.setAccessible(true);
            field.set(instance, open(context));
        }
    }

    private static Device open(ExtensionContext context) {
        Device device = open(Device.variable(Device.SELECTOR_VARIABLE), OpenCl.devices());
        // Under a key of its own, since every place has its own device.
        context.getStore(NAMESPACE).put(new Object(), new Closing(device));
        return device;
    }

    /** Closes it with the store: JUnit before 5.13 takes the one interface for a word on that, newer ones the other. */
    @SuppressWarnings("deprecation")
    private record Closing(Device device) implements ExtensionContext.Store.CloseableResource, AutoCloseable {
        @Override
        public void close() {
            device.close();
        }
    }

    /**
     * Opens a device; never the CPU reference, unless it is asked for.
     *
     * @param selector what {@code CLNORM_DEVICE} says, or null
     * @param found the OpenCL devices that there are
     * @throws IllegalStateException when none is what is asked for
     */
    static Device open(String selector, List<OpenCl.Candidate> found) {
        if (REFERENCE.equalsIgnoreCase(selector)) {
            return Device.cpuReference();
        }
        try {
            return Device.open(OpenCl.require(found, selector).index());
        } catch (IllegalArgumentException e) {
            throw new IllegalStateException(
                    "A test that takes an @OpenClDevice needs one, and fails without: " + e.getMessage()
                            + ". Install a driver, such as PoCL's for CPUs, or say by " + Device.SELECTOR_VARIABLE
                            + " which device to take; " + Device.SELECTOR_VARIABLE
                            + "=reference runs the test on the CPU reference",
                    e);
        }
    }
}
