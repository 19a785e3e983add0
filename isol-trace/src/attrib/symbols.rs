//! Where a task was in user mode: function and source line of an instruction pointer.
//!
//! The work is blazesym's. What is kept here is what a tracer needs around it: the
//! maps of processes (also of those that have died since), and a bound on memory.
//! It takes its time, milliseconds to a second for the first address of a large
//! file: [`super::places`] keeps that off the thread that reads the rings.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use blazesym::symbolize::{
    CodeInfo, Input, Sym, Symbolizer,
    source::{Elf, Process, Source},
};

use super::{
    cache::Cache,
    user_maps::{Backing, Mapping, UserMaps},
};
use crate::event::ids::{Address, Pid};

/// Processes whose maps are kept, in each of two generations.
const PROCESSES: usize = 64;

/// Files are too heavy for source lines that alone take more than this share of the budget.
const SHARE: u64 = 4;

/// What is known of an instruction pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPlace {
    /// `main+0x2e`, or `spin+0x16de` (offset in the file) where the file has no symbols.
    pub location: Option<Arc<str>>,
    /// `spin.c:11`.
    pub source: Option<Arc<str>>,
}

/// Names instruction pointers of user space. Everything is read when first asked for.
pub struct UserSymbols {
    /// Where `proc` is.
    root: PathBuf,
    /// Maps of processes; a process that had died when it was first asked for has none.
    maps: Cache<Pid, Arc<UserMaps>>,
    /// The symbolizer with the files that it has parsed.
    symbolizer: Option<Symbolizer>,
    /// Anonymous memory of this process when the symbolizer was made, in bytes.
    memory_before: Option<u64>,
    /// Bytes that the symbolizer may take.
    budget: u64,
    /// Files whose debug information is larger than that: named without source lines.
    heavy: Vec<PathBuf>,
    /// Reads the anonymous memory of this process, in bytes.
    memory: fn() -> Option<u64>,
}

impl std::fmt::Debug for UserSymbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserSymbols")
            .field("root", &self.root)
            .field("heavy", &self.heavy)
            .finish_non_exhaustive()
    }
}

impl UserSymbols {
    /// The processes under `root`, with `budget` bytes for what is parsed.
    #[must_use]
    pub fn new(root: &Path, budget: u64) -> Self {
        Self {
            root: root.to_owned(),
            maps: Cache::new(PROCESSES),
            symbolizer: None,
            memory_before: None,
            budget,
            heavy: Vec::new(),
            memory: anonymous_memory,
        }
    }

    /// Where `ip` of a process lies.
    pub fn place(&mut self, pid: Pid, ip: Address) -> UserPlace {
        self.resolve(pid, ip).unwrap_or_default()
    }

    /// Forgets a process: it executes another program now.
    pub fn forget(&mut self, pid: Pid) {
        self.maps.retain(|known| *known != pid);
    }

    /// Files whose source lines were given up, because their debug information is larger than the budget.
    #[must_use]
    pub fn heavy(&self) -> &[PathBuf] {
        &self.heavy
    }

    /// Finds out where `ip` lies.
    fn resolve(&mut self, pid: Pid, ip: Address) -> Option<UserPlace> {
        let maps = self.maps(pid, ip)?;
        let mapping = maps.find(ip)?;
        let found = match &mapping.backing {
            Backing::File { path, inode } => self
                .open_path(pid, mapping, path, *inode)
                .and_then(|path| self.resolve_file(path, mapping.file_offset(ip))),
            Backing::Special(_) | Backing::Anonymous => self.resolve_alive(pid, ip),
        };
        found.or_else(|| {
            let location = format!("{}+{:#x}", mapping.name()?, mapping.file_offset(ip));
            Some(UserPlace {
                location: Some(location.into()),
                source: None,
            })
        })
    }

    /// The maps of a process, read again where they do not have `ip`: a library that was loaded later.
    fn maps(&mut self, pid: Pid, ip: Address) -> Option<Arc<UserMaps>> {
        let known = self.maps.get(&pid);
        if known.as_ref().is_some_and(|maps| maps.find(ip).is_some()) {
            return known;
        }
        match UserMaps::read(&self.root, pid) {
            Ok(maps) => {
                let maps = Arc::new(maps);
                self.maps.insert(pid, maps.clone());
                Some(maps)
            }
            // It has died: what was known of it still holds.
            Err(_) => known,
        }
    }

