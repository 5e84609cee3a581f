package org.clnorm.report;

import java.util.List;
import java.util.Set;

/** An element of HTML or SVG, written so that it is well-formed XML too. Text and attribute values are escaped. */
public final class Markup {
    private static final Set<String> VOID = Set.of("meta", "path", "circle", "rect", "line", "br");

    private final String name;
    private final StringBuilder attributes = new StringBuilder();
    private final StringBuilder content = new StringBuilder();

    private Markup(String name) {
        this.name = name;
    }

    /**
     * An element without content yet.
     *
     * @param attributes names and values in turn
     */
    public static Markup element(String name, String... attributes) {
        Markup element = new Markup(name);
        for (int i = 0; i < attributes.length; i += 2) {
            element.attributes
                    .append(' ')
                    .append(attributes[i])
                    .append("=\"")
                    .append(escaped(attributes[i + 1]).replace("\"", "&quot;"))
                    .append('"');
        }
        return element;
    }

    /** Adds text. */
    public Markup text(String text) {
        content.append(escaped(text));
        return this;
    }

    /** Adds elements. */
    public Markup add(Markup... children) {
        return add(List.of(children));
    }

    /** Adds elements. */
    public Markup add(List<Markup> children) {
        children.forEach(content::append);
        return this;
    }

    private static String escaped(String text) {
        return text.replaceAll("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]", "\ufffd") // no XML may hold these
                .replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;");
    }

    @Override
    public String toString() {
        String start = "<" + name + attributes;
        return VOID.contains(name) && content.isEmpty() ? start + "/>" : start + ">" + content + "</" + name + ">\n";
    }
}
