//! Where a task was in user mode: function and source line of an instruction pointer, and of
//! each frame of a stack.
//!
//! The naming is blazesym's, the unwinding framehop's (`attrib::unwind`). What is kept here is what a
//! tracer needs around them: processes (also those that have died since), the files of their own
//! root directories, and a bound on memory. It takes its time, milliseconds to a second for the first
//! address of a large file: [`super::places`] keeps that off the thread that reads the rings.

mod memory;
mod place;

use std::{
    cell::OnceCell,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use blazesym::symbolize::{
    Input, Symbolizer,
    source::{Elf, Process as LiveProcess, Source},
};

pub use place::{UserPlace, Words};

use memory::anonymous_memory;

use super::{
    cache::Cache,
    mappings::Mappings,
    places::STACKS,
    processes::{MappedFile, Process, Processes},
    tables::{Table, Tables},
    unwind::{Code, Frame, unwind},
    user_maps::{Backing, Mapping, UserMaps},
};
use crate::{
    allocator::give_memory_back,
    event::{
        ids::{Address, Pid},
        user_stack::{CopiedStack, StackKey},
    },
};

/// Files are too heavy for source lines that alone take more than this share of the budget.
const SHARE: u64 = 4;

/// Frames whose words are remembered, in each of two generations.
const FRAMES: usize = 2048;

/// Places that are remembered, in each of two generations.
const PLACES: usize = 2048;

/// The callers of a sender.
#[derive(Debug)]
pub(super) struct Unwound {
    /// Its process, by number and as it was.
    pid: Pid,
    process: Arc<Process>,
    /// Innermost first.
    pub(super) frames: Vec<Frame>,
}

/// Names instruction pointers of user space. Everything is read when first asked for.
pub struct UserSymbols {
    processes: Processes,
    tables: Tables,
    /// Places of processes, by their numbers.
    places: Cache<(u64, Address), UserPlace>,
    /// Frames as they are shown, likewise.
    frames: Cache<(u64, Frame), Words>,
    /// Stacks that were unwound.
    stacks: Cache<StackKey, Arc<Unwound>>,
    /// Our own vDSO, once it was asked for.
    vdso: OnceCell<Option<Mapping>>,
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
            .field("processes", &self.processes)
            .field("heavy", &self.heavy)
            .finish_non_exhaustive()
    }
}

impl UserSymbols {
    /// The processes under `root`, with `budget` bytes for what is parsed.
    #[must_use]
    pub fn new(root: &Path, budget: u64) -> Self {
        Self::with_mappings(root, budget, None)
    }

    /// As [`Self::new`], with what processes were recorded to map.
    pub(super) fn with_mappings(root: &Path, budget: u64, mappings: Option<Mappings>) -> Self {
        Self {
            processes: Processes::new(root, mappings),
            tables: Tables::default(),
            places: Cache::new(PLACES),
            frames: Cache::new(FRAMES),
            stacks: Cache::new(STACKS),
            vdso: OnceCell::new(),
            symbolizer: None,
            memory_before: None,
            budget,
            heavy: Vec::new(),
            memory: anonymous_memory,
        }
    }

    /// Where `ip` of a process lies. Asked again, it only looks whether that is still the same process
    /// and program.
    pub fn place(&mut self, pid: Pid, ip: Address) -> UserPlace {
        let known = self.processes.known(pid);
        if let Some(place) = known.and_then(|known| self.places.get(&(known.number, ip))) {
            return place;
        }
        let Some(process) = self.processes.with_code_at(pid, ip) else {
            return UserPlace::default();
        };
        let place = self.resolve(pid, &process, ip, 0).unwrap_or_default();
        self.places.insert((process.number, ip), place.clone());
        place
    }

    /// Finds the callers of a sender, and keeps them for [`Self::stack`].
    pub fn unwind(&mut self, stack: &CopiedStack) {
        if let Some(unwound) = self.unwound(stack) {
            self.stacks.insert(stack.key, Arc::new(unwound));
        }
    }