    /// A path at which the mapped file can be opened, and is still the same file.
    fn open_path(&self, pid: Pid, mapping: &Mapping, path: &Path, inode: u64) -> Option<PathBuf> {
        let same = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.ino() == inode);
        let relative = path.strip_prefix("/").unwrap_or(path);
        let process = self.root.join(format!("proc/{pid}"));
        // The plain path comes first: debug links are resolved beside it.
        let plain = self.root.join(relative);
        let inside = process.join("root").join(relative);
        // This one is right in every namespace and for deleted files; it asks for more rights.
        let link = process.join(format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
        [plain, inside, link].into_iter().find(same)
    }

    /// Names a place in a file.
    fn resolve_file(&mut self, path: PathBuf, offset: u64) -> Option<UserPlace> {
        let mut elf = Elf::new(&path);
        elf.debug_syms = !self.heavy.contains(&path);
        let before = (self.memory)();
        let place = self.symbolize(&Source::Elf(elf), Input::FileOffset(offset));
        let after = (self.memory)();
        let grown = |since: Option<u64>| Some(after?.saturating_sub(since?));
        if grown(self.memory_before) > Some(self.budget) {
            if grown(before) > Some(self.budget / SHARE) && !self.heavy.contains(&path) {
                self.heavy.push(path);
            }
            self.symbolizer = None;
            give_memory_back();
        }
        place
    }

    /// Names a place that only a living process can tell: in its vDSO, or in code
    /// for which it keeps a perf map.
    fn resolve_alive(&mut self, pid: Pid, ip: Address) -> Option<UserPlace> {
        if self.root != Path::new("/") {
            return None;
        }
        let process = Process::new(pid.0.into());
        self.symbolize(&Source::Process(process), Input::AbsAddr(ip.0))
    }

    /// Asks the symbolizer.
    fn symbolize(&mut self, source: &Source<'_>, input: Input<u64>) -> Option<UserPlace> {
        let symbolizer = match &mut self.symbolizer {
            Some(symbolizer) => symbolizer,
            none => {
                self.memory_before = (self.memory)();
                none.insert(
                    Symbolizer::builder()
                        .enable_code_info(true)
                        .enable_inlined_fns(true)
                        .build(),
                )
            }
        };
        let found = symbolizer.symbolize_single(source, input).ok()?;
        found.as_sym().map(UserPlace::of)
    }
}

impl UserPlace {
    /// Words for a symbol: the function that was compiled, and the line in it,
    /// which is a call's where an inlined function was running.
    fn of(sym: &Sym<'_>) -> Self {
        let location = if sym.offset == 0 {
            sym.name.to_string()
        } else {
            format!("{}+{:#x}", sym.name, sym.offset)
        };
        let source = sym.code_info.as_deref().and_then(source_line);
        Self {
            location: Some(location.into()),
            source: source.map(Arc::from),
        }
    }
}

/// File name and line.
fn source_line(code: &CodeInfo<'_>) -> Option<String> {
    let file = Path::new(&*code.file).file_name()?.to_string_lossy();
    Some(match code.line {
        Some(line) => format!("{file}:{line}"),
        None => file.into_owned(),
    })
}

