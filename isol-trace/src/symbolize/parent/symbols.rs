//! Where a task was in user mode: function and source line of an instruction pointer, and of
//! each frame of a stack.
//!
//! This is the side that knows processes and opens files; what is in these files, the symbolizer says
//! (`symbolize::parent::symbolizer`). It takes its time, milliseconds to seconds for the first
//! address of a large file: [`super::places`] keeps that off the thread that reads the rings.

use std::{
    cell::OnceCell,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use super::{
    files::{Files, Reader},
    processes::{Mapped, Process, Processes, Quiet, ReadMaps},
    symbolizer::{Broker, Deadlines, Nothing, Starter, Symbolizer, UsedFile},
    warnings::Warnings,
};
use crate::{
    event::{
        ids::{Address, Pid},
        user_stack::{CopiedStack, StackKey},
    },
    host::cpu_list::CpuSet,
    symbolize::{
        mappings::Mappings,
        shared::{
            maps::{Backing, Mapping, UserMaps},
            place::Place,
            protocol::{self, Answer, Code, CodeOf, DebugName, FileId, Payer, Question},
            shared_table::SharedTable,
        },
    },
};

pub use crate::symbolize::Words;

/// Stacks that are remembered, shared among the users: until the breach that they led to comes, or, for who armed a timer,
/// for as long as it is asked for.
pub(super) const STACKS: usize = 8192;

/// Frames whose words are remembered.
const FRAMES: usize = 4096;

/// Places that are remembered.
const PLACES: usize = 4096;

/// How long reading the maps of all processes may take before a trace begins.
const READ_ALL: Duration = Duration::from_secs(2);

/// What is known of an instruction pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPlace {
    /// `main+0x2e`, or `[spin]+0x16de` (offset in the file) where the file has no symbols. Of several functions that the
    /// compiler made one, the innermost that is the program's own.
    pub location: Option<Arc<str>>,
    /// `spin.c:11`, of that function.
    pub source: Option<Arc<str>>,
    /// All of these functions where there are several, as `leaf (spin.h:7)`, innermost first.
    pub inlined: Words,
}

impl UserPlace {
    fn of(place: &Place) -> Self {
        Self {
            location: place.location.clone(),
            source: place.source.clone(),
            inlined: place.listed(),
        }
    }
}

/// A place as the symbolizer has said it.
fn said(place: protocol::Place) -> Place {
    Place {
        location: place.location.map(Into::into),
        source: place.source.map(Into::into),
        inlined: place.inlined.into_iter().map(Into::into).collect(),
        outer: place.outer.map(Into::into),
        missing: None,
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    /// The instruction pointer, or the address to return to.
    pub(super) address: Address,
    /// It is an address to return to: the call is what comes before it.
    pub(super) returns: bool,
}

impl Frame {
    /// An address inside the instruction that the frame is at.
    const fn lookup(self) -> Address {
        Address(self.address.0.wrapping_sub(self.returns as u64))
    }
}

/// The callers of a sender.
#[derive(Debug)]
pub(super) struct Unwound {
    /// Its process, by number and as it was.
    pid: Pid,
    process: Arc<Process>,
    /// Innermost first.
    pub(super) frames: Vec<Frame>,
}

/// How places are found.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    /// Where its number is kept for others.
    pub(crate) number: Arc<AtomicU32>,
    /// How the symbolizer is started.
    pub(crate) starter: Starter,
    /// How long it may take.
    pub(crate) deadlines: Deadlines,
    /// Directories in which debug information is looked for besides the usual ones.
    pub(crate) debug_dirs: Vec<PathBuf>,
}

/// Names instruction pointers of user space. Everything is read when first asked for. What is remembered is shared among the
/// users whose processes it is of.
#[derive(Debug)]
pub(crate) struct UserSymbols {
    processes: Processes,
    files: Files,
    symbolizer: Symbolizer,
    /// Places of processes, by their numbers.
    places: SharedTable<(u64, Address), UserPlace>,
    /// Places of files, by their offset there, and by what is shown beyond that. Another process of the same program, or
    /// with the same library, has them at once.
    offsets: SharedTable<(FileId, u64, u64), Place>,
    /// Frames as they are shown, likewise.
    frames: SharedTable<(u64, Frame), Words>,
    /// Stacks that were unwound.
    stacks: SharedTable<StackKey, Arc<Unwound>>,
    /// Our own vDSO, once it was asked for.
    vdso: OnceCell<Option<Mapping>>,
    /// It was said how code that is made at run time is named.
    unmapped: bool,
    /// What a person should know and has not been told.
    warnings: Warnings,
}

