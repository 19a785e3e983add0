//! Frames of user stacks, as the log spells them, and which are of the program itself.
//!
//! A system call is made in a wrapper of the C library: that is not where the mistake is. Without debug
//! information a library's frame names its file; with it, function and source file decide, by the
//! same rule as for places in the log ([`crate::symbolize::shared::own`]).

use super::call::is_common;
use crate::symbolize::shared::own::is_library;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// The function, without offset; the file in brackets where it has no symbols; or an address.
    pub(super) name: &'a str,
    /// An offset follows the name: of a function or of a file.
    pub(super) has_offset: bool,
    /// Source file and line.
    pub(super) source: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// Reads one: `function+0x1f (file.c:12)`, `leaf (file.h:7) [inlined]`, `[libc.so.6]+0x2a1ca`, `0x16de`.
    pub(super) fn read(text: &'a str) -> Self {
        let text = text.strip_suffix(" [inlined]").unwrap_or(text);
        let (place, source) = match text.strip_suffix(')').and_then(|it| it.rsplit_once(" (")) {
            // The arguments of a function of C++ are no source.
            Some((place, source)) if is_source(source) => (place, Some(source)),
            _ => (text, None),
        };
        Self::at(place, source)
    }

    /// From a place and, where it is known, its source line.
    pub(super) fn at(place: &'a str, source: Option<&'a str>) -> Self {
        let (name, has_offset) = match place.rsplit_once("+0x") {
            Some((name, offset)) if !name.is_empty() && is_hex(offset) => (name, true),
            _ => (place, false),
        };
        Self {
            name,
            has_offset,
            source: source.filter(|source| !source.is_empty()),
        }
    }

    /// It is an address that nothing is known of.
    pub(super) fn is_address(&self) -> bool {
        self.name.strip_prefix("0x").is_some_and(is_hex)
    }

    /// The file without symbols that it is. Logs of earlier versions have no brackets: of those, a
    /// library is known by its name.
    fn file(&self) -> Option<&'a str> {
        if !self.has_offset {
            return None;
        }
        let bracketed = self.name.strip_prefix('[');
        bracketed
            .and_then(|name| name.strip_suffix(']'))
            .or_else(|| is_library_file(self.name).then_some(self.name))
    }

    /// The program's own code, rather than a library that enters the kernel on its behalf. `call` is the
    /// system call that was made.
    pub(super) fn is_own(&self, call: Option<&str>) -> bool {
        if self.name.is_empty() || self.is_address() {
            return false;
        }
        if let Some(file) = self.file() {
            return !is_library_file(file) && !is_of_the_kernel(file);
        }
        let name = self.name;
        let bare = name.split(['@', '(', '<']).next().unwrap_or(name);
        let plain = bare.trim_start_matches('_');
        let is_wrapper = call.is_some_and(|call| plain == call) || is_common(plain);
        !(is_wrapper || is_library(name, self.source))
    }

    /// The function as it is spoken of: `publish()`.
    pub(super) fn spoken(&self) -> String {
        if self.name.ends_with(')') || self.is_address() || self.file().is_some() {
            self.name.to_owned()
        } else {
            format!("{}()", self.name)
        }
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `file.c:12`, or a file name.
fn is_source(text: &str) -> bool {
    !text.is_empty() && !text.contains(['(', ')']) && text.contains(['.', ':'])
}

/// `libc.so.6`, `ld-linux-x86-64.so.2`, `ld-2.31.so`.
fn is_library_file(name: &str) -> bool {
    name.split('.').skip(1).any(|part| part == "so")
}

/// What the kernel calls memory that is no file's (`fs/proc/task_mmu.c:get_vma_name`, v6.12), and what
/// stands for a path that it had no room for.
fn is_of_the_kernel(name: &str) -> bool {
    let kernels = [
        "vdso",
        "vsyscall",
        "uprobes",
        "heap",
        "stack",
        "path not known",
    ];
    kernels.contains(&name) || name.starts_with("anon:") || name.starts_with("anon_shmem:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_the_log_spells_them() {
        for (text, name, has_offset, source) in [
            (
                "publish+0x1f (feed.c:42)",
                "publish",
                true,
                Some("feed.c:42"),
            ),
            ("leaf (work.h:7) [inlined]", "leaf", false, Some("work.h:7")),
            ("main (feed.c:3)", "main", false, Some("feed.c:3")),
            ("libc.so.6+0x2a1ca", "libc.so.6", true, None),
            ("[feed]+0x16de", "[feed]", true, None),
            ("0x7f0000001000", "0x7f0000001000", false, None),
            (
                "operator()(int, char)+0x2",
                "operator()(int, char)",
                true,
                None,
            ),
            ("f(int (*)(int))", "f(int (*)(int))", false, None),
            ("f(int)+0x1 (a b.cc:9)", "f(int)", true, Some("a b.cc:9")),
            ("", "", false, None),
            ("+0x12", "+0x12", false, None),
            (" (", " (", false, None),
        ] {
            let expected = Frame {
                name,
                has_offset,
                source,
            };
            assert_eq!(Frame::read(text), expected, "{text}");
        }
    }

    #[test]
    fn wrappers_and_libraries_are_not_the_program() {
        for text in [
            "__GI___libc_write+0x14 (write.c:26)",
            "write+0x17 (write.c:26)",
            "__write+0x17 (write.c:26)",
            "syscall+0x19",
            "libc.so.6+0x2a1ca",
            "[libc.so.6]+0x2a1ca",
            "[path not known]+0x10",
            "[anon:code]+0x10",
            "ld-linux-x86-64.so.2+0x10",
            "[vdso]+0x6d0",
            "0x401000",
            "std::io::stdio::_print+0x33 (stdio.rs:1126)",
            "<std::io::stdio::Stdout as std::io::Write>::write_all+0x8 (stdio.rs:3)",
            "<&mut W as core::fmt::Write>::write_str",
            "<W as core::fmt::Write>::write_str",
            "operator new(unsigned long)+0x1c (new_op.cc:50)",
            "malloc+0x20 (malloc.c:3300)",
            "with_capacity<u8> (library/alloc/src/vec/mod.rs:524) [inlined]",
            "",
        ] {
            assert!(!Frame::read(text).is_own(Some("write")), "{text}");
        }
        for text in [
            "publish+0x1f (feed.c:42)",
            "feed::publish+0x1f (feed.rs:42)",
            "<feed::Logger as std::io::Write>::write+0x8 (feed.rs:9)",
            "writer+0x1",
            "stdout_thread+0x1",
            "feed+0x16de",
            "[feed]+0x16de",
        ] {
            assert!(Frame::read(text).is_own(Some("write")), "{text}");
        }
        assert!(Frame::read("write_all+0x4").is_own(None));
    }

    #[test]
    fn functions_are_spoken_of_with_their_parentheses() {
        let spoken = |text| Frame::read(text).spoken();
        assert_eq!(spoken("publish+0x1f (feed.c:42)"), "publish()");
        assert_eq!(spoken("f(int)+0x1f"), "f(int)");
        assert_eq!(spoken("libc.so.6+0x2a1ca"), "libc.so.6");
        assert_eq!(spoken("[feed]+0x16de"), "[feed]", "no function");
        assert_eq!(spoken("0x1000"), "0x1000");
    }
}