/// Anonymous memory of this process in bytes.
fn anonymous_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Hands freed memory back to the kernel: glibc keeps it, and the next measurement would count it as in use.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer and may be called from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A function whose name and line are asked for below: an address in it, and a line just behind that address's.
    #[inline(never)]
    #[unsafe(no_mangle)]
    extern "C" fn a_known_function_of_the_test(line: &mut u32) -> u64 {
        let address: u64;
        // SAFETY: one instruction that computes an address; it touches nothing else.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::asm!("lea {}, [rip]", out(reg) address, options(nomem, nostack));
        }
        // SAFETY: one instruction that computes an address; it touches nothing else.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            std::arch::asm!("adr {}, .", out(reg) address, options(nomem, nostack));
        }
        *line = line!();
        address
    }

    fn own() -> Pid {
        Pid(std::process::id())
    }

    fn symbols() -> UserSymbols {
        UserSymbols::new(Path::new("/"), 64 << 20)
    }

    #[test]
    fn a_known_function_gives_its_name_and_line() {
        let mut behind = 0;
        let address = Address(a_known_function_of_the_test(&mut behind));
        let place = symbols().place(own(), address);
        let location = place.location.expect("this binary has symbols");
        let offset = location
            .strip_prefix("a_known_function_of_the_test+0x")
            .unwrap_or_else(|| panic!("{location}"));
        assert!(u64::from_str_radix(offset, 16).is_ok_and(|offset| offset < 0x100));
        let source = place.source.expect("this binary has debug information");
        let line = source.strip_prefix("symbols.rs:").expect("this file");
        let line: u32 = line.parse().expect("a line");
        assert!((behind - 11..behind).contains(&line), "{line}, {behind}");
    }

    #[test]
    fn the_process_has_memory() {
        assert!(anonymous_memory().is_some_and(|bytes| bytes > 64 << 10));
    }

    #[test]
    fn an_address_without_code_gives_nothing() {
        assert_eq!(symbols().place(own(), Address(8)), UserPlace::default());
    }

    #[test]
    fn the_vdso_has_names() {
        let text = fs::read_to_string("/proc/self/maps").expect("our own maps");
        let line = text
            .lines()
            .find(|line| line.ends_with("[vdso]"))
            .expect("every process has one");
        let (start, _) = line.split_once('-').expect("a range");
        let start = u64::from_str_radix(start, 16).expect("an address");
        let place = symbols().place(own(), Address(start + 0x800));
        assert!(place.location.is_some(), "{place:?}");
    }

    /// A process that is gone still has its places, once one of them was asked for; one never seen has none.
    #[test]
    fn a_dead_process_is_resolved_from_what_was_known() {
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .expect("every Linux has sleep");
        let pid = Pid(child.id());
        // The parent gets here before the child has executed `sleep`; wait for its own code.
        let code = loop {
            let text = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
            let own = text
                .lines()
                .find(|line| line.contains(" r-xp ") && line.contains("bin/"));
            if let Some(line) = own.filter(|line| !line.contains("isol")) {
                let (start, _) = line.split_once('-').expect("a range");
                break u64::from_str_radix(start, 16).expect("an address");
            }
        };
        let mut seen = symbols();
        let alive = seen.place(pid, Address(code + 0x100));
        assert!(alive.location.is_some(), "{alive:?}");
        child.kill().expect("it lives");
        child.wait().expect("it was killed");
        let dead = seen.place(pid, Address(code + 0x200));
        assert!(dead.location.is_some(), "{dead:?}");
        let unseen = symbols().place(pid, Address(code + 0x100));
        assert_eq!(unseen, UserPlace::default());
        seen.forget(pid);
        let forgotten = seen.place(pid, Address(code + 0x200));
        assert_eq!(forgotten, UserPlace::default());
    }

    /// A tree whose process maps a file that is no ELF file.
    #[test]
    fn a_file_without_symbols_gives_its_name_and_the_offset() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("spin");
        fs::write(&file, "no ELF file").expect("a file");
        let inode = fs::metadata(&file).expect("the file").ino();
        fs::create_dir_all(root.path().join("proc/7")).expect("a folder");
        let maps = format!(
            "00401000-00480000 r-xp 00001000 fe:00 {inode} /spin\n\
             00500000-00501000 r-xp 00000000 fe:00 1 /replaced\n"
        );
        fs::write(root.path().join("proc/7/maps"), maps).expect("a file");
        let mut symbols = UserSymbols::new(root.path(), 64 << 20);
        let place = symbols.place(Pid(7), Address(0x40_16de));
        assert_eq!(place.location.as_deref(), Some("spin+0x16de"));
        assert_eq!(place.source, None);
        let place = symbols.place(Pid(7), Address(0x50_0010));
        assert_eq!(place.location.as_deref(), Some("replaced+0x10"));
    }

    #[test]
    fn debug_information_beyond_the_budget_is_given_up() {
        static MEMORY: AtomicU64 = AtomicU64::new(0);
        let mut behind = 0;
        let address = Address(a_known_function_of_the_test(&mut behind));
        let mut symbols = UserSymbols::new(Path::new("/"), 99);
        symbols.memory = || Some(MEMORY.fetch_add(100, Ordering::Relaxed));
        assert!(symbols.heavy().is_empty());
        let first = symbols.place(own(), address);
        assert!(first.source.is_some(), "what was found is kept");
        assert_eq!(symbols.heavy().len(), 1, "100 bytes do not fit in 99");
        assert!(symbols.symbolizer.is_none(), "and nothing is kept");
        let place = symbols.place(own(), address);
        assert_eq!(place.location, first.location, "names go on");
        assert_eq!(place.source, None, "without lines");
        assert_eq!(symbols.heavy().len(), 1, "a file is told once");
    }

    #[test]
    fn a_full_budget_starts_anew_and_blames_no_small_file() {
        static MEMORY: AtomicU64 = AtomicU64::new(0);
        let mut behind = 0;
        let address = Address(a_known_function_of_the_test(&mut behind));
        let mut symbols = UserSymbols::new(Path::new("/"), 99);
        symbols.memory = || Some(MEMORY.load(Ordering::Relaxed));
        symbols.place(own(), address);
        assert!(symbols.symbolizer.is_some());
        MEMORY.store(1_000, Ordering::Relaxed);
        let place = symbols.place(own(), address);
        assert!(place.source.is_some());
        assert!(symbols.symbolizer.is_none(), "the budget is full");
        assert!(symbols.heavy().is_empty(), "this file took none of it");
    }
}
