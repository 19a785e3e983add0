//! The headers of an ELF file as plain values that were checked.

use object::{
    Endianness,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _},
};

use super::limits::ImageError;
use crate::symbolize::shared::text::until_zero;

/// Sections of a file that are looked at; a linked program has some forty.
const MAX_SECTIONS: usize = 4096;

/// Segments likewise; a program has some ten.
const MAX_SEGMENTS: usize = 256;

/// Bytes of a section's name.
const MAX_NAME: usize = 64;

/// What a file says of itself.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) is_64: bool,
    pub(super) endian: Endianness,
    /// `EM_X86_64` and others (gABI, `e_machine`).
    pub(super) machine: u16,
    /// What is loaded (`PT_LOAD`), in the order of the file.
    pub(super) segments: Vec<Segment>,
    /// By their numbers, which symbols refer to.
    pub(super) sections: Vec<Section>,
    /// File ranges of `PT_NOTE`, for files whose section headers were removed.
    pub(super) notes: Vec<Extent>,
}

/// A part of the file that certainly lies in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: usize,
    pub(super) len: usize,
}

/// A part of the file that is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) size: u64,
    /// That it is linked for.
    pub(super) address: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: Box<[u8]>,
    pub(super) kind: u32,
    pub(super) flags: u64,
    pub(super) address: u64,
    /// `None` where it takes no room in the file, or does not lie in it.
    pub(super) extent: Option<Extent>,
    pub(super) link: u32,
}

impl Section {
    /// Its bytes are instructions.
    pub(super) const fn is_code(&self) -> bool {
        self.flags & elf::SHF_EXECINSTR as u64 != 0
    }
}

impl Extent {
    /// A range of a file of `length` bytes.
    fn new(offset: u64, size: u64, length: usize) -> Option<Self> {
        let start = usize::try_from(offset).ok()?;
        let len = usize::try_from(size).ok()?;
        (start.checked_add(len)? <= length).then_some(Self { start, len })
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start..self.start.saturating_add(self.len))
            .unwrap_or_default()
    }
}

impl Headers {
    /// Reads them.
    ///
    /// # Errors
    /// [`ImageError::NotElf`] where the file is none, or its tables of segments or sections do not lie
    /// in it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes.get(..5) {
            Some([0x7f, b'E', b'L', b'F', elf::ELFCLASS64]) => {
                Self::of::<FileHeader64<Endianness>>(bytes)
            }
            Some([0x7f, b'E', b'L', b'F', elf::ELFCLASS32]) => {
                Self::of::<FileHeader32<Endianness>>(bytes)
            }
            _ => Err(ImageError::NotElf("it does not begin as one")),
        }
    }

    fn of<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Self, ImageError> {
        let damaged = |what| move |_: object::Error| ImageError::NotElf(what);
        let header = H::parse(bytes).map_err(damaged("its header is damaged"))?;
        let endian = header
            .endian()
            .map_err(damaged("its byte order is unknown"))?;
        let programs = header
            .program_headers(endian, bytes)
            .map_err(damaged("its program headers are damaged"))?;
        let table = header
            .section_headers(endian, bytes)
            .map_err(damaged("its section headers are damaged"))?;
        let names = header
            .section_strings_index(endian, bytes)
            .ok()
            .and_then(|index| table.get(index.0))
            .and_then(|section| section.file_range(endian))
            .and_then(|(offset, size)| Extent::new(offset, size, bytes.len()))
            .map_or(&[][..], |extent| extent.of(bytes));
        let mut segments = Vec::new();
        let mut notes = Vec::new();
        for program in programs.iter().take(MAX_SEGMENTS) {
            let (offset, size) = program.file_range(endian);
            match program.p_type(endian) {
                elf::PT_LOAD => segments.push(Segment {
                    offset,
                    size,
                    address: program.p_vaddr(endian).into(),
                }),
                elf::PT_NOTE => notes.extend(Extent::new(offset, size, bytes.len())),
                _ => {}
            }
        }
        let sections = table.iter().take(MAX_SECTIONS).map(|section| {
            let start = usize::try_from(section.sh_name(endian)).unwrap_or(usize::MAX);
            let name = names.get(start..).unwrap_or_default();
            Section {
                name: until_zero(name, MAX_NAME).into(),
                kind: section.sh_type(endian),
                flags: section.sh_flags(endian).into(),
                address: section.sh_addr(endian).into(),
                extent: section
                    .file_range(endian)
                    .and_then(|(offset, size)| Extent::new(offset, size, bytes.len())),
                link: section.sh_link(endian),
            }
        });
        Ok(Self {
            is_64: header.is_class_64(),
            endian,
            machine: header.e_machine(endian),
            segments,
            sections: sections.collect(),
            notes,
        })
    }

    /// The first section of that name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        let name = name.as_bytes();
        self.sections.iter().find(|section| &*section.name == name)
    }

    /// The address that a place of the file is linked for.
    pub(super) fn linked_address(&self, offset: u64) -> Option<u64> {
        let within = |it: &&Segment| {
            it.offset
                .checked_add(it.size)
                .is_some_and(|end| (it.offset..end).contains(&offset))
        };
        let segment = self.segments.iter().find(within)?;
        segment.address.checked_add(offset - segment.offset)
    }
}
