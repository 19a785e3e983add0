//! Names of kernel functions, from `/proc/kallsyms`.
//!
//! The table holds functions only, and each in 16 bytes and its name: about
//! 6 MiB for the 150,000 functions of a distribution's kernel. It is read when
//! the first address asks for it, and again when an address points where no
//! function was: a module or a BPF program that came later.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::event::ids::Address;

/// How long an address beyond the table does not make it be read again, at
/// first; twice as long after every reading that did not help.
const REREAD_AFTER: Duration = Duration::from_secs(10);

/// A function without a follower is not taken to be longer than this: addresses
/// behind it are of something that the table does not have.
const LONGEST: u64 = 1 << 20;

/// A function of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    /// Where it begins.
    start: u64,
    /// Where its name begins in [`Table::names`].
    name: u32,
    /// Bytes of the name.
    name_length: u16,
    /// Index into [`Table::modules`]; 0 is the kernel itself.
    module: u16,
}

/// Functions in the order of their addresses.
#[derive(Debug, Default)]
struct Table {
    /// The functions.
    functions: Vec<Function>,
    /// Their names, one behind the other.
    names: String,
    /// Modules, the first one unnamed: the kernel itself.
    modules: Vec<Box<str>>,
    /// Every address read was zero: the kernel hides them from this process.
    hidden: bool,
}

/// Where an address lies in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The function.
    pub function: &'a str,
    /// Its module; `None` for the kernel itself.
    pub module: Option<&'a str>,
    /// Bytes from the function's beginning.
    pub offset: u64,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function)?;
        if self.offset != 0 {
            write!(f, "+{:#x}", self.offset)?;
        }
        if let Some(module) = self.module {
            write!(f, " [{module}]")?;
        }
        Ok(())
    }
}

/// The kernel's functions by address, read when first needed.
#[derive(Debug)]
pub struct KernelSymbols {
    /// The file.
    path: PathBuf,
    /// What was read of it.
    table: Table,
    /// When it was last read.
    read_at: Option<Instant>,
    /// How long from then until an address beyond the table makes it be read again.
    reread_after: Duration,
    /// The first error in reading it.
    error: Option<io::Error>,
}

