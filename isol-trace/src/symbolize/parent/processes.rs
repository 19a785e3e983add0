//! Processes whose code is named: their maps, and where their files can be opened.
//!
//! What is known of a process is kept, so that one which has ended still has its places. A
//! process may see other files than the tracer under the same names (a container, a `chroot`):
//! its own root directory is then held open, and outlives the process with its maps.
//!
//! What processes map is recorded ([`crate::symbolize::mappings`]), and read once before the trace begins. A `/proc/PID/maps` is read
//! after that only where the record has nothing, and only of a process with no thread that may run on a watched CPU:
//! reading takes the lock that its page faults wait for. Where records were lost, a process may execute another program by
//! now: what was recorded before is believed where its auxiliary vector is that of the program which was recorded.

mod identity;
mod quiet;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags};

use identity::Identity;
pub(super) use quiet::Quiet;

use super::{
    files::{Files, Place, Reader, RootKey, same_file},
    limit::Limit,
};
use crate::{
    clock::monotonic,
    event::ids::{Address, MonoNanos, Pid},
    symbolize::{
        mappings::{Code, Doubt, Mappings},
        shared::{
            maps::{FileNumber, Mapping, UserMaps},
            protocol::{FileId, Payer},
            shared_table::SharedTable,
        },
    },
};

/// Processes that are kept, shared among their users.
const PROCESSES: usize = 128;

/// Root directories that are held open, likewise: a file system cannot be unmounted meanwhile.
const ROOTS: usize = 16;

/// Senders' maps that are read at once of each user, and one more in every [`REFILL`].
const BURST: u32 = 32;

/// See [`BURST`]: at most 100 processes of a user are asked for their maps in a second, each of which takes a lock of
/// theirs.
const REFILL: Duration = Duration::from_millis(10);

/// Users of whom it is remembered how many were asked.
const LIMITS: usize = 256;

/// Processes that have ended, and one that has not: as far as it is looked for whose a process was.
const ANCESTORS: usize = 16;

/// Reads the code that a `/proc/PID/maps` lists: the symbolizer, since its owner says what is in it.
pub(super) trait ReadMaps {
    /// Reads it; `None` where it cannot be read.
    fn read(&mut self, maps: &File) -> Option<Vec<Mapping>>;
}

/// What is known of a process.
#[derive(Debug)]
pub(super) struct Process {
    /// Tells it from every other that was ever known: another process, or another program.
    pub(super) number: u64,
    /// Tells these maps from all others.
    pub(super) space: u64,
    /// Its code.
    pub(super) maps: UserMaps,
    /// When that was so.
    maps_at: MonoNanos,
    /// Who pays for reading its files, as [`Processes::payer`] says: that of the one whose child it is, where it has ended.
    pub(super) payer: Payer,
    /// By which it is known again.
    identity: Identity,
    /// Where its files are.
    view: View,
}

/// A file that a process has mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped<'a> {
    /// Where.
    pub(super) mapping: &'a Mapping,
    /// By which name.
    pub(super) path: &'a Path,
    /// Which one it was then.
    pub(super) file: FileNumber,
}

/// Where the files of a process are.
#[derive(Clone, Debug)]
enum View {
    /// Where the tracer has them too.
    Ours,
    /// There too, by the names that the kernel tells us; the process calls them otherwise.
    Chroot(Arc<File>),
    /// In a mount namespace of its own, under this root directory.
    Foreign(Arc<File>),
    /// Nobody can say. Its root directory, where that can be opened.
    Unknown(Option<Arc<File>>),
}

/// The processes under a root path.
#[derive(Debug)]
pub(super) struct Processes {
    /// Where `proc` is.
    root: PathBuf,
    /// The same, held open.
    own_root: Option<Arc<File>>,
    /// What processes were recorded to map.
    mappings: Option<Mappings>,
    /// Whose maps may be read.
    quiet: Quiet,
    known: SharedTable<Pid, Arc<Process>>,
    roots: SharedTable<RootKey, Arc<File>>,
    /// How often maps may be read, of each user.
    limits: SharedTable<Payer, Limit>,
    /// Numbers that were given, to programs and to maps.
    numbers: u64,
}

