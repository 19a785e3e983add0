//! One ELF file.

use std::{cell::OnceCell, fs::File, ops::Range};

use gimli::RunTimeEndian;
use memmap2::{Mmap, MmapOptions};
use object::Endianness;

use super::{
    dwarf::{self, DebugData, Found, Source, Split},
    elf::Headers,
    go,
    limits::{ImageError, Limits, Steps},
    note::{AltLink, DebugLink, Names},
    place::Function,
    sections::Sections,
    symbols::Symbols,
};
use crate::symbolize::shared::place::{Missing, Place};

/// Bytes of a file that is mapped: 16 GiB. The largest programs have less than ten, with their debug information.
pub(in crate::symbolize::child) const MAX_FILE: u64 = 16 << 30;

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
    debug: OnceCell<Result<DebugData, Missing>>,
    /// As a file with split debug information.
    split: OnceCell<Result<Sections, Missing>>,
}

impl Image {
    /// Maps a regular file and reads its headers.
    ///
    /// # Errors
    /// Where it cannot be mapped, is no ELF file, or has more than 16 GiB.
    pub fn open(file: &File, limits: Limits) -> Result<Self, ImageError> {
        Self::open_within(file, MAX_FILE, limits)
    }

    /// As [`Self::open`], of a file that may have no more than `room` bytes either.
    pub(in crate::symbolize::child) fn open_within(
        file: &File,
        room: u64,
        limits: Limits,
    ) -> Result<Self, ImageError> {
        // The call itself: the C library's may be one that knows paths, which a sandbox does not let pass.
        let length = rustix::fs::fstat(file)
            .map_err(std::io::Error::from)?
            .st_size;
        let length = u64::try_from(length).unwrap_or_default();
        if length > MAX_FILE.min(room) {
            return Err(ImageError::TooLarge(length));
        }
        let size = usize::try_from(length).or(Err(ImageError::TooLarge(length)))?;
        // SAFETY: it is only read, and read as bytes, of which every value is valid. That the file's
        // owner may write to it meanwhile is said above: no decision rests on reading a byte twice.
        let map = unsafe { MmapOptions::new().len(size).map(file) }?;
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
            debug: OnceCell::new(),
            split: OnceCell::new(),
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

    /// The place with its source line and the functions that were inlined there, as far as this file
    /// knows; `beyond` is added to the offset. Empty where the file knows nothing of that address.
    #[must_use]
    pub fn place(&self, at: LinkedAddress, beyond: u64) -> Place {
        let found = self.frames(None, &[], at);
        place_of(self.function(at), found, beyond)
    }

    /// The function by the symbol table.
    pub(super) fn function(&self, at: LinkedAddress) -> Result<Option<Function>, Missing> {
        let symbols = self
            .symbols
            .get_or_init(|| Symbols::read(&self.headers, &self.bytes, &self.limits));
        let symbols = symbols.as_ref().map_err(Clone::clone)?;
        let symbol = symbols.find(&self.bytes, at.0).map(|symbol| Function {
            name: symbol.name.to_vec(),
            offset: symbol.offset,
        });
        // A stripped program of Go.
        let by_go = || {
            let found = go::Table::of(&self.headers, &self.bytes)?.function_at(at.0)?;
            Some(Function {
                name: found.0.to_vec(),
                offset: found.1,
            })
        };
        Ok(symbol.or_else(by_go))
    }

    /// What the debug information says; `None` where the file has none.
    pub(super) fn frames(
        &self,
        shared: Option<&Self>,
        splits: &[&Self],
        at: LinkedAddress,
    ) -> Result<Option<Found>, Missing> {
        let Some(data) = self.debug_data()? else {
            let table = go::Table::of(&self.headers, &self.bytes);
            let mut steps = Steps::new(&self.limits);
            return table.map(|table| table.find(at.0, &mut steps)).transpose();
        };
        let main = Source {
            bytes: &self.bytes,
            data,
        };
        // A shared file that cannot be read leaves what does not refer to it.
        let shared = shared.and_then(|shared| {
            let data = shared.debug_data().ok().flatten()?;
            Some(Source {
                bytes: &shared.bytes,
                data,
            })
        });
        let mut missing = None;
        let splits = splits
            .iter()
            .filter_map(|split| match split.split_sections() {
                Ok(sections) => Some(Split {
                    bytes: &split.bytes,
                    sections,
                    endian: split.endian(),
                }),
                Err(why) => {
                    missing = Some(why);
                    None
                }
            });
        let splits: Vec<Split<'_>> = splits.collect();
        let mut found = dwarf::frames(main, shared, &splits, at.0, &self.limits)?;
        found.missing = found.missing.or(missing);
        Ok(Some(found))
    }

    /// The addresses of its code, as it is linked: `.text`.
    #[must_use]
    pub fn code(&self) -> Option<Range<u64>> {
        let text = self.headers.section(".text")?;
        let length = text.extent?.len as u64;
        Some(text.address..text.address.checked_add(length)?)
    }

    /// It has debug information of its own, or says that it has.
    #[must_use]
    pub fn has_debug_information(&self) -> bool {
        let names = [".debug_info", ".zdebug_info"];
        names
            .iter()
            .any(|name| self.headers.section(name).is_some())
    }

    /// Forgets the units that were read, since a file with split debug information was added.
    pub(super) fn forget_units(&self) {
        if let Some(Ok(data)) = self.debug.get() {
            data.forget_units();
        }
    }

    fn debug_data(&self) -> Result<Option<&DebugData>, Missing> {
        if !self.has_debug_information() {
            return Ok(None);
        }
        let data = self.debug.get_or_init(|| {
            let sections = Sections::read(&self.headers, &self.bytes, &self.limits, false)?;
            DebugData::read(sections, &self.bytes, self.endian(), &self.limits)
        });
        data.as_ref().map(Some).map_err(Clone::clone)
    }

    fn split_sections(&self) -> Result<&Sections, Missing> {
        let sections = self
            .split
            .get_or_init(|| Sections::read(&self.headers, &self.bytes, &self.limits, true));
        sections.as_ref().map_err(Clone::clone)
    }

    const fn endian(&self) -> RunTimeEndian {
        match self.headers.endian {
            Endianness::Little => RunTimeEndian::Little,
            Endianness::Big => RunTimeEndian::Big,
        }
    }

    /// Bytes of address space that its mapping takes.
    pub(super) fn mapped(&self) -> u64 {
        match &self.bytes {
            Bytes::Mapped(map) => map.len() as u64,
            Bytes::Owned(_) => 0,
        }
    }

    /// Bytes of anonymous memory that are in use for it.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let symbols = self.symbols.get().and_then(|it| it.as_ref().ok());
        let debug = self.debug.get().and_then(|it| it.as_ref().ok());
        let split = self.split.get().and_then(|it| it.as_ref().ok());
        symbols.map_or(0, Symbols::memory)
            + debug.map_or(0, DebugData::memory)
            + split.map_or(0, Sections::memory)
    }
}

/// A place of what the symbol table and what the debug information say.
pub(super) fn place_of(
    function: Result<Option<Function>, Missing>,
    found: Result<Option<Found>, Missing>,
    beyond: u64,
) -> Place {
    let (function, mut missing) = match function {
        Ok(function) => (function, None),
        Err(why) => (None, Some(why)),
    };
    let found = match found {
        Ok(found) => found.unwrap_or_default(),
        Err(why) => {
            missing = Some(why);
            Found::default()
        }
    };
    let mut place = Place::of(function, found, beyond);
    place.missing = missing.or(place.missing);
    place
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
            matches!(image.function(at), Ok(Some(_)))
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
}
