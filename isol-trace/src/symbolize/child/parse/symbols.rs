//! The symbol table as an index: sixteen bytes a function, sorted by address.

use object::{
    Endianness,
    elf::{self, FileHeader32, FileHeader64},
    pod,
    read::elf::{FileHeader, Sym as _},
};

use super::{
    elf::{Extent, Headers, Section},
    limits::{Limits, Steps},
};
use crate::symbolize::shared::{
    place::Missing,
    text::{NAME, until_zero},
};

/// Bytes of a mangled name that are kept.
const MANGLED: usize = 4096;

/// The part of the memory that the index may take.
const SHARE: u64 = 4;

/// How many symbols before an address are looked at for one that covers it.
const NESTED: usize = 32;

/// Symbols of functions.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// Sorted by address; of several at one address the best stands last.
    entries: Vec<Entry>,
    /// Where their names are.
    names: Extent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    address: u64,
    /// Bytes; 0 where it is not known. The highest bit is `GLOBAL`.
    size: u32,
    /// Offset among the names.
    name: u32,
}

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol<'data> {
    /// As the table has it: mangled, and not checked.
    pub(super) name: &'data [u8],
    /// Of the address asked for, in the function.
    pub(super) offset: u64,
}

impl Symbols {
    /// Reads `.symtab`, or `.dynsym` where that has no function.
    ///
    /// # Errors
    /// [`Missing`] where the table is too large.
    pub(super) fn read(headers: &Headers, bytes: &[u8], limits: &Limits) -> Result<Self, Missing> {
        for (kind, what) in [(elf::SHT_SYMTAB, ".symtab"), (elf::SHT_DYNSYM, ".dynsym")] {
            let found = if headers.is_64 {
                Self::of::<FileHeader64<Endianness>>(headers, bytes, limits, kind, what)?
            } else {
                Self::of::<FileHeader32<Endianness>>(headers, bytes, limits, kind, what)?
            };
            if !found.entries.is_empty() {
                return Ok(found);
            }
        }
        Ok(Self::default())
    }

    fn of<H: FileHeader<Endian = Endianness>>(
        headers: &Headers,
        bytes: &[u8],
        limits: &Limits,
        kind: u32,
        what: &'static str,
    ) -> Result<Self, Missing> {
        let Some(table) = headers.sections.iter().find(|it| it.kind == kind) else {
            return Ok(Self::default());
        };
        let names = usize::try_from(table.link)
            .ok()
            .and_then(|link| headers.sections.get(link)?.extent);
        let (Some(extent), Some(names)) = (table.extent, names) else {
            return Err(Missing::Damaged(what));
        };
        let content = extent.of(bytes);
        let count = content.len() / size_of::<H::Sym>();
        Steps::new(limits).take(count as u64, what)?;
        let Ok((symbols, _)) = pod::slice_from_bytes::<H::Sym>(content, count) else {
            return Err(Missing::Damaged(what));
        };
        let functions = || symbols.iter().filter_map(|it| entry::<H>(headers, it));
        // Counted before memory is taken.
        let needs = functions().count() as u64 * size_of::<Entry>() as u64;
        let limit = limits.memory / SHARE;
        if needs > limit {
            return Err(Missing::Memory { what, needs, limit });
        }
        let mut entries =
            Vec::with_capacity(usize::try_from(needs).unwrap_or(0) / size_of::<Entry>());
        entries.extend(functions().take(entries.capacity()));
        entries.sort_unstable();
        Ok(Self { entries, names })
    }

    /// The function that `address` lies in.
    pub(super) fn find<'data>(&self, bytes: &'data [u8], address: u64) -> Option<Symbol<'data>> {
        let end = self.entries.partition_point(|it| it.address <= address);
        let before = self.entries.get(..end)?;
        let covers = |it: &&Entry| address - it.address < u64::from(it.size & !GLOBAL);
        let near = before.iter().rev().take(NESTED);
        let sized = near.clone().find(covers);
        // One of unknown length goes on to the next symbol.
        let found = sized.or_else(|| before.last().filter(|it| it.size & !GLOBAL == 0))?;
        let start = usize::try_from(found.name).ok()?;
        let name = until_zero(self.names.of(bytes).get(start..)?, MANGLED);
        (!name.is_empty()).then_some(Symbol {
            name,
            offset: address - found.address,
        })
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> u64 {
        (self.entries.capacity() * size_of::<Entry>()) as u64
    }
}

/// Set in [`Entry::size`] of a symbol that other files see: the name that people know, of several.
const GLOBAL: u32 = 1 << 31;

/// What is kept of a symbol; `None` where it is no function.
fn entry<H: FileHeader<Endian = Endianness>>(headers: &Headers, symbol: &H::Sym) -> Option<Entry> {
    let endian = headers.endian;
    let kind = symbol.st_type();
    let is_function = matches!(kind, elf::STT_FUNC | elf::STT_GNU_IFUNC);
    // Functions written in assembly often have no type.
    let may_be = is_function || kind == elf::STT_NOTYPE;
    let section = symbol.st_shndx(endian);
    let name = symbol.st_name(endian);
    if !may_be || name == 0 || section == elf::SHN_UNDEF {
        return None;
    }
    let is_code = headers
        .sections
        .get(usize::from(section))
        .is_some_and(Section::is_code);
    // An absolute symbol may be a function all the same.
    let is_absolute = is_function && section >= elf::SHN_LORESERVE;
    if !(is_code || is_absolute) {
        return None;
    }
    let size: u64 = symbol.st_size(endian).into();
    let size = u32::try_from(size).unwrap_or(u32::MAX).min(GLOBAL - 1);
    let is_global = matches!(symbol.st_bind(), elf::STB_GLOBAL | elf::STB_WEAK);
    Some(Entry {
        address: symbol.st_value(endian).into(),
        size: size | if is_global { GLOBAL } else { 0 },
        name,
    })
}

const _: () = assert!(MANGLED > NAME);
