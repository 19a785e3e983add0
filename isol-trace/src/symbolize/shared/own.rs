//! Whose code a frame is: the program's own, or that of a library that works on its behalf.
//!
//! A system call is made in a wrapper of the C library, and a closure is called by `core::ops`: that is
//! not where the cause is. One rule decides it for the log, the screen and `explain`. Where a
//! frame's source is known with its folder, that decides; else names do.

/// Folders of sources that belong to no program.
const FOLDERS: [&str; 15] = [
    // Rust: the standard library as it is distributed, with the crates that it is built of, and as it is installed;
    // crates of others.
    "/rustc/",
    "/rust/deps/",
    "/lib/rustlib/src/rust/",
    "/.cargo/registry/",
    "/.cargo/git/checkouts/",
    "/cargo/registry/",
    // C and C++: headers of the system and of compilers.
    "/usr/include/",
    "/usr/lib/gcc/",
    "/include/c++/",
    // The C library, by the folders that Debian, Fedora, Arch and Alpine build it in.
    "/glibc-",
    "/glibc/",
    "/musl-",
    // Go: modules of others; the standard library where it is usually installed.
    "/go/pkg/mod/",
    "/usr/local/go/src/",
    "/lib/go/src/",
];

/// How the C library names its sources, from the folder that it is built in.
const RELATIVE: [&str; 4] = ["../sysdeps/", "./nptl/", "./malloc/", "./io/"];

/// Packages of Go's standard library that programs spend time in, by the first word of their path.
const GO_PACKAGES: [&str; 37] = [
    "runtime", "internal", "sync", "syscall", "os", "io", "fmt", "net", "time", "reflect",
    "strings", "bytes", "bufio", "math", "sort", "strconv", "unicode", "errors", "context",
    "encoding", "crypto", "hash", "compress", "archive", "database", "html", "image", "log",
    "mime", "path", "regexp", "slices", "maps", "iter", "text", "testing", "unique",
];

/// Prefixes of functions that libraries keep to themselves: the C library's, its loader's, the vDSO's.
const PREFIXES: [&str; 17] = [
    "__GI_",
    "__libc_",
    "__internal_",
    "__syscall",
    "__pthread_",
    "___pthread_",
    "__vdso_",
    "__kernel_",
    "__lll_",
    "__futex_abstimed_",
    "__nptl_",
    "_IO_",
    "_dl_",
    "_int_",
    "__vfprintf",
    "pthread_",
    "[vdso]",
];

/// Functions of the C library that enter the kernel for their callers without being named as a system call.
const NAMES: [&str; 34] = [
    "abort",
    "calloc",
    "clock_gettime",
    "fclose",
    "fflush",
    "fopen",
    "fprintf",
    "fputc",
    "fputs",
    "fread",
    "free",
    "fwrite",
    "gsignal",
    "malloc",
    "memalign",
    "memcpy",
    "memmove",
    "memset",
    "new_do_write",
    "nanosleep",
    "operator new",
    "operator delete",
    "posix_memalign",
    "printf",
    "putchar",
    "puts",
    "raise",
    "realloc",
    "sleep",
    "syscall",
    "sysmalloc",
    "systrim",
    "usleep",
    "vfprintf",
];

/// First words of paths of languages' standard libraries.
const PATHS: [&str; 5] = ["std", "core", "alloc", "compiler_builtins", "__gnu_cxx"];

/// A frame is a library's. `name` is the function without offset; `path` is its source file with as much
/// of its folder as is known: a log has only the file, and of Rust's standard library `library/…`.
pub(crate) fn is_library(name: &str, path: Option<&str>) -> bool {
    path.is_some_and(|path| is_library_path(path) || is_of_go(name, path)) || is_library_name(name)
}

/// A source file is a library's.
fn is_library_path(path: &str) -> bool {
    path.starts_with("library/")
        || FOLDERS.iter().any(|folder| path.contains(folder))
        || RELATIVE.iter().any(|start| path.starts_with(start))
        || is_of_installed_go(path)
}

