//! The lines of `/proc/kallsyms`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::ControlFlow,
    path::Path,
};

/// Addresses of these symbols of the kernel itself, in their order; `None` for one that the file
/// does not have. Where addresses are hidden, all are 0.
pub fn addresses_of<const N: usize>(path: &Path, names: [&str; N]) -> io::Result<[Option<u64>; N]> {
    addresses(open(path)?, names)
}

/// Opens the file with room to read much of it at once.
pub(super) fn open(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(64 * 1024, File::open(path)?))
}

pub(super) fn addresses<const N: usize>(
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
pub(super) fn for_each(
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
pub(super) struct Symbol<'a> {
    pub(super) address: u64,
    kind: u8,
    pub(super) name: &'a str,
    pub(super) module: Option<&'a str>,
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
    pub(super) fn is_function(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W') && !self.name.starts_with("__pfx_")
    }
}
