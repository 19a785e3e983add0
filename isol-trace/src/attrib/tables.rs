//! What an ELF file says about its code: where it goes in memory, and how to unwind it.
//!
//! Read once a file and kept within a budget: `.eh_frame` is a few hundred kilobytes of a large
//! library, and none of it is needed again while its file is not on a sender's stack.

use std::{
    collections::HashMap, fs::File, io, ops::Range, os::unix::fs::MetadataExt as _, path::Path,
    sync::Arc,
};

use framehop::{ExplicitModuleSectionInfo, Module};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSegment as _, ReadCache, ReadRef,
    elf::{EM_X86_64, FileHeader64},
    read::elf::ElfFile,
};

use super::user_maps::Mapping;
use crate::event::ids::Address;

/// Bytes of unwind tables that are kept; a file with more than that has none.
const BUDGET: u64 = 16 << 20;

/// Files that are remembered, with or without tables.
const FILES: usize = 1024;

/// A file as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// What is kept of a file.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// What is loaded: a part of the file, and the address that it is linked for.
    segments: Vec<Segment>,
    /// The note that also names the file's debug information.
    pub(super) build_id: Option<Box<[u8]>>,
    eh_frame: Option<Section>,
    eh_frame_hdr: Option<Section>,
    /// Where these are: addresses in the tables may be relative to them.
    text: Option<Range<u64>>,
    got: Option<Range<u64>>,
}

#[derive(Debug)]
struct Segment {
    /// In the file.
    file: Range<u64>,
    /// As it is linked.
    address: u64,
}

#[derive(Clone, Debug)]
struct Section {
    range: Range<u64>,
    data: Arc<[u8]>,
}

impl Table {
    /// Reads an ELF file of this architecture; `None` where it is none.
    fn parse<'data, R: ReadRef<'data>>(data: R) -> Option<Self> {
        let elf = ElfFile::<FileHeader64<Endianness>, R>::parse(data).ok()?;
        if elf.elf_header().e_machine.get(elf.endian()) != EM_X86_64 {
            return None;
        }
        let segments = elf.segments().map(|segment| {
            let (start, size) = segment.file_range();
            Segment {
                file: start..start.saturating_add(size),
                address: segment.address(),
            }
        });
        let range = |name: &str| {
            let section = elf.section_by_name(name)?;
            let start = section.address();
            Some(start..start.checked_add(section.size())?)
        };
        let section = |name: &str| {
            let section = elf.section_by_name(name)?;
            if section.size() > BUDGET {
                return None;
            }
            Some(Section {
                range: range(name)?,
                data: section.data().ok()?.into(),
            })
        };
        Some(Self {
            segments: segments.collect(),
            build_id: elf.build_id().ok().flatten().map(Into::into),
            eh_frame: section(".eh_frame"),
            eh_frame_hdr: section(".eh_frame_hdr"),
            text: range(".text"),
            got: range(".got"),
        })
    }

    /// The address that a place of the file is linked for.
    pub(super) fn linked_address(&self, offset: u64) -> Option<u64> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.file.contains(&offset))?;
        segment.address.checked_add(offset - segment.file.start)
    }

    /// Bytes that it takes.
    fn bytes(&self) -> u64 {
        let sections = [&self.eh_frame, &self.eh_frame_hdr].into_iter().flatten();
        sections.map(|section| section.data.len() as u64).sum()
    }

    /// The file as the unwinder takes it, mapped as `mapping` says. `address` lies in that: its beginning need
    /// not be the segment's, since it is of a page. `None` where the file has no tables.
    pub(super) fn module(&self, mapping: &Mapping, address: Address) -> Option<Module<Arc<[u8]>>> {
        let eh_frame = self.eh_frame.clone()?;
        let header = self.eh_frame_hdr.clone();
        let lowest = self.segments.iter().map(|segment| segment.address).min()?;
        // The distance between where the file is linked for and where it is.
        let linked = self.linked_address(mapping.file_offset(address))?;
        let bias = address.0.wrapping_sub(linked);
        let sections = ExplicitModuleSectionInfo {
            base_svma: lowest,
            text_svma: self.text.clone(),
            got_svma: self.got.clone(),
            eh_frame_svma: Some(eh_frame.range),
            eh_frame: Some(eh_frame.data),
            eh_frame_hdr_svma: header.as_ref().map(|header| header.range.clone()),
            eh_frame_hdr: header.map(|header| header.data),
            ..ExplicitModuleSectionInfo::default()
        };
        let base = lowest.wrapping_add(bias);
        let range = mapping.start..mapping.end;
        Some(Module::new(String::new(), range, base, sections))
    }
}

/// Tables of files, read when first asked for.
#[derive(Debug, Default)]
pub(super) struct Tables {
    files: HashMap<Identity, Option<Arc<Table>>>,
    /// Bytes that they take.
    bytes: u64,
    /// That of our own vDSO, which is every process's.
    vdso: Option<Arc<Table>>,
}

impl Tables {
    /// That of a file; `None` where it cannot be read, or is no program of this architecture.
    pub(super) fn of_file(&mut self, path: &Path) -> Option<Arc<Table>> {
        let file = File::open(path).ok()?;
        let identity = Identity::of(&file).ok()?;
        if let Some(known) = self.files.get(&identity) {
            return known.clone();
        }
        let cache = ReadCache::new(file);
        let table = Table::parse(&cache).map(Arc::new);
        let bytes = table.as_deref().map_or(0, Table::bytes);
        if self.bytes + bytes > BUDGET || self.files.len() >= FILES {
            self.files.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.files.insert(identity, table.clone());
        table
    }

    /// That of the vDSO, from the image of ours, which is read once.
    pub(super) fn of_vdso(
        &mut self,
        image: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Arc<Table>> {
        if self.vdso.is_none() {
            self.vdso = Table::parse(image()?.as_slice()).map(Arc::new);
        }
        self.vdso.clone()
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        Ok(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests;