impl UserSymbols {
    /// The processes under `root`, with what they were recorded to map. Starts the symbolizer.
    pub(crate) fn start(root: &Path, means: &Means, mappings: Option<Mappings>) -> Self {
        let mut warnings = Warnings::new("places in more files lack names or source lines");
        let mut debug = Vec::new();
        for path in &means.debug_dirs {
            match File::open(path) {
                Ok(folder) => debug.push(Arc::new(folder)),
                Err(error) => warnings.once(format!(
                    "{}: debug information is not looked for there: {error}",
                    path.display()
                )),
            }
        }
        Self {
            processes: Processes::new(root, mappings, Quiet::not_yet()),
            files: Files::new(debug),
            symbolizer: Symbolizer::start_as(
                means.starter.clone(),
                means.deadlines,
                means.number.clone(),
            ),
            places: SharedTable::new(PLACES),
            offsets: SharedTable::new(PLACES),
            frames: SharedTable::new(FRAMES),
            stacks: SharedTable::new(STACKS),
            vdso: OnceCell::new(),
            unmapped: false,
            warnings,
        }
    }

    /// For tests: as [`Self::start`], without a record.
    #[cfg(test)]
    pub(crate) fn of_tests(root: &Path) -> Self {
        Self::start(root, &super::symbolizer::tests::means(), None)
    }

    /// Before a trace begins: reads the maps of every process, and from now on none of a process that may run on one of
    /// these CPUs. Has the symbolizer run only where nobody else wants to, for as long as that gives answers, and keeps
    /// another one to spare.
    pub(super) fn prepare(&mut self, watched: CpuSet) {
        let until = Instant::now() + READ_ALL;
        self.processes.read_all(&mut self.symbolizer, until);
        self.watch(watched);
        self.symbolizer.keep_spare();
        self.symbolizer.be_idle();
    }

    /// Nobody has asked for a while.
    pub(super) fn rest(&mut self) {
        self.symbolizer.rest();
    }

    /// These CPUs are watched from now on.
    pub(super) fn watch(&mut self, cpus: CpuSet) {
        self.processes.quiet().watch(cpus);
    }

    /// Has the symbolizer run on these CPUs alone.
    pub(super) fn confine(&self, cpus: &CpuSet) {
        self.symbolizer.confine(cpus);
    }

    /// Where `ip` of a process lies. Asked again, it only looks whether that is still the same process
    /// and program.
    pub(crate) fn place(&mut self, pid: Pid, ip: Address) -> UserPlace {
        let known = self.processes.known(pid);
        if let Some(known) = known
            && let Some(place) = self.places.get(&(known.number, ip), known.payer)
        {
            return place.clone();
        }
        let process = self.processes.with_code_at(pid, ip, &mut self.symbolizer);
        let Some(process) = process else {
            return UserPlace::default();
        };
        let place = self.resolve(pid, &process, ip, 0).unwrap_or_default();
        let place = UserPlace::of(&place);
        let key = (process.number, ip);
        self.places.insert(key, place.clone(), process.payer);
        place
    }

    /// Finds the callers of a sender, and keeps them for [`Self::stack`].
    pub(crate) fn unwind(&mut self, stack: &CopiedStack) {
        if let Some(unwound) = self.unwound(stack) {
            let payer = unwound.process.payer;
            self.stacks.insert(stack.key, Arc::new(unwound), payer);
        }
    }

    /// The frames of a sender's stack as words, innermost first: `work+0x1f (spin.c:7)`, and
    /// `leaf (spin.h:7) [inlined]` before the function that it was inlined into. Empty where it was
    /// not unwound, or is forgotten.
    pub(crate) fn stack(&mut self, key: StackKey) -> Words {
        let Some(unwound) = self.stacks.peek(&key).cloned() else {
            return Words::default();
        };
        // It may be asked for again.
        self.stacks.get(&key, unwound.process.payer);
        let mut words = Vec::with_capacity(unwound.frames.len());
        for &frame in &unwound.frames {
            words.extend_from_slice(&self.frame(unwound.pid, &unwound.process, frame));
        }
        words.into()
    }

    /// The callers of a sender.
    pub(super) fn unwound(&mut self, stack: &CopiedStack) -> Option<Unwound> {
        let pid = stack.pid;
        let process = self.processes.sender(pid, stack.ip, &mut self.symbolizer)?;
        let question = Question::Unwind(stack.asked(process.space));
        let own_vdso = self.own_vdso();
        let reader = self.reader(process.payer);
        let mut desk = Desk {
            files: &mut self.files,
            reader,
            of: Some(Subject {
                processes: &mut self.processes,
                pid,
                process,
                own_vdso,
            }),
        };
        let answer = self.symbolizer.ask(&question, None, &mut desk);
        let process = desk.of?.process;
        let Some(Answer::Frames(frames)) = answer else {
            return None;
        };
        let frames = frames.into_iter().map(|(address, returns)| Frame {
            address: Address(address),
            returns,
        });
        Some(Unwound {
            pid,
            process,
            frames: frames.collect(),
        })
    }

