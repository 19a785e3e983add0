//! A place in a program, in words.

use std::sync::Arc;

use super::limits::Missing;

/// Words for places, innermost first.
pub type Words = Arc<[Arc<str>]>;

/// What is known of an address. Every text has at most [`NAME`](super::NAME) bytes, is on one line
/// and printable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `main+0x2e`. `None` where the file has no symbol there: the caller, who knows the file's name,
    /// then says `file+0x16de`.
    pub location: Option<Arc<str>>,
    /// `spin.c:11`.
    pub source: Option<Arc<str>>,
    /// Functions that were inlined there, as `leaf (spin.h:7)`, innermost first.
    pub inlined: Words,
    /// Why there is no more than this, where the file would have it.
    pub missing: Option<Missing>,
}