    /// The frames of a sender's stack as words, innermost first: `work+0x1f (spin.c:7)`, and
    /// `leaf (spin.h:7) [inlined]` before the function that it was inlined into. Empty where it was
    /// not unwound, or is forgotten.
    pub fn stack(&mut self, key: StackKey) -> Words {
        let Some(unwound) = self.stacks.get(&key) else {
            return Words::default();
        };
        let mut words = Vec::with_capacity(unwound.frames.len());
        for &frame in &unwound.frames {
            words.extend_from_slice(&self.frame(unwound.pid, &unwound.process, frame));
        }
        words.into()
    }

    /// The callers of a sender.
    pub(super) fn unwound(&mut self, stack: &CopiedStack) -> Option<Unwound> {
        let pid = stack.pid;
        let mut process = self.processes.sender(pid, stack.ip)?;
        let frames = unwind(stack, |address| {
            if process.maps.find(address).is_none() {
                process = self.processes.sender(pid, address)?;
            }
            self.code(pid, &process, address)
        });
        Some(Unwound {
            pid,
            process,
            frames,
        })
    }

    /// A process executes another program now: what was known of it is forgotten, and its code is
    /// read at once, lest it ends before it is asked for.
    pub fn executed(&mut self, pid: Pid) {
        self.processes.forget(pid);
        self.processes.learn(pid);
    }

    /// Files whose source lines were given up, because their debug information is larger than the budget.
    #[must_use]
    pub fn heavy(&self) -> &[PathBuf] {
        &self.heavy
    }

    /// What lies at an address, for the unwinder.
    fn code(&mut self, pid: Pid, process: &Process, address: Address) -> Option<Code> {
        let mapping = process.maps.find(address)?.clone();
        let table = match &mapping.backing {
            Backing::File { path, inode } => self
                .processes
                .open_path(pid, process, &mapping, path, *inode)
                .and_then(|file| self.tables.of_file(&file.path)),
            Backing::Special(_) => self.vdso_table(&mapping),
            Backing::Anonymous => None,
        };
        Some(Code { mapping, table })
    }

    /// A frame in words.
    fn frame(&mut self, pid: Pid, process: &Process, frame: Frame) -> Words {
        if let Some(words) = self.frames.get(&(process.number, frame)) {
            return words;
        }
        let beyond = frame.address.0.wrapping_sub(frame.lookup().0);
        let place = self.resolve(pid, process, frame.lookup(), beyond);
        let place = place.unwrap_or_default();
        let location = place
            .location
            .unwrap_or_else(|| frame.address.to_string().into());
        let outer = match place.source {
            Some(source) => format!("{location} ({source})").into(),
            None => location,
        };
        let words: Words = place
            .inlined
            .iter()
            .map(|inlined| format!("{inlined} [inlined]").into())
            .chain([outer])
            .collect();
        self.frames.insert((process.number, frame), words.clone());
        words
    }

    /// Finds out where `ip` lies; offsets are told `beyond` more than that.
    fn resolve(
        &mut self,
        pid: Pid,
        process: &Process,
        ip: Address,
        beyond: u64,
    ) -> Option<UserPlace> {
        let mapping = process.maps.find(ip)?;
        let offset = mapping.file_offset(ip);
        let found = match &mapping.backing {
            Backing::File { path, inode } => self
                .processes
                .open_path(pid, process, mapping, path, *inode)
                .and_then(|file| self.resolve_file(&file, offset, beyond)),
            Backing::Special(_) => self.resolve_vdso(mapping, ip, beyond),
            Backing::Anonymous => self.resolve_alive(pid, ip, beyond),
        };
        found.or_else(|| {
            let location = format!("{}+{:#x}", mapping.name()?, offset.wrapping_add(beyond));
            Some(UserPlace {
                location: Some(location.into()),
                ..UserPlace::default()
            })
        })
    }