    /// A process executes another program now: what was known of it is forgotten.
    pub(super) fn executed(&mut self, pid: Pid) {
        self.processes.executed(pid, &mut self.symbolizer);
    }

    /// Takes what a person should know of names that are missing, each once.
    pub(super) fn take_sentences(&mut self) -> Vec<String> {
        let mut all = self.warnings.take();
        all.extend(self.symbolizer.take_sentences());
        all
    }

    /// A frame in words.
    fn frame(&mut self, pid: Pid, process: &Process, frame: Frame) -> Words {
        let key = (process.number, frame);
        if let Some(words) = self.frames.get(&key, process.payer) {
            return words.clone();
        }
        let beyond = frame.address.0.wrapping_sub(frame.lookup().0);
        let place = self.resolve(pid, process, frame.lookup(), beyond);
        let mut words = place.unwrap_or_default().stack();
        if words.is_empty() {
            words.push(frame.address.to_string().into());
        }
        let words: Words = words.into();
        self.frames.insert(key, words.clone(), process.payer);
        words
    }

    /// Finds out where `ip` lies; offsets are told `beyond` more than that.
    fn resolve(&mut self, pid: Pid, process: &Process, ip: Address, beyond: u64) -> Option<Place> {
        let mapping = process.maps.find(ip)?;
        let offset = mapping.file_offset(ip);
        let found = match &mapping.backing {
            Backing::File { path, file } => {
                let reader = self.reader(process.payer);
                let files = &mut self.files;
                let mapped = Mapped {
                    mapping,
                    path: path.path(),
                    file: *file,
                };
                let id = self.processes.file(files, pid, process, mapped, reader);
                id.and_then(|file| self.resolve_offset(file, process.payer, offset, beyond))
            }
            Backing::Special(_) => self.resolve_vdso(mapping, ip, beyond),
            Backing::Anonymous => {
                let map = self.processes.perf_map(&mut self.files, pid, process);
                if map.is_none() {
                    self.say_how_to_name(pid);
                }
                map.and_then(|map| {
                    let question = Question::Jit {
                        map,
                        address: ip.0,
                        beyond,
                    };
                    self.ask(map, process.payer, &question)
                })
            }
        };
        found.or_else(|| {
            let name = mapping.name_in_brackets()?;
            let location = format!("{name}+{:#x}", offset.wrapping_add(beyond));
            Some(Place {
                location: Some(location.into()),
                ..Place::default()
            })
        })
    }

    /// Says once that nobody wrote names of code that was made at run time, and who would.
    fn say_how_to_name(&mut self, pid: Pid) {
        if !std::mem::replace(&mut self.unmapped, true) {
            self.warnings.once(format!(
                "places in code that process {pid} makes at run time come as addresses, since it wrote no names to \
                 /tmp/perf-PID.map: node --perf-basic-prof, python3 -X perf and jcmd PID Compiler.perfmap do"
            ));
        }
    }

    /// Names a place of a file that a process of a user has mapped. A file does not change while it has its number.
    fn resolve_offset(
        &mut self,
        file: FileId,
        payer: Payer,
        offset: u64,
        beyond: u64,
    ) -> Option<Place> {
        let key = (file, offset, beyond);
        if let Some(known) = self.offsets.get(&key, payer) {
            return Some(known.clone());
        }
        let question = Question::Place {
            file,
            offset,
            beyond,
        };
        // Where one process has no answer another may have one: it is another user who pays, or the file can be opened.
        let place = self.ask(file, payer, &question)?;
        self.offsets.insert(key, place.clone(), payer);
        Some(place)
    }

    /// For whom files are read where a process of a user has them.
    fn reader(&self, payer: Payer) -> Reader {
        Reader {
            payer,
            has_bars: self.symbolizer.has_bars(payer),
        }
    }

    /// Who pays for what is asked about a process.
    pub(super) fn payer(&self, pid: Pid) -> Payer {
        self.processes.payer(pid)
    }

    /// Whether a file may be read for a process of a user.
    fn allows(&self, file: FileId, payer: Payer) -> bool {
        let used = self.files.used(file, payer);
        used.is_some_and(|used| self.symbolizer.allows(&used))
    }

