//! What runs in the tracer: it knows processes, opens files for the child and asks it; it parses nothing of them.
//!
//! - [`places`]: what others ask. Answers come from a thread of its own, and nobody waits for them;
//! - [`symbols`]: works on that thread, and knows how a place or a stack is found;
//! - `processes`: what processes have mapped, and where their files can be opened; `files`: opens and checks them;
//! - `symbolizer`: starts the child, asks it, and holds files to account that end it;
//! - `limit` and `warnings`: how often something is done, and how much of it a person is told.

mod files;
mod limit;
pub mod places;
mod processes;
pub(crate) mod symbolizer;
pub mod symbols;
mod warnings;

pub use symbolizer::Starter;