/// `/usr/lib/go-1.22/src/runtime/proc.go`: Debian installs each version in a folder of its own.
fn is_of_installed_go(path: &str) -> bool {
    let version = path.split_once("/go-1.").map(|(_, rest)| rest);
    version.is_some_and(|rest| rest.split('/').nth(1) == Some("src"))
}

/// A function of Go's standard library, whose sources may be anywhere: `sync.(*Mutex).Lock`.
fn is_of_go(name: &str, path: &str) -> bool {
    let path = path.split_once(':').map_or(path, |(path, _)| path);
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    let is_go = matches!(extension, Some("go" | "s"));
    let first = name.split(['.', '/']).next().unwrap_or(name);
    is_go && first.len() < name.len() && GO_PACKAGES.contains(&first)
}

/// A function's name is one that libraries have.
fn is_library_name(name: &str) -> bool {
    let bare = name.split(['@', '(', '<']).next().unwrap_or(name);
    let plain = bare.trim_start_matches('_');
    name == "_start"
        || PREFIXES.iter().any(|it| name.starts_with(it))
        || NAMES.contains(&plain)
        || is_of_standard_library(name)
}

/// A function of a language's standard library, by its path: also `<std::io::Stdout as std::io::Write>::write`,
/// and `<W as core::fmt::Write>::write_str` for whichever `W`.
fn is_of_standard_library(name: &str) -> bool {
    let path = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let path = path.strip_prefix("mut ").unwrap_or(path);
    let first = path.split(':').next().unwrap_or(path);
    if PATHS.contains(&first) && first.len() < path.len() {
        return true;
    }
    let mut letters = path.chars();
    name.starts_with('<')
        && letters
            .next()
            .is_some_and(|letter| letter.is_ascii_uppercase())
        && letters.as_str().starts_with(" as ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_folders() {
        for path in [
            "/rustc/5980/library/core/src/ops/function.rs",
            "library/core/src/ops/function.rs:250",
            "/rust/deps/hashbrown-0.16.1/src/map.rs",
            "/home/me/.cargo/registry/src/index.crates.io-1/rand-0.9/src/lib.rs",
            "/usr/include/c++/14/bits/std_function.h",
            "/usr/include/x86_64-linux-gnu/bits/stdio2.h",
            "/usr/lib/gcc/x86_64-linux-gnu/14/include/emmintrin.h",
            "../sysdeps/unix/sysv/linux/write.c",
            "/usr/src/glibc/glibc-2.36/io/../sysdeps/unix/sysv/linux/write.c",
            "/usr/local/go/src/runtime/proc.go",
            "/usr/lib/go-1.22/src/runtime/proc.go",
            "/home/me/go/pkg/mod/golang.org/x/sys@v0.1/unix/syscall.go",
        ] {
            assert!(is_library("work", Some(path)), "{path}");
        }
        for path in [
            "/home/me/feed/src/feed.rs",
            "feed.c:42",
            "/home/me/go-1.22-notes/feed.go",
            "/home/me/library/feed.c",
        ] {
            assert!(!is_library("work", Some(path)), "{path}");
        }
    }

    #[test]
    fn libraries_are_known_by_names() {
        for name in [
            "__GI___libc_write",
            "malloc",
            "std::io::stdio::_print",
            "<&mut W as core::fmt::Write>::write_str",
            "operator new(unsigned long)",
            "_start",
        ] {
            assert!(is_library(name, None), "{name}");
        }
        for name in [
            "main",
            "feed::publish",
            "stdout_thread",
            "<feed::L as std::io::Write>::write",
        ] {
            assert!(!is_library(name, None), "{name}");
        }
        assert!(is_library("sync.(*Mutex).Lock", Some("mutex.go:90")));
        assert!(is_library("internal/poll.(*FD).Read", Some("fd_unix.go:1")));
        assert!(!is_library("main.work", Some("spin.go:7")));
        assert!(!is_library("github.com/me/log.Write", Some("log.go:7")));
        assert!(!is_library("sync.run", Some("sync.c:7")), "a struct of C++");
    }
}
