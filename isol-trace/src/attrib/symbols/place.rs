//! A place in user space, in words.

use std::{path::Path, sync::Arc};

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
        let location = if offset == 0 {
            sym.name.to_string()
        } else {
            format!("{}+{offset:#x}", sym.name)
        };
        let source = sym.code_info.as_deref().and_then(source_line);
        let inlined = sym.inlined.iter().rev().map(|inlined| {
            match inlined.code_info.as_ref().and_then(source_line) {
                Some(source) => format!("{} ({source})", inlined.name).into(),
                None => Arc::from(&*inlined.name),
            }
        });
        Self {
            location: Some(location.into()),
            source: source.map(Arc::from),
            inlined: inlined.collect(),
        }
    }
}

/// File name and line.
fn source_line(code: &CodeInfo<'_>) -> Option<String> {
    let file = Path::new(&*code.file).file_name()?.to_string_lossy();
    Some(match code.line {
        Some(line) => format!("{file}:{line}"),
        None => file.into_owned(),
    })
}
