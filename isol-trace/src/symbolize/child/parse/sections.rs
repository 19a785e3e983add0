//! The bytes of the sections with debug information, decompressed where need be.
//!
//! What a compressed section claims to be is compared with what is left of the limit before memory
//! is taken, and decompressing ends where the claim does.

use std::io::Read;

use flate2::read::ZlibDecoder;
use gimli::SectionId;
use object::{Endianness, elf};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::{
    elf::{Extent, Headers, Section},
    limits::Limits,
};
use crate::symbolize::shared::place::Missing;

/// The part of the memory that decompressed sections may take.
const SHARE: u64 = 2;

/// Deflate makes at most 1032 bytes of one (zlib 1.3, "Maximum Expansion Factor").
const DEFLATE: u64 = 1032;

/// Zstandard makes at most 128 KiB of a block of four bytes (RFC 8878, 3.1.1.2).
const ZSTD: u64 = (128 << 10) / 4;

/// Bytes that a decoder may have to keep: what every decoder should support (RFC 8878, 3.1.1.1.2).
const WINDOW: u64 = 8 << 20;

/// The sections that are read, most important first.
const WANTED: [SectionId; 12] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugLine,
    SectionId::DebugAddr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStrOffsets,
    SectionId::DebugCuIndex,
    SectionId::DebugTuIndex,
    SectionId::DebugLineStr,
    SectionId::DebugStr,
    SectionId::DebugTypes,
];

/// What a package of split debug information lists besides: its list is of no use without them.
const PACKED: [SectionId; 4] = [
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
];

/// Without these there is nothing.
const NEEDED: usize = 3;

/// The content of a section.
#[derive(Debug)]
enum Content {
    InFile(Extent),
    Decompressed(Box<[u8]>),
}

/// Sections with debug information.
#[derive(Debug, Default)]
pub(super) struct Sections {
    contents: Vec<(SectionId, Content)>,
    /// A section that was left out, so that some names or ranges are not known.
    pub(super) missing: Option<Missing>,
}

impl Sections {
    /// Those of a file: of its split debug information (`.debug_info.dwo`) if `is_split`.
    ///
    /// # Errors
    /// Where a section that everything hangs on is too large or damaged.
    pub(super) fn read(
        headers: &Headers,
        bytes: &[u8],
        limits: &Limits,
        is_split: bool,
    ) -> Result<Self, Missing> {
        let mut sections = Self::default();
        let mut left = limits.memory / SHARE;
        let packed = PACKED.into_iter().filter(|_| is_split);
        for (rank, id) in WANTED.into_iter().chain(packed).enumerate() {
            let name = if is_split {
                id.dwo_name()
            } else {
                Some(id.name())
            };
            let Some(name) = name else { continue };
            match content(headers, bytes, name, left) {
                Ok(Some(content)) => {
                    if let Content::Decompressed(bytes) = &content {
                        left = left.saturating_sub(bytes.len() as u64);
                    }
                    sections.contents.push((id, content));
                }
                Ok(None) => {}
                Err(missing) if rank < NEEDED => return Err(missing),
                Err(missing) => sections.missing = Some(missing),
            }
        }
        Ok(sections)
    }

