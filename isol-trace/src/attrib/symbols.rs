//! Where a task was in user mode: function and source line of an instruction pointer.
//!
//! The work is blazesym's. What is kept here is what a tracer needs around it: an
//! answer for every address that came up lately, the maps of processes (also of
//! those that have died since), and a bound on memory.

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

/// A symbolizer that breaks the budget after so few answers would do so again at once.
const TOO_SOON: u32 = 16;

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
    /// Answers.
    places: Cache<(Pid, Address), UserPlace>,
    /// Maps of processes; `None` for one that had died when it was first asked for.
    maps: Cache<Pid, Option<Arc<UserMaps>>>,
    /// The symbolizer and the files that it has parsed.
    parsed: Option<Parsed>,
    /// Bytes that the symbolizer may take.
    budget: u64,
    /// Debug information is read: source lines.
    lines: bool,
}

/// A symbolizer with its bookkeeping.
struct Parsed {
    symbolizer: Symbolizer,
    /// Anonymous memory of this process when it was made; `None` where that cannot be read.
    before: Option<u64>,
    /// Answers since.
    answers: u32,
}

impl std::fmt::Debug for UserSymbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserSymbols")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl UserSymbols {
    /// The processes under `root`, `places` answers kept in each of two
    /// generations, `budget` bytes for what is parsed.
    #[must_use]
    pub fn new(root: &Path, places: usize, budget: u64) -> Self {
        Self {
            root: root.to_owned(),
            places: Cache::new(places),
            maps: Cache::new(PROCESSES),
            parsed: None,
            budget,
            lines: true,
        }
    }

    /// Where `ip` of a process lies.
    pub fn place(&mut self, pid: Pid, ip: Address) -> UserPlace {
        if let Some(known) = self.places.get(&(pid, ip)) {
            return known;
        }
        let place = self.resolve(pid, ip).unwrap_or_default();
        self.places.insert((pid, ip), place.clone());
        place
    }

    /// Forgets a process: it executes another program now.
    pub fn forget(&mut self, pid: Pid) {
        self.places.retain(|(known, _)| *known != pid);
        self.maps.retain(|known| *known != pid);
    }

    /// Source lines were given up, because debug information was larger than the budget.
    #[must_use]
    pub const fn gave_up_lines(&self) -> bool {
        !self.lines
    }

    /// Finds out where `ip` lies.
    fn resolve(&mut self, pid: Pid, ip: Address) -> Option<UserPlace> {
        let maps = self.maps(pid, ip)?;
        let mapping = maps.find(ip)?;
        let found = match &mapping.backing {
            Backing::File { path, inode } => {
                let path = self.open_path(pid, mapping, path, *inode);
                path.and_then(|path| self.resolve_file(&path, mapping.file_offset(ip)))
            }
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
        if let Some(Some(maps)) = &known
            && maps.find(ip).is_some()
        {
            return known.flatten();
        }
        match UserMaps::read(&self.root, pid) {
            Ok(maps) => {
                let maps = Some(Arc::new(maps));
                self.maps.insert(pid, maps.clone());
                maps
            }
            // It has died (or is a kernel thread): what was known of it still holds.
            Err(_) => known.flatten(),
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
    fn resolve_file(&mut self, path: &Path, offset: u64) -> Option<UserPlace> {
        let mut elf = Elf::new(path);
        elf.debug_syms = self.lines;
        self.symbolize(&Source::Elf(elf), Input::FileOffset(offset))
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

    /// Asks the symbolizer, and keeps it within its budget.
    fn symbolize(&mut self, source: &Source<'_>, input: Input<u64>) -> Option<UserPlace> {
        let parsed = self.parsed.get_or_insert_with(|| Parsed {
            symbolizer: Symbolizer::builder()
                .enable_code_info(true)
                .enable_inlined_fns(true)
                .build(),
            before: anonymous_memory(),
            answers: 0,
        });
        let place = parsed
            .symbolizer
            .symbolize_single(source, input)
            .ok()
            .and_then(|found| found.into_sym().as_ref().map(UserPlace::of));
        parsed.answers += 1;
        let grown = anonymous_memory()
            .zip(parsed.before)
            .map(|(now, before)| now.saturating_sub(before));
        if grown.is_some_and(|grown| grown > self.budget) {
            if parsed.answers < TOO_SOON {
                self.lines = false;
            }
            self.parsed = None;
        }
        place
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

#[cfg(test)]
mod tests {
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
        UserSymbols::new(Path::new("/"), 16, 64 << 20)
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
        let mut symbols = UserSymbols::new(root.path(), 16, 64 << 20);
        let place = symbols.place(Pid(7), Address(0x40_16de));
        assert_eq!(place.location.as_deref(), Some("spin+0x16de"));
        assert_eq!(place.source, None);
        let place = symbols.place(Pid(7), Address(0x50_0010));
        assert_eq!(place.location.as_deref(), Some("replaced+0x10"));
    }

    #[test]
    fn debug_information_beyond_the_budget_is_given_up() {
        let mut behind = 0;
        let address = Address(a_known_function_of_the_test(&mut behind));
        let mut symbols = UserSymbols::new(Path::new("/"), 16, 0);
        assert!(!symbols.gave_up_lines());
        let _ = symbols.place(own(), address);
        assert!(symbols.gave_up_lines(), "nothing fits in no memory");
        assert!(symbols.parsed.is_none(), "and nothing is kept");
        let place = symbols.place(own(), Address(address.0 + 1));
        assert!(place.location.is_some(), "names go on");
        assert_eq!(place.source, None, "without lines");
    }
}
