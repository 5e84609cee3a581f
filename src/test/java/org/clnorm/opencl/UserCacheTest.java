package org.clnorm.opencl;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UserCacheTest {
    private static final String HOME = "/home/somebody";

    @TempDir
    private Path folder;

    @Test
    void folder_withTheVariable_isThatOnEverySystem() {
        Map<String, String> environment =
                Map.of("CLNORM_CACHE_DIR", "/scratch/kernels", "XDG_CACHE_HOME", "/xdg", "LOCALAPPDATA", "C:\\Local");
        for (String system : new String[] {"Linux", "Mac OS X", "Windows 11"}) {
            assertThat(UserCache.folder(environment, system, HOME)).contains(Path.of("/scratch/kernels"));
        }
    }

    @Test
    void folder_withoutTheVariable_isWhereTheSystemHasSuchFolders() {
        assertThat(UserCache.folder(Map.of(), "Linux", HOME)).contains(Path.of("/home/somebody/.cache/clnorm"));
        assertThat(UserCache.folder(Map.of("XDG_CACHE_HOME", "/xdg"), "Linux", HOME))
                .contains(Path.of("/xdg/clnorm"));
        assertThat(UserCache.folder(Map.of("XDG_CACHE_HOME", "/xdg"), "Mac OS X", "/Users/somebody"))
                .contains(Path.of("/Users/somebody/Library/Caches/clnorm"));
        assertThat(UserCache.folder(Map.of("LOCALAPPDATA", "Local"), "Windows 11", HOME))
                .contains(Path.of("Local").resolve("clnorm").resolve("cache"));
    }

    @Test
    void folder_variablesThatSayNothing_areIgnored() {
        assertThat(UserCache.folder(Map.of("CLNORM_CACHE_DIR", " ", "XDG_CACHE_HOME", ""), "Linux", HOME))
                .contains(Path.of("/home/somebody/.cache/clnorm"));
        assertThat(UserCache.folder(Map.of("XDG_CACHE_HOME", "relative"), "Linux", HOME))
                .as("which its specification demands")
                .contains(Path.of("/home/somebody/.cache/clnorm"));
    }

    @Test
    void folder_ofAUserWithoutAHome_isNone() {
        assertThat(UserCache.folder(Map.of(), "Linux", "?")).isEmpty();
        assertThat(UserCache.folder(Map.of(), "Windows 11", HOME)).isEmpty();
    }

    @Test
    void create_onAFileSystemWithPermissions_isTheUsersAlone() throws IOException {
        Path made = folder.resolve("a/b");
        UserCache.create(made);
        UserCache.create(made);
        assertThat(made).isDirectory();
        if (Files.getFileStore(folder).supportsFileAttributeView("posix")) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(made)))
                    .isEqualTo("rwx------");
        }
    }
}