impl Processes {
    /// Nothing is read yet.
    pub(super) fn new(root: &Path, mappings: Option<Mappings>, quiet: Quiet) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own_root = rustix::fs::open(root, flags, Mode::empty()).ok();
        Self {
            root: root.to_owned(),
            own_root: own_root.map(|it| Arc::new(File::from(it))),
            mappings,
            quiet,
            known: SharedTable::new(PROCESSES),
            roots: SharedTable::new(ROOTS),
            limits: SharedTable::new(LIMITS),
            numbers: 0,
        }
    }

    /// Where `proc` is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whose maps may be read.
    pub(super) const fn quiet(&mut self) -> &mut Quiet {
        &mut self.quiet
    }

    /// Reads the code of every process there is, for as long as it may take. How many there were.
    pub(super) fn read_all(&self, reader: &mut dyn ReadMaps, until: Instant) -> usize {
        let Some(mappings) = &self.mappings else {
            return 0;
        };
        let Ok(entries) = fs::read_dir(self.root.join("proc")) else {
            return 0;
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut read = 0;
        for pid in names.filter_map(|name| name.parse().ok().map(Pid)) {
            if Instant::now() >= until {
                break;
            }
            // Nobody else empties the rings yet.
            mappings.turn();
            // A thread of the kernel has no program (`fs/proc/base.c:proc_exe_link`, v6.12), and there are many: asking the
            // symbolizer for the maps of each takes from the time that there is for all.
            if fs::read_link(self.root.join(format!("proc/{pid}/exe"))).is_err() {
                continue;
            }
            // First: what is recorded later is newer than what is read.
            let at = monotonic();
            let maps = File::open(self.root.join(format!("proc/{pid}/maps")));
            let code = maps.ok().and_then(|maps| reader.read(&maps));
            // One that is ending has none.
            if let Some(code) = code.filter(|code| !code.is_empty()) {
                mappings.read(at, pid, code);
                read += 1;
            }
        }
        read
    }

    /// Who pays for reading the files of a process: its user, or whoever made the user namespace that it is in. Of one that
    /// has ended before that was known, the user of the process that started it.
    pub(super) fn payer(&self, pid: Pid) -> Payer {
        let known = self.known.peek(&pid);
        known
            .map_or(Payer::Unknown, |known| known.payer)
            .or_else(|| Identity::payer_of(&self.root, pid))
            .or_else(|| self.payer_by_birth(pid))
    }

    /// The user of the process that has started one, or of that one's parent, where it has ended as well, and so on.
    fn payer_by_birth(&self, pid: Pid) -> Payer {
        let ancestors = self.mappings.as_ref();
        let ancestors = ancestors.map_or_else(Vec::new, |all| all.ancestors(pid, ANCESTORS));
        for (generation, ancestor) in ancestors.into_iter().enumerate() {
            let known = self.known.peek(&ancestor);
            let payer = Identity::payer_of(&self.root, ancestor)
                .or_else(|| known.map_or(Payer::Unknown, |known| known.payer));
            match payer {
                Payer::Unknown => {}
                // Everybody descends from one of root's processes, and changed users since.
                Payer::ROOT if generation > 0 => return Payer::Unknown,
                Payer::User(_) => return payer,
            }
        }
        Payer::Unknown
    }

    /// Whether the maps of a process may be read now, which is counted then.
    fn may_ask(&mut self, pid: Pid) -> bool {
        let (payer, now) = (self.payer(pid), Instant::now());
        if let Some(limit) = self.limits.get(&payer, payer) {
            return limit.allows(now);
        }
        let mut limit = Limit::new(BURST, REFILL, now);
        let allows = limit.allows(now);
        self.limits.insert(payer, limit, payer);
        allows
    }

    /// What is known of a process, if it is still that one.
    pub(super) fn known(&mut self, pid: Pid) -> Option<Arc<Process>> {
        let known = self.known.peek(&pid)?.clone();
        self.known.get(&pid, known.payer);
        // Of one that is dead, only the record tells that it was another one in the end.
        let since = self.mappings.as_ref().and_then(|all| all.since(pid));
        let is_still = since.is_none_or(|since| since <= known.maps_at)
            && known.identity.is_still(&self.root, pid);
        is_still.then_some(known)
    }

    /// A process that has code at `address`. Where it is not known to have any, what was recorded since is looked at: a
    /// library that was loaded later.
    pub(super) fn with_code_at(
        &mut self,
        pid: Pid,
        address: Address,
        reader: &mut dyn ReadMaps,
    ) -> Option<Arc<Process>> {
        self.look_up(pid, address, reader, true)
    }

    /// As [`Self::with_code_at`], and maps are not read more often than the limit allows: senders are many.
    pub(super) fn sender(
        &mut self,
        pid: Pid,
        address: Address,
        reader: &mut dyn ReadMaps,
    ) -> Option<Arc<Process>> {
        self.look_up(pid, address, reader, false)
    }

    fn look_up(
        &mut self,
        pid: Pid,
        address: Address,
        reader: &mut dyn ReadMaps,
        at_any_rate: bool,
    ) -> Option<Arc<Process>> {
        let known = self.known(pid);
        if has_code(known.as_ref(), address) {
            return known;
        }
        let recorded = self.recorded(pid, known, reader);
        if has_code(recorded.as_ref(), address) {
            return recorded;
        }
        if !(at_any_rate || self.may_ask(pid)) {
            return recorded;
        }
        // One that has died is still what it was known to be.
        self.learn(pid, reader).or(recorded)
    }

    /// A process with what was recorded of it since it was `known`.
    fn recorded(
        &mut self,
        pid: Pid,
        known: Option<Arc<Process>>,
        reader: &mut dyn ReadMaps,
    ) -> Option<Arc<Process>> {
        let Some(recorded) = self.mappings.as_ref().and_then(|all| all.of(pid)) else {
            return known;
        };
        let known = known.filter(|known| recorded.space.since <= known.maps_at);
        // A child has its parent's code until it executes a program.
        let base = known
            .clone()
            .or_else(|| self.parent(recorded.base?, reader));
        let none = UserMaps::of(Vec::new());
        let before = base.as_ref().map_or(&none, |base| &base.maps);
        let identity = match &known {
            Some(known) => known.identity.clone(),
            None => Identity::read(&self.root, pid),
        };
        let at = match (&known, recorded.space.doubt) {
            (Some(known), _) => known.maps_at,
            (None, Some(doubt)) if !is_of(&recorded.space.code, &identity, doubt) => doubt.until,
            (None, _) => MonoNanos(0),
        };
        let maps = match recorded.space.code.since(at, before) {
            Some(maps) => maps,
            None if known.is_some() => return known,
            None => UserMaps::of(before.all().to_vec()),
        };
        if maps.is_empty() {
            return None;
        }
        let number = match &known {
            Some(known) => known.number,
            None => self.next_number(),
        };
        let payer = identity
            .payer()
            .or_else(|| base.as_ref().map_or(Payer::Unknown, |base| base.payer))
            .or_else(|| self.payer_by_birth(pid));
        let view = match base {
            Some(base) => base.view.clone(),
            None => self.view(&identity, payer),
        };
        let process = Process {
            number,
            space: self.next_number(),
            maps,
            maps_at: recorded.until,
            payer,
            identity,
            view,
        };
        Some(self.keep(pid, process))
    }

    /// A process for what its child has of it.
    fn parent(&mut self, pid: Pid, reader: &mut dyn ReadMaps) -> Option<Arc<Process>> {
        if let Some(known) = self.known(pid) {
            return Some(known);
        }
        self.may_ask(pid).then(|| self.learn(pid, reader))?
    }

    fn keep(&mut self, pid: Pid, process: Process) -> Arc<Process> {
        let process = Arc::new(process);
        self.known.insert(pid, process.clone(), process.payer);
        process
    }

    /// A number that nothing has.
    const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Reads what there is to know of a process now, if nothing is disturbed by that.
    pub(super) fn learn(&mut self, pid: Pid, reader: &mut dyn ReadMaps) -> Option<Arc<Process>> {
        if !self.quiet.may_read(&self.root, pid) {
            return None;
        }
        // First: what changes meanwhile is noticed later.
        let identity = Identity::read(&self.root, pid);
        let maps_at = monotonic();
        let maps = UserMaps::of(reader.read(&identity.open("maps")?)?);
        if maps.is_empty() {
            // A zombie still has the file.
            return None;
        }
        let before = self.known.peek(&pid);
        let same = before.filter(|before| before.identity.is(&identity));
        let number = match same {
            Some(same) => same.number,
            None => self.next_number(),
        };
        let view = self.view(&identity, identity.payer());
        let process = Process {
            number,
            space: self.next_number(),
            maps,
            maps_at,
            payer: identity.payer(),
            identity,
            view,
        };
        Some(self.keep(pid, process))
    }

    /// A process executes another program: what was known of it is forgotten, and where its files are is looked up at
    /// once, lest it ends before it is asked for.
    pub(super) fn executed(&mut self, pid: Pid, reader: &mut dyn ReadMaps) {
        self.known.remove(&pid);
        if self.recorded(pid, None, reader).is_none() && self.may_ask(pid) {
            self.learn(pid, reader);
        }
    }

    /// Forgets a process.
    #[cfg(test)]
    pub(super) fn forget(&mut self, pid: Pid) {
        self.known.remove(&pid);
    }

    /// The file that a process has mapped, if it can be opened and is still that file.
    pub(super) fn file(
        &self,
        files: &mut Files,
        pid: Pid,
        process: &Process,
        mapped: Mapped<'_>,
        reader: Reader,
    ) -> Option<FileId> {
        let Mapped {
            mapping,
            path,
            file,
        } = mapped;
        let relative = path.strip_prefix("/").unwrap_or(path).to_owned();
        let own = self.own_root.clone();
        let roots: Vec<Arc<File>> = match &process.view {
            View::Ours => own.into_iter().collect(),
            // A recorded name is the process's own.
            View::Chroot(root) => own.into_iter().chain([root.clone()]).collect(),
            // Another mount namespace may well have this one's file there. Each would have it read anew, for which a stranger
            // needs no right.
            View::Foreign(root) => own
                .filter(|own| same_file(own, root, &relative))
                .into_iter()
                .chain([root.clone()])
                .collect(),
            View::Unknown(root) => own.into_iter().chain(root.clone()).collect(),
        };
        let below = roots
            .iter()
            .map(|root| (Place::Below(root.clone(), relative.clone()), root.clone()));
        // Where a file was deleted or replaced, the kernel still has links to it.
        let root = match &process.view {
            View::Ours | View::Unknown(_) => roots.first(),
            View::Chroot(root) | View::Foreign(root) => Some(root),
        };
        let link = |name: String| {
            let folder = process.identity.folder()?.file();
            Some((Place::Link(folder, name), root?.clone()))
        };
        let program = link("exe".to_owned());
        if let Some(found) = below
            .chain(program)
            .find_map(|(place, root)| files.find(place, &root, path, Some(file), reader))
        {
            return Some(found);
        }
        // This one takes the lock of its memory (`fs/proc/base.c:proc_map_files_lookup`, v6.12).
        if !self.quiet.may_read(&self.root, pid) {
            return None;
        }
        let (place, root) = link(format!("map_files/{:x}-{:x}", mapping.start, mapping.end))?;
        files.find(place, &root, path, Some(file), reader)
    }

    /// The map that a process's compiler writes of the code that it makes at run time.
    pub(super) fn perf_map(
        &self,
        files: &mut Files,
        pid: Pid,
        process: &Process,
    ) -> Option<FileId> {
        let root = match &process.view {
            View::Ours => self.own_root.clone()?,
            View::Chroot(root) | View::Foreign(root) => root.clone(),
            View::Unknown(_) => return None,
        };
        let folder = process.identity.folder()?;
        // It calls itself by the number that its own namespace gives it.
        let own = folder.own_number().unwrap_or(pid.0);
        let path = format!("tmp/perf-{own}.map");
        let user = folder.user()?;
        files.find_owned(&root, Path::new(&path), user, process.payer)
    }

    /// Whether a process has the tracer's root directory and mounts.
    fn view(&mut self, identity: &Identity, payer: Payer) -> View {
        let opened = || identity.folder().and_then(identity::Folder::open_root);
        let view = self.try_view(identity, payer);
        view.unwrap_or_else(|_| View::Unknown(opened()))
    }

    fn try_view(&mut self, identity: &Identity, payer: Payer) -> io::Result<View> {
        let folder = identity.folder().ok_or(io::ErrorKind::NotFound)?;
        let mounts = folder.link("ns/mnt").ok_or(io::ErrorKind::NotFound)?;
        let opened = folder.open_root().ok_or(io::ErrorKind::NotFound)?;
        let root = opened.metadata()?;
        let own = fs::metadata(&self.root)?;
        let same_root = (own.dev(), own.ino()) == (root.dev(), root.ino());
        let same_mounts = fs::read_link(self.root.join("proc/self/ns/mnt"))? == mounts;
        if same_root && same_mounts {
            return Ok(View::Ours);
        }
        let key = RootKey::of(&opened)?;
        let held = self.roots.get(&key, payer).cloned();
        let root = held.unwrap_or_else(|| {
            self.roots.insert(key, opened.clone(), payer);
            opened
        });
        // Paths in the maps begin at the reader's root or, where that is not above them, at the
        // top of their mount namespace (fs/d_path.c:prepend_path, v6.12).
        Ok(if same_mounts {
            View::Chroot(root)
        } else {
            View::Foreign(root)
        })
    }
}

/// Whether code is of the program that a process still executes, though records were lost.
fn is_of(code: &Code, identity: &Identity, doubt: Doubt) -> bool {
    let beginning = identity.beginning();
    beginning.is_some_and(|beginning| code.is_of(&beginning, doubt.since))
}

/// Whether a process has code at an address.
fn has_code(process: Option<&Arc<Process>>, address: Address) -> bool {
    process.is_some_and(|process| process.maps.find(address).is_some())
}

#[cfg(test)]
mod tests;
