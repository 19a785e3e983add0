//! Places in user space: what function, source line and stack an address of a process is.
//!
//! Two processes do it, and each has its room:
//!
//! - [`parent`] runs in the tracer. It knows processes, opens their files and asks; it parses nothing;
//! - [`child`] is the other process and all that runs in it. It parses what strangers wrote, and can open nothing;
//! - `shared`: what they say to each other, and the values that both know;
//! - `mappings`: what programs map, recorded as they do it, for those that do not live to be read. It is the parent's.
//!
//! Data flows one way: the kernel's records and `/proc` → parent → child → parent → words.

pub mod child;
pub(crate) mod mappings;
pub mod parent;
pub(crate) mod shared;

pub use child::parse::{
    image::{FileOffset, Image, LinkedAddress},
    limits::{ImageError, Limits},
    note::{AltLink, DebugLink},
    perf_map::PerfMap,
    program::Program,
};
pub use parent::Starter;
pub use shared::{
    place::{Missing, Place, Words},
    text::{NAME, SOURCE},
};