    /// A section's bytes; none where the file has none.
    pub(super) fn get<'a>(&'a self, bytes: &'a [u8], id: SectionId) -> &'a [u8] {
        let content = self.contents.iter().find(|(it, _)| *it == id);
        match content {
            Some((_, Content::InFile(extent))) => extent.of(bytes),
            Some((_, Content::Decompressed(bytes))) => bytes,
            None => &[],
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> u64 {
        let taken = self.contents.iter().map(|(_, content)| match content {
            Content::InFile(_) => 0,
            Content::Decompressed(bytes) => bytes.len() as u64,
        });
        taken.sum()
    }
}

fn content(
    headers: &Headers,
    bytes: &[u8],
    name: &'static str,
    left: u64,
) -> Result<Option<Content>, Missing> {
    if let Some(section) = headers.section(name) {
        let Some(extent) = section.extent else {
            return Ok(None);
        };
        return match compression(headers, section, extent.of(bytes))? {
            None => Ok(Some(Content::InFile(extent))),
            Some(compressed) => compressed.decompress(name, left).map(Some),
        };
    }
    // As GNU binutils wrote it before the gABI knew compression, and Go did until 1.17.
    let Some(rest) = name.strip_prefix(".debug_") else {
        return Ok(None);
    };
    let old = headers.section(&format!(".zdebug_{rest}"));
    let Some(extent) = old.and_then(|it| it.extent) else {
        return Ok(None);
    };
    let Some((b"ZLIB", rest)) = extent.of(bytes).split_first_chunk::<4>() else {
        return Err(Missing::Damaged(name));
    };
    let Some((claim, data)) = rest.split_first_chunk::<8>() else {
        return Err(Missing::Damaged(name));
    };
    let compressed = Compressed {
        kind: elf::ELFCOMPRESS_ZLIB,
        claim: u64::from_be_bytes(*claim),
        data,
    };
    compressed.decompress(name, left).map(Some)
}

/// A compressed section (gABI, "Section Compression").
struct Compressed<'a> {
    kind: u32,
    /// Bytes that it is said to have.
    claim: u64,
    data: &'a [u8],
}

/// Reads the header of a compressed section; `None` where it is not compressed.
fn compression<'a>(
    headers: &Headers,
    section: &Section,
    content: &'a [u8],
) -> Result<Option<Compressed<'a>>, Missing> {
    if section.flags & u64::from(elf::SHF_COMPRESSED) == 0 {
        return Ok(None);
    }
    let damaged = Missing::Damaged("the header of a compressed section");
    let word = |at: usize| -> Option<u32> {
        let bytes = content.get(at..at + 4)?.try_into().ok()?;
        Some(match headers.endian {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        })
    };
    let long = |at: usize| -> Option<u64> {
        let bytes = content.get(at..at + 8)?.try_into().ok()?;
        Some(match headers.endian {
            Endianness::Little => u64::from_le_bytes(bytes),
            Endianness::Big => u64::from_be_bytes(bytes),
        })
    };
    // `Elf64_Chdr` has a reserved word behind the type; `Elf32_Chdr` has not.
    let (claim, header) = if headers.is_64 {
        (long(8), 24)
    } else {
        (word(4).map(u64::from), 12)
    };
    let read = || {
        Some(Compressed {
            kind: word(0)?,
            claim: claim?,
            data: content.get(header..)?,
        })
    };
    read().map(Some).ok_or(damaged)
}

impl Compressed<'_> {
    fn decompress(&self, name: &'static str, left: u64) -> Result<Content, Missing> {
        let most = match self.kind {
            elf::ELFCOMPRESS_ZLIB => DEFLATE,
            elf::ELFCOMPRESS_ZSTD => ZSTD,
            _ => return Err(Missing::Damaged(name)),
        };
        let too_large = Missing::Memory {
            what: name,
            needs: self.claim,
            limit: left,
        };
        if self.claim > left {
            return Err(too_large);
        }
        // More than so many bytes can become: a lie.
        if self.claim > (self.data.len() as u64).saturating_mul(most) {
            return Err(Missing::Damaged(name));
        }
        let claim = usize::try_from(self.claim).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(claim).is_err() {
            return Err(too_large);
        }
        let done = if self.kind == elf::ELFCOMPRESS_ZLIB {
            fill(ZlibDecoder::new(self.data), &mut bytes, claim)
        } else {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(WINDOW);
            StreamingDecoder::new_with_decoder(self.data, decoder)
                .ok()
                .and_then(|decoder| fill(decoder, &mut bytes, claim))
        };
        done.ok_or(Missing::Damaged(name))?;
        Ok(Content::Decompressed(bytes.into()))
    }
}

/// Reads `claim` bytes; `None` where there are fewer. That there may be more is no matter.
fn fill(from: impl Read, bytes: &mut Vec<u8>, claim: usize) -> Option<()> {
    from.take(claim as u64).read_to_end(bytes).ok()?;
    (bytes.len() == claim).then_some(())
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn zstd(data: &[u8], claim: u64, left: u64) -> Result<Content, Missing> {
        let compressed = Compressed {
            kind: elf::ELFCOMPRESS_ZSTD,
            claim,
            data,
        };
        compressed.decompress(".debug_info", left)
    }

    #[test]
    fn zstandard_is_read_within_the_limit() {
        let text = b"work ".repeat(100_000);
        let data = compress_to_vec(&*text, CompressionLevel::Fastest);
        let content = zstd(&data, text.len() as u64, 1 << 20);
        let Ok(Content::Decompressed(bytes)) = content else {
            panic!("{content:?}")
        };
        assert_eq!(&*bytes, text);
        let needs = text.len() as u64;
        let refused = zstd(&data, needs, needs - 1).expect_err("too large");
        assert!(matches!(refused, Missing::Memory { .. }), "{refused}");
        // More than there is, and less: the claim is what is taken.
        assert!(zstd(&data, needs + 1, 1 << 20).is_err());
        assert!(zstd(&data, needs - 1, 1 << 20).is_ok());
        let half = data.get(..data.len() / 2).expect("half of it");
        assert!(zstd(half, needs, 1 << 20).is_err());
        assert!(zstd(&[], 1, 1 << 20).is_err());
    }
}
