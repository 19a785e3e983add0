//! Names of kernel functions, from `/proc/kallsyms`.
//!
//! The table holds functions only, and each in 16 bytes and its name: about
//! 6 MiB for the 150,000 functions of a distribution's kernel. It is read when
//! the first address asks for it, and again when an address points where no
//! function was: a module or a BPF program that came later.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::event::ids::Address;

/// How long an address beyond the table does not make it be read again.
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
            error: None,
        }
    }

    /// Where `address` lies; `None` where no function is known there.
    pub fn place(&mut self, address: Address) -> Option<Place<'_>> {
        if self.read_at.is_none() {
            self.read();
        }
        // The kernel half begins at 1 << 63 on every 64-bit architecture; nothing else is worth a second reading.
        let stale = self
            .read_at
            .is_none_or(|read_at| read_at.elapsed() >= REREAD_AFTER);
        if stale && address.0 >> 63 == 1 && self.table.place(address).is_none() {
            self.read();
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
        match File::open(&self.path)
            .and_then(|file| Table::read(BufReader::with_capacity(64 * 1024, file)))
        {
            Ok(table) => {
                self.table = table;
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }
}

impl Table {
    /// Reads lines such as `ffffffff81000080 T entry_SYSCALL_64` and `ffffffffc0201000 t nvme_irq [nvme]`.
    ///
    /// Lines that are not of that form are skipped: one odd name must not cost all others.
    fn read(mut input: impl BufRead) -> io::Result<Self> {
        let mut table = Self {
            modules: vec!["".into()],
            ..Self::default()
        };
        let mut lines = 0_u64;
        let mut zeros = 0_u64;
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some(symbol) = std::str::from_utf8(&line).ok().and_then(Symbol::parse) else {
                continue;
            };
            lines += 1;
            if symbol.address == 0 {
                zeros += 1;
            } else if symbol.is_function() {
                table.add(&symbol);
            }
        }
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
mod tests {
    use std::fs;

    use super::*;

    /// A piece of a real file: aliases, data, a prefix symbol, modules, a BPF program.
    const SAMPLE: &str = "\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000080 T entry_SYSCALL_64
ffffffff811a2b30 t __pfx_clocksource_watchdog
ffffffff811a2b40 t clocksource_watchdog
ffffffff811a3000 T __pi_memcpy
ffffffff811a3000 W memcpy
ffffffff82a00000 D jiffies
ffffffffc0201000 t nvme_irq\t[nvme]
ffffffffc0201200 t nvme_pci_complete_rq\t[nvme]
ffffffffc0300000 t bpf_prog_6deef7357e7b4530_sd_devices\t[bpf]
ffffffffc0100000 t earlier_module_function\t[virtio_blk]
";

    fn table(text: &str) -> Table {
        Table::read(text.as_bytes()).expect("text is readable")
    }

    fn place(table: &Table, address: u64) -> Option<String> {
        table.place(Address(address)).map(|place| place.to_string())
    }

    #[test]
    fn a_functions_address_is_its_name() {
        let table = table(SAMPLE);
        assert_eq!(
            place(&table, 0xffff_ffff_811a_2b40).as_deref(),
            Some("clocksource_watchdog")
        );
        assert_eq!(
            place(&table, 0xffff_ffff_811a_2b4f).as_deref(),
            Some("clocksource_watchdog+0xf")
        );
        assert_eq!(
            place(&table, 0xffff_ffff_c020_1000).as_deref(),
            Some("nvme_irq [nvme]")
        );
        assert_eq!(
            place(&table, 0xffff_ffff_c020_1210).as_deref(),
            Some("nvme_pci_complete_rq+0x10 [nvme]")
        );
    }

    #[test]
    fn modules_need_not_be_in_the_order_of_their_addresses() {
        assert_eq!(
            place(&table(SAMPLE), 0xffff_ffff_c010_0008).as_deref(),
            Some("earlier_module_function+0x8 [virtio_blk]")
        );
    }

    #[test]
    fn of_several_names_the_plain_one_is_taken() {
        let table = table(SAMPLE);
        assert_eq!(
            place(&table, 0xffff_ffff_811a_3000).as_deref(),
            Some("memcpy")
        );
        assert_eq!(
            place(&table, 0xffff_ffff_8100_0000).as_deref(),
            Some("_stext"),
            "the file's first among equals"
        );
    }

    #[test]
    fn what_is_no_function_gives_no_name() {
        let table = table(SAMPLE);
        assert_eq!(place(&table, 0x40_1000), None, "user space");
        assert_eq!(place(&table, 0xffff_ffff_82a0_0000), None, "data");
        assert_eq!(place(&table, u64::MAX), None, "behind everything");
        assert_eq!(place(&Table::default(), u64::MAX), None, "an empty table");
    }

    #[test]
    fn odd_lines_cost_only_themselves() {
        let table = table("\nnonsense\nffffffff81000000\nzz T a\nffffffff81000010 T kept\n");
        assert_eq!(
            place(&table, 0xffff_ffff_8100_0010).as_deref(),
            Some("kept")
        );
        assert!(!table.hidden);
    }

    fn root(kallsyms: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("proc")).expect("a folder");
        fs::write(root.path().join("proc/kallsyms"), kallsyms).expect("a file");
        root
    }

    #[test]
    fn hidden_addresses_are_told_with_the_setting_that_hides_them() {
        let root = root("0000000000000000 T _stext\n0000000000000000 t nvme_irq\t[nvme]\n");
        let mut symbols = KernelSymbols::new(root.path());
        assert_eq!(symbols.complaint(), None, "nothing is read yet");
        assert_eq!(symbols.place(Address(0xffff_ffff_8100_0000)), None);
        let complaint = symbols.complaint().expect("all addresses are zero");
        assert!(complaint.contains("kernel.kptr_restrict"), "{complaint}");
    }

    #[test]
    fn zeros_among_real_addresses_are_no_complaint() {
        let root = root("0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\n");
        let mut symbols = KernelSymbols::new(root.path());
        assert!(symbols.place(Address(0xffff_ffff_8100_0000)).is_some());
        assert_eq!(symbols.complaint(), None);
    }

    #[test]
    fn a_missing_file_is_told_by_name() {
        let root = tempfile::tempdir().expect("a folder");
        let mut symbols = KernelSymbols::new(root.path());
        assert_eq!(symbols.place(Address(0xffff_ffff_8100_0000)), None);
        let complaint = symbols.complaint().expect("there is no file");
        assert!(complaint.contains("proc/kallsyms"), "{complaint}");
    }

    #[test]
    fn an_address_of_a_later_module_makes_the_file_be_read_again() {
        let root = root("ffffffff81000000 T _stext\n");
        let mut symbols = KernelSymbols::new(root.path());
        let late = Address(0xffff_ffff_c020_1000);
        assert_eq!(symbols.place(late), None);
        fs::write(root.path().join("proc/kallsyms"), SAMPLE).expect("a file");
        assert_eq!(symbols.place(late), None, "not again at once");
        symbols.read_at = Instant::now().checked_sub(REREAD_AFTER);
        assert_eq!(
            symbols
                .place(late)
                .map(|place| place.to_string())
                .as_deref(),
            Some("nvme_irq [nvme]")
        );
    }

    #[test]
    fn a_large_kernel_fits_its_budget() {
        use std::fmt::Write;
        let mut text = String::new();
        for index in 0..200_000_u64 {
            let address = 0xffff_ffff_8100_0000 + index * 64;
            writeln!(text, "{address:x} t a_function_of_usual_length_{index}").expect("memory");
        }
        let table = table(&text);
        assert_eq!(table.functions.len(), 200_000);
        let bytes = table.functions.capacity() * size_of::<Function>() + table.names.capacity();
        assert!(bytes < 12 << 20, "{bytes} bytes");
        assert_eq!(size_of::<Function>(), 16);
    }
}
