package org.clnorm;

import java.util.ArrayList;
import java.util.List;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;

/** The passes that a layer has prepared, by what may differ from one call to the next, the last used first. */
final class PreparedPasses implements AutoCloseable {
    /**
     * How many are kept. A layer that trains and is evaluated, on whole batches and a smaller last one, has six; past
     * these, shapes come in such number that finding a pass would cost as much as preparing one.
     */
    static final int MOST = 16;

    private record Prepared(
            PassKind kind,
            Normalization normalization,
            Shape shape,
            Layout layout,
            OperandTypes types,
            PreparedPass pass) {

        boolean serves(PassKind kind, Normalization normalization, Shape shape, Layout layout, Operands operands) {
            return this.kind == kind
                    && operands.are(types)
                    && this.layout == layout
                    && this.shape.equals(shape)
                    && this.normalization.equals(normalization);
        }
    }

    private final Backend backend;
    private final Options options;
    private final List<Prepared> prepared = new ArrayList<>(MOST);

    PreparedPasses(Backend backend, Options options) {
        this.backend = backend;
        this.options = options;
    }

    /** The pass over such tensors and operands, which is prepared when there is none. */
    PreparedPass get(PassKind kind, Normalization normalization, Shape shape, Layout layout, Operands operands) {
        for (int i = 0; i < prepared.size(); i++) {
            Prepared found = prepared.get(i);
            if (found.serves(kind, normalization, shape, layout, operands)) {
                if (i > 0) {
                    prepared.remove(i);
                    prepared.add(0, found);
                }
                return found.pass;
            }
        }
        OperandTypes types = operands.types();
        PreparedPass pass = backend.prepare(kind.spec(options, normalization, shape, layout, types));
        if (prepared.size() == MOST) {
            prepared.remove(MOST - 1).pass.close();
        }
        prepared.add(0, new Prepared(kind, normalization, shape, layout, types, pass));
        return pass;
    }

    @Override
    public void close() {
        prepared.forEach(each -> each.pass.close());
        prepared.clear();
    }
}
