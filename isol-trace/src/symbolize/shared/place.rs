//! A place in a program, in words.

use std::{fmt, sync::Arc};

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

/// Words for places, innermost first.
pub type Words = Arc<[Arc<str>]>;

/// What is known of an address. Every text is on one line and printable; names have at most
/// [`NAME`](super::text::NAME) bytes, source lines [`SOURCE`](super::text::SOURCE), and both together with what joins
/// them.
///
/// The place is the innermost frame that is the program's own, also where the compiler inlined it into
/// a library's function, or a library's functions into it. Where there is none, it is the function that was compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `main+0x2e`; without offset where it was inlined: `leaf`. `None` where the file has no symbol
    /// there: the caller, who knows the file's name, then says `[file]+0x16de`.
    pub location: Option<Arc<str>>,
    /// `spin.c:11`, of that function.
    pub source: Option<Arc<str>>,
    /// Functions that were inlined there, as `leaf (spin.h:7)`, innermost first.
    pub inlined: Words,
    /// The function that was compiled, as `main+0x2e (spin.c:11)`, where [`Self::location`] is another.
    pub outer: Option<Arc<str>>,
    /// Why there is no more than this, where the file would have it.
    pub missing: Option<Missing>,
}

impl Place {
    /// All functions that are at the place besides [`Self::location`], innermost first: those that were
    /// inlined, and the one that was compiled where that is another.
    #[must_use]
    pub fn listed(&self) -> Words {
        self.inlined.iter().chain(&self.outer).cloned().collect()
    }

    /// The frames as a stack shows them, innermost first: `leaf (spin.h:7) [inlined]`, and last the
    /// function that was compiled, `main+0x2e (spin.c:11)`. Empty where nothing is known.
    #[must_use]
    pub fn stack(&self) -> Vec<Arc<str>> {
        let outer = self.outer.clone().or_else(|| {
            let location = self.location.as_ref()?;
            Some(match &self.source {
                Some(source) => format!("{location} ({source})").into(),
                None => location.clone(),
            })
        });
        let inlined = self.inlined.iter();
        let inlined = inlined.map(|inlined| format!("{inlined} [inlined]").into());
        inlined.chain(outer).collect()
    }
}

/// Why a place lacks what its file could have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A part of the file takes more memory than there is for it.
    Memory {
        /// The section, as the file names it.
        what: &'static str,
        /// Bytes that it takes, by what the file says.
        needs: u64,
        /// Bytes that there are.
        limit: u64,
    },
    /// The answer would have taken more steps than there are for one.
    Steps(&'static str),
    /// The file is damaged, or is of a kind that is not understood.
    Damaged(&'static str),
    /// The debug information is in a file of its own that was not given.
    Split(Box<str>),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { what, needs, limit } => write!(
                f,
                "{what} needs {} MiB, the limit is {} MiB",
                needs.div_ceil(MIB),
                limit / MIB
            ),
            Self::Steps(what) => write!(f, "{what} takes too many steps to read"),
            Self::Damaged(what) => write!(f, "{what} is damaged or of an unknown kind"),
            Self::Split(name) => {
                write!(f, "the debug information is in {name}, which is not there")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sentences() {
        let missing = Missing::Memory {
            what: ".debug_info",
            needs: 300 * MIB + 1,
            limit: 256 * MIB,
        };
        assert_eq!(
            missing.to_string(),
            ".debug_info needs 301 MiB, the limit is 256 MiB"
        );
    }
}
