//! The table that Go's runtime carries for its own stack traces: it is there when a program was stripped
//! (`-ldflags="-s -w"`), and it has files and lines.
//!
//! Layout: Go 1.18 to 1.25, `src/cmd/link/internal/ld/pcln.go` and `src/runtime/symtab.go` (`pcHeader`,
//! `_func`, `pcvalue`). Nothing is kept: every question is a binary search in the file.

use object::Endianness;

use super::{
    dwarf::{Found, RawFrame},
    elf::Headers,
    limits::{Missing, Steps},
    own::is_library,
    text::until_zero,
};

/// What it is called in a program, and in one that may be loaded anywhere.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];

/// `go118magic` and `go120magic`.
const MAGIC: [u32; 2] = [0xffff_fff0, 0xffff_fff1];

/// Bytes of a name or a path that are looked at.
const MAX_TEXT: usize = 4096;

/// Bytes of a table of one function, of which each step takes two at least.
const MAX_STEPS: usize = 1 << 20;

/// The table, its header read.
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    endian: Endianness,
    /// Bytes of an instruction, of which program counters are multiples.
    quantum: u64,
    functions: usize,
    /// What the functions' addresses are relative to.
    text: u64,
    names: usize,
    units: usize,
    files: usize,
    values: usize,
    /// Where the list of functions begins.
    start: usize,
}

impl<'a> Table<'a> {
    /// Finds it in a file; `None` where there is none, or one of another version.
    pub(super) fn of(headers: &Headers, bytes: &'a [u8]) -> Option<Self> {
        let extent = SECTIONS
            .iter()
            .find_map(|name| headers.section(name))?
            .extent?;
        let bytes = extent.of(bytes);
        let mut table = Self {
            bytes,
            endian: headers.endian,
            quantum: u64::from(*bytes.get(6)?),
            functions: 0,
            text: 0,
            names: 0,
            units: 0,
            files: 0,
            values: 0,
            start: 0,
        };
        if !MAGIC.contains(&table.u32(0)?) || *bytes.get(7)? != 8 {
            return None;
        }
        let word = |number: usize| table.u64(8 + number * 8);
        let offset = |number| usize::try_from(word(number)?).ok();
        // Zero before it is relocated, and since the linker leaves it so.
        let text = word(2).filter(|&text| text != 0);
        let text = text.or_else(|| Some(headers.section(".text")?.address))?;
        let places = [0, 3, 4, 5, 6, 7].map(offset);
        let [functions, names, units, files, values, start] = places;
        (table.functions, table.names) = (functions?, names?);
        (table.units, table.files) = (units?, files?);
        (table.values, table.start) = (values?, start?);
        table.text = text;
        Some(table)
    }

    /// The name of the function at an address, and the offset in it.
    pub(super) fn function_at(&self, address: u64) -> Option<(&'a [u8], u64)> {
        let (begin, function) = self.function(address)?;
        Some((self.name(function)?, address - begin))
    }

    /// The function at an address, with file and line where they are of that function.
    pub(super) fn find(&self, address: u64, steps: &mut Steps) -> Result<Found, Missing> {
        let mut found = Found::default();
        let Some((begin, function)) = self.function(address) else {
            return Ok(found);
        };
        let Some(name) = self.name(function) else {
            return Ok(found);
        };
        steps.take(MAX_STEPS as u64 / 4, SECTIONS[0])?;
        let path = self.file(function, begin, address);
        // The line is that of the innermost function, which may be inlined; the name is not.
        let is_other = path.as_deref().is_some_and(|path| {
            let name = String::from_utf8_lossy(name);
            is_library("", Some(path)) && !is_library(&name, None)
        });
        let path = path.filter(|_| !is_other);
        found.offset = Some(address - begin);
        found.frames.push(RawFrame {
            name: Some(name.to_vec()),
            line: path.as_ref().and(self.line(function, begin, address)),
            path,
        });
        Ok(found)
    }

    /// Where the function at an address begins, and where what is known of it is.
    fn function(&self, address: u64) -> Option<(u64, usize)> {
        let target = u32::try_from(address.checked_sub(self.text)?).ok()?;
        let entry = |number: usize| {
            let at = self.start.checked_add(number.checked_mul(8)?)?;
            self.u32(at)
        };
        // The end of the last function stands behind the entries.
        if target >= entry(self.functions)? {
            return None;
        }
        let (mut low, mut high) = (0, self.functions);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if entry(middle)? <= target {
                low = middle;
            } else {
                high = middle;
            }
        }
        let begin = entry(low)?;
        let at = self.u32(
            self.start
                .checked_add(low.checked_mul(8)?)?
                .checked_add(4)?,
        )?;
        let at = self.start.checked_add(usize::try_from(at).ok()?)?;
        (begin <= target).then(|| (self.text + u64::from(begin), at))
    }

    fn name(&self, function: usize) -> Option<&'a [u8]> {
        let offset = usize::try_from(self.field(function, 1)?).ok()?;
        let name = self.text_at(self.names.checked_add(offset)?)?;
        (!name.is_empty()).then_some(name)
    }

    fn file(&self, function: usize, begin: u64, address: u64) -> Option<String> {
        let number = self.value(self.field(function, 5)?, begin, address)?;
        let unit = self.field(function, 8)?;
        let number = usize::try_from(i64::from(unit).checked_add(number)?).ok()?;
        let at = self.units.checked_add(number.checked_mul(4)?)?;
        let offset = usize::try_from(self.u32(at)?).ok()?;
        let path = self.text_at(self.files.checked_add(offset)?)?;
        (!path.is_empty()).then(|| String::from_utf8_lossy(path).into_owned())
    }

    fn line(&self, function: usize, begin: u64, address: u64) -> Option<u64> {
        let line = self.value(self.field(function, 6)?, begin, address)?;
        u64::try_from(line).ok().filter(|&line| line != 0)
    }

    /// A value that changes with the address: pairs of differences, of the value and of the address.
    fn value(&self, table: u32, begin: u64, address: u64) -> Option<i64> {
        let start = self.values.checked_add(usize::try_from(table).ok()?)?;
        let mut bytes = self.bytes.get(start..)?;
        bytes = bytes.get(..MAX_STEPS).unwrap_or(bytes);
        let (mut value, mut at, mut is_first) = (-1_i64, begin, true);
        loop {
            let difference = varint(&mut bytes)?;
            if difference == 0 && !is_first {
                return None;
            }
            is_first = false;
            // Zigzag: the lowest bit is the sign.
            let half = i64::from(difference >> 1);
            let change = if difference & 1 == 0 { half } else { -half - 1 };
            value = value.checked_add(change)?;
            let step = u64::from(varint(&mut bytes)?).checked_mul(self.quantum)?;
            at = at.checked_add(step)?;
            if address < at {
                return Some(value);
            }
        }
    }

    /// A word of what is known of a function.
    fn field(&self, function: usize, number: usize) -> Option<u32> {
        self.u32(function.checked_add(number * 4)?)
    }

    fn text_at(&self, at: usize) -> Option<&'a [u8]> {
        Some(until_zero(self.bytes.get(at..)?, MAX_TEXT))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self.endian {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        })
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(match self.endian {
            Endianness::Little => u64::from_le_bytes(bytes),
            Endianness::Big => u64::from_be_bytes(bytes),
        })
    }
}

/// A number of seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