impl KernelSymbols {
    /// The symbols under `root`; nothing is read yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            path: root.join("proc/kallsyms"),
            table: Table::default(),
            read_at: None,
            reread_after: REREAD_AFTER,
            error: None,
        }
    }

    /// Where `address` lies; `None` where no function is known there.
    pub fn place(&mut self, address: Address) -> Option<Place<'_>> {
        self.prepare();
        self.table.place(address)
    }

    /// As [`Self::place`], but an address that lies nowhere may make the file be
    /// read again: a module that came later. That takes a good part of a second.
    pub fn place_patiently(&mut self, address: Address) -> Option<Place<'_>> {
        self.prepare();
        let due = self
            .read_at
            .is_some_and(|read_at| read_at.elapsed() >= self.reread_after);
        // The kernel's half of the addresses begins at 1 << 63; nothing else is worth a second reading.
        let is_kernel = address.0 >> 63 == 1;
        if due && is_kernel && !self.table.hidden && self.table.place(address).is_none() {
            self.read();
            self.reread_after = match self.table.place(address) {
                Some(_) => REREAD_AFTER,
                None => self.reread_after.saturating_mul(2),
            };
        }
        self.table.place(address)
    }

    /// Reads the file now, if it has not been: the first name then costs no reading.
    pub fn prepare(&mut self) {
        if self.read_at.is_none() {
            self.read();
        }
    }

    /// Why names are missing, as a sentence for people; `None` where nothing is wrong, or nothing was read yet.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(format!(
                "kernel functions stay without names: cannot read {}: {error}",
                self.path.display()
            ));
        }
        self.table.hidden.then(|| {
            format!(
                "kernel functions stay without names: {} shows only zero addresses to this process; \
                 run as root with the setting kernel.kptr_restrict at 0 or 1, or grant CAP_SYSLOG \
                 (see `sysctl kernel.kptr_restrict`)",
                self.path.display()
            )
        })
    }

    /// Reads the file.
    fn read(&mut self) {
        self.read_at = Some(Instant::now());
        // The old table goes first: two of them would be twice the memory.
        self.table = Table::default();
        match open(&self.path).and_then(Table::read) {
            Ok(table) => {
                self.table = table;
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }
}

impl Table {
    /// Reads the functions of the file.
    fn read(input: impl BufRead) -> io::Result<Self> {
        let mut table = Self {
            modules: vec!["".into()],
            ..Self::default()
        };
        let mut lines = 0_u64;
        let mut zeros = 0_u64;
        for_each(input, |symbol| {
            lines += 1;
            if symbol.address == 0 {
                zeros += 1;
            } else if symbol.is_function() {
                table.add(symbol);
            }
            ControlFlow::Continue(())
        })?;
        // Stable and by address alone: of several names of one address the file's first stays first.
        table.functions.sort_by_key(|function| function.start);
        table.functions.shrink_to_fit();
        table.names.shrink_to_fit();
        table.hidden = lines > 0 && zeros == lines;
        Ok(table)
    }

    /// Adds a function; one beyond what the table can address is left out.
    fn add(&mut self, symbol: &Symbol<'_>) {
        let (Ok(name), Ok(name_length), Some(module)) = (
            u32::try_from(self.names.len()),
            u16::try_from(symbol.name.len()),
            self.module(symbol.module),
        ) else {
            return;
        };
        self.names.push_str(symbol.name);
        self.functions.push(Function {
            start: symbol.address,
            name,
            name_length,
            module,
        });
    }

    /// The index of a module, which is new or (mostly) that of the line before.
    fn module(&mut self, name: Option<&str>) -> Option<u16> {
        let Some(name) = name else { return Some(0) };
        let found = self.modules.iter().rposition(|known| **known == *name);
        let index = found.unwrap_or_else(|| {
            self.modules.push(name.into());
            self.modules.len() - 1
        });
        u16::try_from(index).ok()
    }

    /// Where `address` lies.
    fn place(&self, address: Address) -> Option<Place<'_>> {
        let behind = self
            .functions
            .partition_point(|function| function.start <= address.0);
        let start = self.functions[..behind].last()?.start;
        let offset = address.0 - start;
        if offset >= LONGEST {
            return None;
        }
        let first = self.functions[..behind].partition_point(|function| function.start < start);
        let function = self.functions[first..behind]
            .iter()
            .min_by_key(|function| self.rank(function))?;
        Some(Place {
            function: self.name(function),
            module: self
                .modules
                .get(usize::from(function.module))
                .map(|name| &**name)
                .filter(|name| !name.is_empty()),
            offset,
        })
    }

    /// A function's name.
    fn name(&self, function: &Function) -> &str {
        let start = function.name as usize;
        self.names
            .get(start..start + usize::from(function.name_length))
            .unwrap_or_default()
    }

    /// Of several names of one address the plainest is taken: not `__pi_memcpy` but `memcpy`.
    fn rank(&self, function: &Function) -> (bool, bool) {
        let name = self.name(function);
        (name.starts_with("__"), name.starts_with('_'))
    }
}

/// Addresses of these symbols of the kernel itself, in their order; `None` for one that the file
/// does not have. Where addresses are hidden, all are 0.
pub fn addresses_of<const N: usize>(path: &Path, names: [&str; N]) -> io::Result<[Option<u64>; N]> {
    addresses(open(path)?, names)
}

/// Opens the file with room to read much of it at once.
fn open(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(64 * 1024, File::open(path)?))
}

fn addresses<const N: usize>(
    input: impl BufRead,
    names: [&str; N],
) -> io::Result<[Option<u64>; N]> {
    let mut found = [None; N];
    for_each(input, |symbol| {
        if symbol.module.is_none()
            && let Some(place) = names.iter().position(|&name| name == symbol.name)
        {
            found[place] = Some(symbol.address);
        }
        if found.iter().all(Option::is_some) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(found)
}

/// Hands over the symbols of lines such as `ffffffff81000080 T entry_SYSCALL_64` and
/// `ffffffffc0201000 t nvme_irq [nvme]`, until told to stop.
///
/// Lines that are not of that form are skipped: one odd name must not cost all others.
fn for_each(
    mut input: impl BufRead,
    mut take: impl FnMut(&Symbol<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let symbol = std::str::from_utf8(&line).ok().and_then(Symbol::parse);
        if let Some(symbol) = symbol
            && take(&symbol).is_break()
        {
            return Ok(());
        }
        line.clear();
    }
    Ok(())
}

/// A line of the file.
struct Symbol<'a> {
    address: u64,
    kind: u8,
    name: &'a str,
    module: Option<&'a str>,
}

impl<'a> Symbol<'a> {
    /// Parses a line: address, kind, name and, behind a tab, the module in brackets.
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = *words.next()?.as_bytes().first()?;
        let name = words.next()?;
        let module = words
            .next()
            .and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
        Some(Self {
            address,
            kind,
            name,
            module,
        })
    }

    /// In a text section (`t`, `T`) or weak (`w`, `W`), and no mark of the linker's or the assembler's.
    fn is_function(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W') && !self.name.starts_with("__pfx_")
    }
}

#[cfg(test)]
mod tests;
