//! What an ELF file says about its code: where it goes in memory, and how to unwind it.
//!
//! Read once a file and kept with it: `.eh_frame` is a few hundred kilobytes of a large library.

use std::{ops::Range, sync::Arc};

use framehop::{ExplicitModuleSectionInfo, Module};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSegment as _, elf::FileHeader64,
    read::elf::ElfFile,
};

use crate::{arch::MACHINE, symbolize::shared::protocol::Code};

/// Bytes of a file's unwind tables; one with more than that has none.
const BUDGET: u64 = 16 << 20;

/// What is kept of a file.
#[derive(Debug, Default)]
pub(in crate::symbolize::child) struct Table {
    /// What is loaded: a part of the file, and the address that it is linked for.
    segments: Vec<Segment>,
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
    pub(in crate::symbolize::child) fn parse(data: &[u8]) -> Option<Self> {
        let elf = ElfFile::<FileHeader64<Endianness>>::parse(data).ok()?;
        if elf.elf_header().e_machine.get(elf.endian()) != MACHINE {
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
            eh_frame: section(".eh_frame"),
            eh_frame_hdr: section(".eh_frame_hdr"),
            text: range(".text"),
            got: range(".got"),
        })
    }

    /// The address that a place of the file is linked for.
    fn linked_address(&self, offset: u64) -> Option<u64> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.file.contains(&offset))?;
        segment.address.checked_add(offset - segment.file.start)
    }

    /// Bytes that it takes.
    pub(in crate::symbolize::child) fn bytes(&self) -> u64 {
        let sections = [&self.eh_frame, &self.eh_frame_hdr].into_iter().flatten();
        sections.map(|section| section.data.len() as u64).sum()
    }

    /// The file as the unwinder takes it, mapped as `code` says. `address` lies in that: its beginning need
    /// not be the segment's, since it is of a page. `None` where the file has no tables.
    pub(super) fn module(&self, code: &Code, address: u64) -> Option<Module<Arc<[u8]>>> {
        let eh_frame = self.eh_frame.clone()?;
        let header = self.eh_frame_hdr.clone();
        let lowest = self.segments.iter().map(|segment| segment.address).min()?;
        // The distance between where the file is linked for and where it is.
        let offset = address.wrapping_sub(code.start).wrapping_add(code.offset);
        let linked = self.linked_address(offset)?;
        let bias = address.wrapping_sub(linked);
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
        let range = code.start..code.end;
        Some(Module::new(String::new(), range, base, sections))
    }
}

#[cfg(test)]
mod tests;
