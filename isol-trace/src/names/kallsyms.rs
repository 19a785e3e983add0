//! Names of kernel functions, from `/proc/kallsyms`.
//!
//! The table holds functions only, and each in 16 bytes and its name: about
//! 6 MiB for the 150,000 functions of a distribution's kernel. It is read when
//! the first address asks for it. When an address points where no function was, a module or a BPF
//! program came later: those are read again, on a thread of their own, because
//! the kernel takes a good part of a second to write the file and whoever asks has rings to drain.

use std::{
    io::{self, BufRead},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, TryRecvError, channel},
    thread,
    time::{Duration, Instant},
};

mod lines;

use crate::event::ids::Address;
pub use lines::addresses_of;
use lines::{Symbol, for_each, open};

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

/// A reading of the functions that may have come later.
#[derive(Debug)]
struct Reading {
    /// The address that asked for it.
    asked: Address,
    /// Where it comes.
    table: Receiver<io::Result<Table>>,
}

/// The kernel's functions by address, read when first needed.
#[derive(Debug)]
pub struct KernelSymbols {
    /// The file.
    path: PathBuf,
    /// What was read of it at first.
    table: Table,
    /// Functions of modules and BPF programs, as they were read last.
    late: Table,
    /// A reading under way.
    reading: Option<Reading>,
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
            late: Table::default(),
            reading: None,
            read_at: None,
            reread_after: REREAD_AFTER,
            error: None,
        }
    }

    /// Where `address` lies; `None` where no function is known there (yet): it may be of a module
    /// that came later, and then is known when it is asked for again some time after.
    pub fn place(&mut self, address: Address) -> Option<Place<'_>> {
        self.prepare();
        self.take_reading();
        if self.find(address).is_none() {
            self.ask_for(address);
        }
        self.find(address)
    }

    /// Of two functions that begin before `address` it lies in the nearer one.
    fn find(&self, address: Address) -> Option<Place<'_>> {
        let places = [self.late.place(address), self.table.place(address)];
        places
            .into_iter()
            .flatten()
            .min_by_key(|place| place.offset)
    }

    /// Has the file read again, if that can help and is not too soon.
    fn ask_for(&mut self, address: Address) {
        let due = self
            .read_at
            .is_some_and(|read_at| read_at.elapsed() >= self.reread_after);
        // The kernel's half of the addresses begins at 1 << 63; nothing else is worth a second reading.
        let is_kernel = address.0 >> 63 == 1;
        if !due || !is_kernel || self.table.hidden || self.reading.is_some() {
            return;
        }
        let (done, table) = channel();
        let path = self.path.clone();
        let reader = thread::Builder::new().name("kallsyms".to_owned());
        // The kernel's own functions do not change.
        let started = reader.spawn(move || {
            let of_modules = |symbol: &Symbol<'_>| symbol.module.is_some();
            // Nobody waits any more: then the trace has ended.
            let _ = done.send(open(&path).and_then(|file| Table::read(file, of_modules)));
        });
        if started.is_ok() {
            let asked = address;
            self.reading = Some(Reading { asked, table });
        }
    }

    /// Takes a reading that is done.
    fn take_reading(&mut self) {
        let Some(reading) = &self.reading else { return };
        let asked = reading.asked;
        match reading.table.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(Ok(table)) => self.late = table,
            // What is known stays good.
            Ok(Err(_)) | Err(TryRecvError::Disconnected) => {}
        }
        self.reading = None;
        self.read_at = Some(Instant::now());
        self.reread_after = match self.find(asked) {
            Some(_) => REREAD_AFTER,
            None => self.reread_after.saturating_mul(2),
        };
    }

    /// Reads the file now, if it has not been: the first name then costs no reading.
    pub fn prepare(&mut self) {
        if self.read_at.is_none() {
            self.read();
        }
    }

    /// Why names are missing, as a sentence for people; `None` where nothing is wrong, or nothing was read yet.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
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
        match open(&self.path).and_then(|file| Table::read(file, |_| true)) {
            Ok(table) => {
                self.table = table;
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }
}

impl Table {
    /// Reads those functions of the file that are to be kept.
    fn read(input: impl BufRead, keep: impl Fn(&Symbol<'_>) -> bool) -> io::Result<Self> {
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
            } else if symbol.is_function() && keep(symbol) {
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

#[cfg(test)]
mod tests;
