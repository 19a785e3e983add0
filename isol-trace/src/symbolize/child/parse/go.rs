//! The table that Go's runtime carries for its own stack traces: it is there when a program was stripped
//! (`-ldflags="-s -w"`), and it has files and lines.
//!
//! Layout: Go 1.18 to 1.25, `src/cmd/link/internal/ld/pcln.go` and `src/runtime/symtab.go` (`pcHeader`,
//! `_func`, `pcvalue`). Nothing is kept: every question is a binary search in the file.

use object::Endianness;

use super::{
    dwarf::{Found, RawFrame},
    elf::Headers,
    limits::Steps,
};
use crate::symbolize::shared::{own::is_library, place::Missing, text::until_zero};

/// What it is called in a program, and in one that may be loaded anywhere.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];

/// `go118magic` and `go120magic`.
const MAGIC: [u32; 2] = [0xffff_fff0, 0xffff_fff1];

/// Bytes of a name or a path that are looked at.
const MAX_TEXT: usize = 4096;

/// A source file that tells nothing but the language.
const GO_FILE: &str = "_.go";

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
        let text = || Some(headers.section(".text")?.address);
        Self::read(extent.of(bytes), headers.endian, text)
    }

    /// Reads its header; `text` is where the program's code begins.
    fn read(bytes: &'a [u8], endian: Endianness, text: impl Fn() -> Option<u64>) -> Option<Self> {
        let mut table = Self {
            bytes,
            endian,
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
        let start = word(2).filter(|&start| start != 0).or_else(text)?;
        let places = [0, 3, 4, 5, 6, 7].map(offset);
        let [functions, names, units, files, values, list] = places;
        (table.functions, table.names) = (functions?, names?);
        (table.units, table.files) = (units?, files?);
        (table.values, table.start) = (values?, list?);
        table.text = start;
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
            is_library("", Some(path)) && !is_library(&name, Some(GO_FILE))
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
        let address = self.text.checked_add(u64::from(begin))?;
        (begin <= target).then_some((address, at))
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
        self.u32(function.checked_add(number.checked_mul(4)?)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbolize::child::parse::limits::Limits;

    /// Two functions, `main.work` at 0x1000 and `runtime.main` at 0x1040, which ends at 0x1080; in the
    /// first, line 7 of `spin.go` up to 0x1010, and line 9 after that.
    fn bytes() -> Vec<u8> {
        let names = b"main.work\0runtime.main\0";
        let units = [0_u32, 13].map(u32::to_le_bytes).concat();
        let files = b"/me/spin.go\0\0/usr/local/go/src/runtime/proc.go\0";
        // Nothing; file 0, so much more than -1, for 0x40; file 1; lines 7 and 9; line 3.
        let values = [
            &[0][..],
            &[2, 0x40, 0],
            &[4, 0x40, 0],
            &[16, 0x10, 4, 0x30, 0],
            &[8, 0x40, 0],
        ];
        let function = |entry: u32, name: u32, file: u32, line: u32| {
            let words = [entry, name, 0, 0, 0, file, line, 0, 0, 0];
            words.map(u32::to_le_bytes).concat()
        };
        let list = [0_u32, 20, 0x40, 60, 0x80].map(u32::to_le_bytes).concat();
        let table = [list, function(0, 0, 1, 7), function(0x40, 10, 4, 12)].concat();
        let parts = [&names[..], &units, files, &values.concat(), &table];
        let mut offset = 72;
        let mut header = [0xffff_fff1_u32.to_le_bytes(), [0, 0, 1, 8]].concat();
        for word in [2, 2, 0x1000_u64] {
            header.extend(word.to_le_bytes());
        }
        for part in parts {
            header.extend(u64::to_le_bytes(offset));
            offset += part.len() as u64;
        }
        header.extend(parts.concat());
        header
    }

    fn table(bytes: &[u8]) -> Option<Table<'_>> {
        Table::read(bytes, Endianness::Little, || None)
    }

    fn at(bytes: &[u8], address: u64) -> Option<String> {
        let mut steps = Steps::new(&Limits::default());
        let found = table(bytes)?.find(address, &mut steps).ok()?;
        let frame = found.frames.first()?;
        let name = String::from_utf8_lossy(frame.name.as_deref()?).into_owned();
        let path = frame.path.as_deref().unwrap_or("?");
        Some(format!(
            "{name}+{:x} {path}:{}",
            found.offset?,
            frame.line.unwrap_or(0)
        ))
    }

    #[test]
    fn functions_files_and_lines_are_read() {
        let bytes = bytes();
        for (address, place) in [
            (0xfff, None),
            (0x1000, Some("main.work+0 /me/spin.go:7")),
            (0x100f, Some("main.work+f /me/spin.go:7")),
            (0x1010, Some("main.work+10 /me/spin.go:9")),
            (
                0x1040,
                Some("runtime.main+0 /usr/local/go/src/runtime/proc.go:3"),
            ),
            (
                0x107f,
                Some("runtime.main+3f /usr/local/go/src/runtime/proc.go:3"),
            ),
            (0x1080, None),
        ] {
            assert_eq!(at(&bytes, address).as_deref(), place, "{address:x}");
        }
    }

    #[test]
    fn a_damaged_table_gives_nothing_or_something_but_no_panic() {
        let whole = bytes();
        for end in 0..whole.len() {
            let _ = at(&whole[..end], 0x1010);
        }
        for byte in 0..whole.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[byte] = value;
                for address in [0, 0x1000, 0x1010, 0x1041, u64::MAX] {
                    let _ = at(&damaged, address);
                }
            }
        }
    }
}
