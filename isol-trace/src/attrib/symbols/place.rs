//! A place in user space, in words.

use std::{borrow::Cow, path::Path, sync::Arc};

use blazesym::symbolize::{CodeInfo, Sym};

/// Words for places, innermost first.
pub type Words = Arc<[Arc<str>]>;

/// What is known of an instruction pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPlace {
    /// `main+0x2e`, or `spin+0x16de` (offset in the file) where the file has no symbols.
    pub location: Option<Arc<str>>,
    /// `spin.c:11`.
    pub source: Option<Arc<str>>,
    /// Functions that were inlined there, as `leaf (spin.h:7)`, innermost first. Where there are any,
    /// [`Self::source`] is where the outermost of them was called.
    pub inlined: Words,
}

impl UserPlace {
    /// Words for a symbol: the function that was compiled, and the line in it,
    /// which is a call's where an inlined function was running.
    pub(super) fn of(sym: &Sym<'_>, beyond: u64) -> Self {
        let offset = (sym.offset as u64).wrapping_add(beyond);
        let name = unmangled(&sym.name);
        let location = if offset == 0 {
            name.into_owned()
        } else {
            format!("{name}+{offset:#x}")
        };
        let source = sym.code_info.as_deref().and_then(source_line);
        let inlined = sym.inlined.iter().rev().map(|inlined| {
            let name = unmangled(&inlined.name);
            match inlined.code_info.as_ref().and_then(source_line) {
                Some(source) => format!("{name} ({source})").into(),
                None => Arc::from(&*name),
            }
        });
        Self {
            location: Some(location.into()),
            source: source.map(Arc::from),
            inlined: inlined.collect(),
        }
    }
}

/// What names of compilers begin with: C++ and Rust's older ones (Itanium C++ ABI 5.1), and Rust's own.
const MANGLED: [&str; 2] = ["_Z", "_R"];

/// A function's name as it was written.
///
/// Not by the symbolizer: where it does not know the language, a C function `f` is the C++ type `float`
/// to it (blazesym 0.2.7).
fn unmangled(name: &str) -> Cow<'_, str> {
    if !MANGLED.iter().any(|prefix| name.starts_with(prefix)) {
        return Cow::Borrowed(name);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Cow::Owned(format!("{rust:#}"));
    }
    let cpp = cpp_demangle::Symbol::new(name).ok();
    cpp.and_then(|symbol| symbol.demangle().ok())
        .map_or(Cow::Borrowed(name), Cow::Owned)
}

/// File name and line.
fn source_line(code: &CodeInfo<'_>) -> Option<String> {
    let file = file_name(
        code.dir.as_deref().unwrap_or(Path::new("")),
        Path::new(&*code.file),
    )?;
    Some(match code.line {
        Some(line) => format!("{file}:{line}"),
        None => file,
    })
}

/// Where the sources of Rust's standard library are: as they are distributed, and as they are installed.
const RUST_SOURCES: [&str; 2] = ["/rustc/", "/lib/rustlib/src/rust/"];

/// The name of a source file; of one of Rust's standard library its path in there, which begins with
/// `library/`: its inlined functions have names that any program's could have.
fn file_name(folder: &Path, file: &Path) -> Option<String> {
    let joined = folder.join(file);
    let path = joined.to_string_lossy();
    let is_rusts = RUST_SOURCES.iter().any(|it| path.contains(it));
    if is_rusts && let Some(start) = path.find("/library/") {
        return path.get(start + 1..).map(str::to_owned);
    }
    Some(file.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        for name in ["f", "w", "Ss", "St", "main", "_start", "_Z", "__libc_write"] {
            assert_eq!(unmangled(name), name);
        }
        assert_eq!(unmangled("_Z7publishi"), "publish(int)");
        assert_eq!(
            unmangled("_ZN4feed7publish17h0123456789abcdefE"),
            "feed::publish"
        );
        assert_eq!(unmangled("_RNvC4feed7publish"), "feed::publish");
    }

    #[test]
    fn a_file_is_named_without_its_folder_save_those_of_rust_itself() {
        fn name(folder: &str, file: &str) -> Option<String> {
            file_name(Path::new(folder), Path::new(file))
        }
        assert_eq!(
            name("/home/me/feed/src", "feed.c").as_deref(),
            Some("feed.c")
        );
        assert_eq!(name("", "src/feed.c").as_deref(), Some("feed.c"));
        for folder in [
            "/rustc/5980/library/alloc/src",
            "/opt/rust/lib/rustlib/src/rust/library/alloc/src",
        ] {
            let expected = Some("library/alloc/src/alloc.rs");
            assert_eq!(name(folder, "alloc.rs").as_deref(), expected);
            assert_eq!(
                name("/x", &format!("{folder}/alloc.rs")).as_deref(),
                expected
            );
        }
        assert_eq!(
            name("/home/me/library/src", "a.rs").as_deref(),
            Some("a.rs")
        );
        assert_eq!(name("", ""), None);
    }
}