    /// Asks for a place in a file for a process of a user. `None` where that has no name for it.
    fn ask(&mut self, file: FileId, payer: Payer, question: &Question) -> Option<Place> {
        if !self.allows(file, payer) {
            return None;
        }
        let reader = self.reader(payer);
        let mut desk = Desk {
            files: &mut self.files,
            reader,
            of: None,
        };
        let Answer::Place(mut place) = self.symbolizer.ask(question, None, &mut desk)? else {
            return None;
        };
        if let Some(missing) = place.missing.take()
            && let Some(name) = self.files.name(file)
        {
            self.warnings.of_file(name, || {
                format!("places in {name} lack names or source lines: {missing}")
            });
        }
        place.location.is_some().then(|| said(place))
    }

    /// Names a place in the vDSO. The kernel maps one image into every process of a kind, also into
    /// the symbolizer, so that a process which has died is no matter.
    fn resolve_vdso(&mut self, mapping: &Mapping, ip: Address, beyond: u64) -> Option<Place> {
        if !is_vdso(mapping, self.own_vdso().as_ref()) {
            return None;
        }
        let offset = ip.0.wrapping_sub(mapping.start);
        let question = Question::Vdso { offset, beyond };
        match self.symbolizer.ask(&question, None, &mut Nothing)? {
            Answer::Place(place) if place.location.is_some() => Some(said(place)),
            _ => None,
        }
    }

    /// Our own vDSO.
    fn own_vdso(&self) -> Option<Mapping> {
        if self.processes.root() != Path::new("/") {
            return None;
        }
        // It stays where it is.
        let own = self.vdso.get_or_init(|| {
            let text = fs::read("/proc/self/maps").ok()?;
            UserMaps::parse(&text).named("[vdso]").cloned()
        });
        own.clone()
    }
}

/// Whether a mapping is of the same vDSO as our own: a 32-bit process has another one.
fn is_vdso(mapping: &Mapping, own: Option<&Mapping>) -> bool {
    mapping.name().as_deref() == Some("[vdso]")
        && own.is_some_and(|own| own.end - own.start == mapping.end - mapping.start)
}

impl ReadMaps for Symbolizer {
    fn read(&mut self, maps: &File) -> Option<Vec<Mapping>> {
        self.maps(maps)
    }
}

/// What the symbolizer gets while it looks for an answer.
struct Desk<'a> {
    files: &'a mut Files,
    /// For whom the question is asked.
    reader: Reader,
    /// The process that it is about.
    of: Option<Subject<'a>>,
}

/// The process that a question is about.
struct Subject<'a> {
    processes: &'a mut Processes,
    pid: Pid,
    process: Arc<Process>,
    own_vdso: Option<Mapping>,
}

impl Broker for Desk<'_> {
    fn file(&mut self, id: FileId) -> Option<File> {
        self.files.open(id)
    }

    fn debug(&mut self, of: FileId, name: &DebugName) -> Option<(FileId, File)> {
        let id = self.files.debug(of, name, self.reader.payer)?;
        Some((id, self.files.open(id)?))
    }

    fn code(&mut self, address: u64) -> Option<(Code, bool)> {
        let subject = self.of.as_mut()?;
        let address = Address(address);
        let before = subject.process.space;
        if subject.process.maps.find(address).is_none() {
            // A library that was loaded since. No maps are read here: the symbolizer, which would, waits.
            let newer = subject
                .processes
                .sender(subject.pid, address, &mut NoReader)?;
            subject.process = newer;
        }
        let process = subject.process.clone();
        let mapping = process.maps.find(address)?;
        let of = match &mapping.backing {
            Backing::File { path, file } => {
                let mapped = Mapped {
                    mapping,
                    path: path.path(),
                    file: *file,
                };
                let (pid, processes) = (subject.pid, &subject.processes);
                let found = processes.file(self.files, pid, &process, mapped, self.reader);
                found.map_or(CodeOf::Unknown, CodeOf::File)
            }
            Backing::Special(_) if is_vdso(mapping, subject.own_vdso.as_ref()) => CodeOf::Vdso,
            Backing::Special(_) => CodeOf::Unknown,
            Backing::Anonymous => CodeOf::Anonymous,
        };
        let code = Code {
            start: mapping.start,
            end: mapping.end,
            offset: mapping.offset,
            of,
        };
        Some((code, process.space == before))
    }

    fn used(&self, id: FileId) -> Option<UsedFile> {
        self.files.used(id, self.reader.payer)
    }

    fn payer(&self) -> Payer {
        self.reader.payer
    }
}

/// Reads no maps.
struct NoReader;

impl ReadMaps for NoReader {
    fn read(&mut self, _: &File) -> Option<Vec<Mapping>> {
        None
    }
}

#[cfg(test)]
mod tests;