    /// Names a place in a file: by its debug information, which may be in a file that is known by its
    /// build-id, or else by its own symbols.
    fn resolve_file(&mut self, file: &MappedFile, offset: u64, beyond: u64) -> Option<UserPlace> {
        let table = self.tables.of_file(&file.path);
        let debug = table.and_then(|table| {
            let path = file.debug_file(table.build_id.as_deref()?)?;
            Some((path, table.linked_address(offset)?))
        });
        if let Some((path, address)) = debug
            && let Some(place) = self.resolve_elf(&path, Input::VirtOffset(address), true, beyond)
        {
            return Some(place);
        }
        let input = Input::FileOffset(offset);
        self.resolve_elf(&file.path, input, true, beyond)
            // A debug link that leads to another program's file is an error of the whole file.
            .or_else(|| self.resolve_elf(&file.path, input, false, beyond))
    }

    /// Names a place in an ELF file.
    fn resolve_elf(
        &mut self,
        path: &Path,
        input: Input<u64>,
        lines: bool,
        beyond: u64,
    ) -> Option<UserPlace> {
        let mut elf = Elf::new(path);
        let is_heavy = self.heavy.iter().any(|heavy| heavy == path);
        elf.debug_syms = lines && !is_heavy;
        let before = (self.memory)();
        let place = self.symbolize(&Source::Elf(elf), input, beyond);
        let after = (self.memory)();
        let grown = |since: Option<u64>| Some(after?.saturating_sub(since?));
        if grown(self.memory_before) > Some(self.budget) {
            if grown(before) > Some(self.budget / SHARE) && !is_heavy {
                self.heavy.push(path.to_owned());
            }
            self.symbolizer = None;
            // The next measurement would count it as in use.
            give_memory_back();
        }
        place
    }

    /// Names a place in the vDSO. The kernel maps one image into every process of a kind, also into
    /// this one, so that a process which has died is no matter.
    fn resolve_vdso(&mut self, mapping: &Mapping, ip: Address, beyond: u64) -> Option<UserPlace> {
        let own = self.own_vdso(mapping)?;
        let address = own.start.wrapping_add(ip.0.wrapping_sub(mapping.start));
        let process = LiveProcess::new(blazesym::Pid::Slf);
        self.symbolize(&Source::Process(process), Input::AbsAddr(address), beyond)
    }

    /// How the vDSO is unwound.
    fn vdso_table(&mut self, mapping: &Mapping) -> Option<Arc<Table>> {
        let own = self.own_vdso(mapping)?;
        self.tables.of_vdso(|| {
            let mut image = vec![0; usize::try_from(own.end - own.start).ok()?];
            let mut memory = fs::File::open("/proc/self/mem").ok()?;
            memory.seek(SeekFrom::Start(own.start)).ok()?;
            memory.read_exact(&mut image).ok()?;
            Some(image)
        })
    }

    /// Our own vDSO, if this mapping is of the same image: a 32-bit process has another one.
    fn own_vdso(&self, mapping: &Mapping) -> Option<Mapping> {
        if self.processes.root() != Path::new("/") || mapping.name()? != "[vdso]" {
            return None;
        }
        // It stays where it is.
        let own = self.vdso.get_or_init(|| {
            let own = UserMaps::read(Path::new("/"), Pid(std::process::id())).ok()?;
            own.named("[vdso]").cloned()
        });
        own.clone()
            .filter(|own| own.end - own.start == mapping.end - mapping.start)
    }

    /// Names a place that only a living process can tell: in code for which it keeps a perf map.
    fn resolve_alive(&mut self, pid: Pid, ip: Address, beyond: u64) -> Option<UserPlace> {
        if self.processes.root() != Path::new("/") {
            return None;
        }
        let process = LiveProcess::new(pid.0.into());
        self.symbolize(&Source::Process(process), Input::AbsAddr(ip.0), beyond)
    }

    /// Asks the symbolizer.
    fn symbolize(
        &mut self,
        source: &Source<'_>,
        input: Input<u64>,
        beyond: u64,
    ) -> Option<UserPlace> {
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
        found.as_sym().map(|sym| UserPlace::of(sym, beyond))
    }
}

#[cfg(test)]
mod tests;
