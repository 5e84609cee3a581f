package org.clnorm;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import org.clnorm.backend.Backend;
import org.clnorm.backend.Normalization;
import org.clnorm.backend.OperandTypes;
import org.clnorm.backend.Operands;
import org.clnorm.backend.PreparedPass;

/** The passes that a layer has prepared, by what may differ from one call to the next. */
final class PreparedPasses implements AutoCloseable {
    /**
     * How many passes are kept. A layer that trains and is evaluated, on whole batches and a smaller last one, has six;
     * past these, shapes come in such number that finding a pass would cost as much as preparing one.
     */
    static final int MOST = 16;

    private static final class Prepared {
        final PassKind kind;
        final Normalization normalization;
        final Shape shape;
        final Layout layout;
        final OperandTypes types;
        final PreparedPass pass;
        /** When it was used last, as {@link #calls} counts. */
        long used;

        Prepared(
                PassKind kind,
                Normalization normalization,
                Shape shape,
                Layout layout,
                OperandTypes types,
                PreparedPass pass) {
            this.kind = kind;
            this.normalization = normalization;
            this.shape = shape;
            this.layout = layout;
            this.types = types;
            this.pass = pass;
        }

        boolean serves(PassKind kind, Normalization normalization, Shape shape, Layout layout, Operands operands) {
            return this.kind == kind
                    && operands.are(types)
                    && this.layout == layout
                    && (this.shape == shape || this.shape.equals(shape))
                    && (this.normalization == normalization || this.normalization.equals(normalization));
        }
    }

    private final Backend backend;
    private final Options options;
    private final List<Prepared> prepared = new ArrayList<>(MOST);
    private long calls;

    PreparedPasses(Backend backend, Options options) {
        this.backend = backend;
        this.options = options;
    }

    /** The pass over such tensors and operands, which is prepared when there is none. */
    PreparedPass get(PassKind kind, Normalization normalization, Shape shape, Layout layout, Operands operands) {
        calls++;
        for (int i = 0; i < prepared.size(); i++) {
            Prepared found = prepared.get(i);
            if (found.serves(kind, normalization, shape, layout, operands)) {
                found.used = calls;
                return found.pass;
            }
        }
        OperandTypes types = operands.types();
        Prepared made = new Prepared(
                kind,
                normalization,
                shape,
                layout,
                types,
                backend.prepare(kind.spec(options, normalization, shape, layout, types)));
        made.used = calls;
        if (prepared.size() == MOST) {
            Prepared oldest = Collections.min(prepared, Comparator.comparingLong(each -> each.used));
            prepared.remove(oldest);
            oldest.pass.close();
        }
        prepared.add(made);
        return made.pass;
    }

    @Override
    public void close() {
        prepared.forEach(each -> each.pass.close());
        prepared.clear();
    }
}
