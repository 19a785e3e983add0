//! A function's name as it was written.

use std::{borrow::Cow, fmt};

use crate::symbolize::shared::text::NAME;

/// Bytes of a mangled name that are looked at: beyond that it is shown as it is.
const MANGLED: usize = 4096;

/// What names of compilers begin with: C++ and Rust's older ones (Itanium C++ ABI 5.1), and Rust's own.
const PREFIXES: [&str; 2] = ["_Z", "_R"];

/// Nesting of a C++ name: the demangler recurses.
const RECURSION: u32 = 64;

/// The name as it was written; a name that no compiler made stays as it is, lest the C function `f`
/// become the C++ type `float`.
pub(super) fn demangled(name: &str) -> Cow<'_, str> {
    if name.len() > MANGLED || !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Cow::Borrowed(name);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return written(|text| fmt::Write::write_fmt(text, format_args!("{rust:#}")));
    }
    let options = cpp_demangle::ParseOptions::default().recursion_limit(RECURSION);
    let Ok(symbol) = cpp_demangle::Symbol::new_with_options(name, &options) else {
        return Cow::Borrowed(name);
    };
    let options = cpp_demangle::DemangleOptions::default().recursion_limit(RECURSION);
    let mut text = Bounded::default();
    match symbol.structured_demangle(&mut text, &options) {
        Ok(()) => Cow::Owned(text.text),
        Err(_) if text.is_full => Cow::Owned(text.text),
        Err(_) => Cow::Borrowed(name),
    }
}

fn written<'a>(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Cow<'a, str> {
    let mut text = Bounded::default();
    // An error says that it is full: what there is, is enough to be cut.
    let _ = write(&mut text);
    Cow::Owned(text.text)
}

/// Text that takes somewhat more than a name may have, and then refuses: substitutions make names of a
/// few bytes that are gigabytes when they are written out.
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_full {
            return Err(fmt::Error);
        }
        let room = (NAME * 2).saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end));
        self.text
            .push_str(text.get(..end.unwrap_or(0)).unwrap_or_default());
        self.is_full = true;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        for name in ["f", "w", "Ss", "St", "main", "_start", "_Z", "__libc_write"] {
            assert_eq!(demangled(name), name);
        }
        assert_eq!(demangled("_Z7publishi"), "publish(int)");
        assert_eq!(
            demangled("_ZN4feed7publish17h0123456789abcdefE"),
            "feed::publish"
        );
        assert_eq!(demangled("_RNvC4feed7publish"), "feed::publish");
    }

    #[test]
    fn a_name_that_grows_for_ever_is_bounded() {
        // Each template argument doubles what stands before it: 2^40 letters.
        let mut name = "_Z1fI1aE".to_owned();
        let mut letters = String::from("1a");
        for _ in 0..40 {
            letters = format!("1bIS_{letters}E");
        }
        name.push_str(&letters);
        assert!(demangled(&name).len() <= MANGLED);
        let deep = format!("_Z1f{}i", "P".repeat(4000));
        assert!(demangled(&deep).len() <= MANGLED);
    }
}
