package org.clnorm.example;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.clnorm.files.WholeFile;

/** The folder that a report goes into. */
public final class ReportFolder {
    /** The file in it. */
    public static final String PAGE = "index.html";

    private ReportFolder() {}

    /**
     * The page in a folder, which is made where there is none.
     *
     * @throws IOException when the page cannot be written; the message says why
     */
    public static WholeFile page(Path folder) throws IOException {
        for (Path above = folder.toAbsolutePath(); above != null; above = above.getParent()) {
            if (Files.exists(above) && !Files.isDirectory(above)) {
                throw new IOException(
                        "The report cannot go into the folder " + folder + ": " + above + " is in the way, a file");
            }
        }
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw new IOException("The report's folder " + folder + " cannot be made: " + e, e);
        }
        return WholeFile.at(folder.resolve(PAGE));
    }
}
