//! From what a file says of an address to the words of its place.

use std::sync::Arc;

use super::{
    demangle::demangled,
    dwarf::{Found, RawFrame},
    source::source_line,
};
use crate::symbolize::shared::{
    own::is_library,
    place::Place,
    text::{NAME, SOURCE, limited},
};

/// A function's name, not demangled, and the offset in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: Vec<u8>,
    pub(super) offset: u64,
}

impl Place {
    /// Of a symbol alone.
    fn of_symbol(function: Option<&Function>, beyond: u64) -> Self {
        let location = function.map(|function| {
            let name = String::from_utf8_lossy(&function.name);
            at_offset(&demangled(&name), function.offset.wrapping_add(beyond))
        });
        Self {
            location,
            ..Self::default()
        }
    }

    /// Of a symbol, and of what the debug information says.
    pub(super) fn of(symbol: Option<Function>, found: Found, beyond: u64) -> Self {
        let Found {
            mut frames,
            offset,
            missing,
        } = found;
        let outer = frames.pop().unwrap_or_default();
        let function = symbol.or_else(|| {
            Some(Function {
                name: outer.name.clone()?,
                offset: offset?,
            })
        });
        let inlined: Vec<Frame> = frames.iter().map(Frame::of).collect();
        let name = function
            .as_ref()
            .map(|it| demangled(&String::from_utf8_lossy(&it.name)).into_owned());
        let is_own = name
            .as_ref()
            .is_some_and(|name| !is_library(name, outer.path.as_deref()));
        let mut place = Self::of_symbol(function.as_ref(), beyond);
        place.source = source(&outer);
        place.missing = missing;
        // Among what was inlined, the innermost own frame with a line.
        let own = inlined
            .iter()
            .find(|frame| frame.is_own && frame.source.is_some());
        if let Some(own) = own {
            place.outer = place.location.take().map(|location| match &place.source {
                Some(source) => format!("{location} ({source})").into(),
                None => location,
            });
            place.location = Some(own.name.clone());
            place.source.clone_from(&own.source);
        } else if !is_own && place.location.is_none() {
            place.location = inlined.first().map(|frame| frame.name.clone());
        }
        place.inlined = inlined.into_iter().map(Frame::words).collect();
        place
    }
}

/// A function that was inlined.
struct Frame {
    name: Arc<str>,
    source: Option<Arc<str>>,
    is_own: bool,
}

impl Frame {
    fn of(raw: &RawFrame) -> Self {
        let name = raw.name.as_deref().unwrap_or(b"?");
        let name = String::from_utf8_lossy(name);
        let name = demangled(&name);
        Self {
            is_own: raw.name.is_some() && !is_library(&name, raw.path.as_deref()),
            name: limited(&name, NAME),
            source: source(raw),
        }
    }

    fn words(self) -> Arc<str> {
        match self.source {
            Some(source) => format!("{} ({source})", self.name).into(),
            None => self.name,
        }
    }
}

fn source(frame: &RawFrame) -> Option<Arc<str>> {
    let line = source_line(frame.path.as_deref()?, frame.line)?;
    Some(limited(&line, SOURCE))
}

/// `main+0x2e`, within the limit: the name is cut, never the offset.
pub(super) fn at_offset(name: &str, offset: u64) -> Arc<str> {
    if offset == 0 {
        return limited(name, NAME);
    }
    let offset = format!("+{offset:#x}");
    let name = limited(name, NAME - offset.len());
    format!("{name}{offset}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, path: &str, line: u64) -> RawFrame {
        RawFrame {
            name: Some(name.into()),
            path: Some(path.to_owned()),
            line: Some(line),
        }
    }

    fn place(symbol: &str, frames: Vec<RawFrame>) -> Place {
        let symbol = Function {
            name: symbol.into(),
            offset: 0x2e,
        };
        let found = Found {
            frames,
            ..Found::default()
        };
        Place::of(Some(symbol), found, 0)
    }

    #[test]
    fn the_place_is_the_programs_own_frame() {
        let call_once = "_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE";
        let library = "/rustc/5980/library/core/src/ops/function.rs";
        let place = place(
            call_once,
            vec![
                raw("spin_loop", "/rustc/5980/library/core/src/hint.rs", 9),
                raw("run", "/home/me/src/feed.rs", 68),
                raw("call_once", library, 250),
            ],
        );
        assert_eq!(place.location.as_deref(), Some("run"));
        assert_eq!(place.source.as_deref(), Some("feed.rs:68"));
        assert_eq!(
            place.stack(),
            [
                "spin_loop (library/core/src/hint.rs:9) [inlined]",
                "run (feed.rs:68) [inlined]",
                "core::ops::function::FnOnce::call_once+0x2e (library/core/src/ops/function.rs:250)",
            ]
            .map(Arc::from)
        );
        assert_eq!(place.listed().len(), 3);
    }

    #[test]
    fn a_function_into_which_a_library_was_inlined_is_the_place() {
        let place = place(
            "main",
            vec![
                raw(
                    "memcpy",
                    "/usr/include/x86_64-linux-gnu/bits/string_fortified.h",
                    29,
                ),
                raw("main", "/home/me/spin.c", 11),
            ],
        );
        assert_eq!(place.location.as_deref(), Some("main+0x2e"));
        assert_eq!(place.source.as_deref(), Some("spin.c:11"));
        assert_eq!(&*place.listed(), ["memcpy (string_fortified.h:29)".into()]);
        assert_eq!(place.stack().len(), 2);
    }

    #[test]
    fn a_library_by_itself_keeps_its_place() {
        let frames = vec![raw("__write", "../sysdeps/unix/sysv/linux/write.c", 26)];
        let place = place("__write", frames);
        assert_eq!(place.location.as_deref(), Some("__write+0x2e"));
        assert_eq!(place.source.as_deref(), Some("write.c:26"));
        assert!(place.inlined.is_empty());
    }

    #[test]
    fn offsets_are_never_cut() {
        let long = at_offset(&"x".repeat(1 << 20), 0x1f);
        assert_eq!(long.len(), NAME);
        assert!(long.ends_with("…+0x1f"));
        assert_eq!(&*at_offset("main", 0), "main");
    }
}
