//! What both sides of the symbolizer share: what they say to each other, and the plain values that it is about.
//!
//! - `protocol` and `channel`: questions, answers, and the packets that carry them;
//! - `maps`: what code a process has mapped; [`place`]: what is known of an address;
//! - `text`: how much of a stranger's text is taken, and how it is made printable; `own`: whose code a frame is;
//! - `shared_table`: what is kept of files, shared among the users whose they are.

pub(crate) mod channel;
pub(crate) mod maps;
pub(crate) mod own;
pub(crate) mod place;
pub(crate) mod protocol;
pub(crate) mod shared_table;
pub(crate) mod text;
