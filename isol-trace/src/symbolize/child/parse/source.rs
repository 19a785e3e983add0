//! How a source file is named in a log.

/// Where the sources of Rust's standard library are: as they are distributed, and as they are installed.
const RUST_SOURCES: [&str; 2] = ["/rustc/", "/lib/rustlib/src/rust/"];

/// The name of a source file; of one of Rust's standard library its path in there, which begins with
/// `library/`: its inlined functions have names that any program's could have.
pub(super) fn file_name(path: &str) -> Option<&str> {
    let is_rusts = RUST_SOURCES.iter().any(|it| path.contains(it));
    if is_rusts && let Some(start) = path.find("/library/") {
        return path.get(start + 1..);
    }
    path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// `spin.c:11`.
pub(super) fn source_line(path: &str, line: Option<u64>) -> Option<String> {
    let name = file_name(path)?;
    Some(match line {
        Some(line) => format!("{name}:{line}"),
        None => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_without_its_folder_save_those_of_rust_itself() {
        for (path, name) in [
            ("/home/me/feed/src/feed.c", Some("feed.c")),
            ("src/feed.c", Some("feed.c")),
            ("feed.c", Some("feed.c")),
            (
                "/rustc/5980/library/alloc/src/alloc.rs",
                Some("library/alloc/src/alloc.rs"),
            ),
            (
                "/opt/rust/lib/rustlib/src/rust/library/alloc/src/alloc.rs",
                Some("library/alloc/src/alloc.rs"),
            ),
            ("/home/me/library/src/a.rs", Some("a.rs")),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(file_name(path), name, "{path}");
        }
        assert_eq!(source_line("a/b.c", Some(7)).as_deref(), Some("b.c:7"));
        assert_eq!(source_line("a/b.c", None).as_deref(), Some("b.c"));
    }
}
