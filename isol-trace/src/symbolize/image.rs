//! One ELF file.

use std::{cell::OnceCell, fs::File};

use memmap2::Mmap;

use super::{
    demangle::demangled,
    elf::Headers,
    limits::{ImageError, Limits, Missing},
    note::{AltLink, DebugLink, Names},
    place::Place,
    symbols::Symbols,
    text::{NAME, limited},
};

/// Bytes of a file that is mapped; the largest programs have some ten.
const MAX_FILE: u64 = 64 << 30;

/// An offset in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileOffset(pub u64);

/// An address as a file is linked for: what its symbols and its debug information speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkedAddress(pub u64);

/// The bytes of a file.
#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Box<[u8]>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// One ELF file, mapped for reading.
///
/// Whoever owns the file can change it or cut it meanwhile. What was checked is copied where it
/// matters, and reading behind a new end is a `SIGBUS`: use this in a process that may die.
#[derive(Debug)]
pub struct Image {
    bytes: Bytes,
    headers: Headers,
    names: Names,
    limits: Limits,
    symbols: OnceCell<Result<Symbols, Missing>>,
}

impl Image {
    /// Maps a regular file and reads its headers.
    ///
    /// # Errors
    /// Where it cannot be mapped, or is no ELF file.
    pub fn open(file: &File, limits: Limits) -> Result<Self, ImageError> {
        let length = file.metadata()?.len();
        if length > MAX_FILE {
            return Err(ImageError::TooLarge(length));
        }
        // SAFETY: it is only read, and read as bytes, of which every value is valid. That the file's
        // owner may write to it meanwhile is said above: no decision rests on reading a byte twice.
        let map = unsafe { Mmap::map(file) }?;
        Self::new(Bytes::Mapped(map), limits)
    }

    /// As [`Self::open`], of bytes in memory: the vDSO, which is no file.
    ///
    /// # Errors
    /// Where they are no ELF file.
    pub fn from_bytes(bytes: Box<[u8]>, limits: Limits) -> Result<Self, ImageError> {
        Self::new(Bytes::Owned(bytes), limits)
    }

    fn new(bytes: Bytes, limits: Limits) -> Result<Self, ImageError> {
        let headers = Headers::parse(&bytes)?;
        let names = Names::of(&headers, &bytes);
        Ok(Self {
            bytes,
            headers,
            names,
            limits,
            symbols: OnceCell::new(),
        })
    }

    /// The file's bytes, for who reads its unwind tables.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// It is a program of the machine with this number (`EM_X86_64`).
    #[must_use]
    pub const fn is_for(&self, machine: u16) -> bool {
        self.headers.machine == machine
    }

    /// By what its debug information is found below the debug directories.
    #[must_use]
    pub fn build_id(&self) -> Option<&[u8]> {
        self.names.build_id.as_deref()
    }

    /// A file with its debug information, by name and sum.
    #[must_use]
    pub const fn debug_link(&self) -> Option<&DebugLink> {
        self.names.debug_link.as_ref()
    }

    /// A file that its debug information refers to, by name and build-id.
    #[must_use]
    pub const fn alt_link(&self) -> Option<&AltLink> {
        self.names.alt_link.as_ref()
    }

    /// The address that a place of the file is linked for.
    #[must_use]
    pub fn linked_address(&self, offset: FileOffset) -> Option<LinkedAddress> {
        self.headers.linked_address(offset.0).map(LinkedAddress)
    }

    /// The function by the symbol table alone, which takes no debug information; `beyond` is added to
    /// its offset.
    #[must_use]
    pub fn symbol(&self, at: LinkedAddress, beyond: u64) -> Place {
        let symbols = self
            .symbols
            .get_or_init(|| Symbols::read(&self.headers, &self.bytes, &self.limits));
        match symbols {
            Ok(symbols) => Place {
                location: symbols.find(&self.bytes, at.0).map(|symbol| {
                    let name = String::from_utf8_lossy(symbol.name);
                    at_offset(&demangled(&name), symbol.offset.wrapping_add(beyond))
                }),
                ..Place::default()
            },
            Err(missing) => Place {
                missing: Some(missing.clone()),
                ..Place::default()
            },
        }
    }

    /// The place with its source line and the functions that were inlined there, as far as this file
    /// knows; `beyond` is added to the offset. Empty where the file knows nothing of that address.
    pub fn place(&mut self, at: LinkedAddress, beyond: u64) -> Place {
        self.symbol(at, beyond)
    }

    /// Bytes of anonymous memory that are in use for it.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let symbols = self.symbols.get().and_then(|it| it.as_ref().ok());
        symbols.map_or(0, Symbols::memory)
    }
}

/// `main+0x2e`, within the limit: the name is cut, never the offset.
pub(super) fn at_offset(name: &str, offset: u64) -> std::sync::Arc<str> {
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

    fn own() -> File {
        File::open("/proc/self/exe").expect("this test")
    }

    #[test]
    fn a_function_has_its_name() {
        let image = Image::open(&own(), Limits::default()).expect("an ELF file");
        assert!(image.build_id().is_some());
        let load = image.headers.segments.iter().find(|it| it.offset > 0);
        let load = load.expect("more than one segment");
        let start = image.linked_address(FileOffset(load.offset));
        assert_eq!(start, Some(LinkedAddress(load.address)));
        let names = (0..load.size).step_by(4096).filter(|offset| {
            let at = LinkedAddress(load.address + offset);
            image.symbol(at, 0).location.is_some()
        });
        assert!(names.count() > 0);
        assert!(image.memory() > 0);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0x7f; 4096]] {
            let image = Image::from_bytes(bytes.into(), Limits::default());
            assert!(matches!(image, Err(ImageError::NotElf(_))));
        }
        let empty = tempfile::tempfile().expect("a file");
        assert!(Image::open(&empty, Limits::default()).is_err());
    }

    #[test]
    fn offsets_are_never_cut() {
        let long = at_offset(&"x".repeat(1 << 20), 0x1f);
        assert_eq!(long.len(), NAME);
        assert!(long.ends_with("…+0x1f"));
        assert_eq!(&*at_offset("main", 0), "main");
    }
}
