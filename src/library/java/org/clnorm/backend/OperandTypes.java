package org.clnorm.backend;

import java.util.EnumMap;
import java.util.Map;
import org.clnorm.DataType;

/**
 * Which roles of a pass have an operand, and how its elements are stored. All roles are in one number, so that to compare
 * them, which every call does, is to compare two numbers.
 *
 * @param bits as {@link #with} makes them
 */
public record OperandTypes(long bits) {
    /** Of each role: 0 for none, or 1 and the type's ordinal. */
    private static final int BITS_OF_ROLE = 2;

    private static final DataType[] TYPES = DataType.values();

    /** The number with another type in one role; null for none. */
    static long with(long bits, Role role, DataType type) {
        int at = role.ordinal() * BITS_OF_ROLE;
        long mask = (1L << BITS_OF_ROLE) - 1 << at;
        return bits & ~mask | (type == null ? 0 : 1L + type.ordinal()) << at;
    }

    /**
     * The same with another type in one role.
     *
     * @param type null for no operand
     */
    public OperandTypes with(Role role, DataType type) {
        return new OperandTypes(with(bits, role, type));
    }

    /** The type of the operand in a role, or null for none. */
    public DataType of(Role role) {
        int code = (int) (bits >>> role.ordinal() * BITS_OF_ROLE) & (1 << BITS_OF_ROLE) - 1;
        return code == 0 ? null : TYPES[code - 1];
    }

    /** Whether there is an operand in a role. */
    public boolean has(Role role) {
        return of(role) != null;
    }

    @Override
    public String toString() {
        Map<Role, DataType> types = new EnumMap<>(Role.class);
        for (Role role : Role.values()) {
            if (has(role)) {
                types.put(role, of(role));
            }
        }
        return types.toString();
    }
}
