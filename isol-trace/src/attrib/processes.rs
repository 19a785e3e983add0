//! Processes whose code is named: their maps, and where their files can be opened.
//!
//! What is read of a process is kept, so that one which has ended still has its places. A
//! process may see other files than the tracer under the same names (a container, a `chroot`):
//! its own root directory is then held open, and outlives the process with its maps.
//!
//! One that ended before it was asked for has what was recorded of it, where that is recorded
//! ([`super::mappings`]).

mod identity;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags};

use identity::Identity;

use super::{
    cache::Cache,
    mappings::Mappings,
    user_maps::{Mapping, UserMaps},
};
use crate::{
    clock::monotonic,
    event::ids::{Address, MonoNanos, Pid},
};

/// Processes that are kept, in each of two generations.
const PROCESSES: usize = 64;

/// Root directories that are held open, in each of two generations: a file system cannot be
/// unmounted meanwhile.
const ROOTS: usize = 8;

/// Senders' maps that are read at once, and one more in every [`REFILL`].
const BURST: u32 = 32;

/// See [`BURST`]: at most 100 processes a second are asked for their maps, each of which takes a lock of theirs.
const REFILL: Duration = Duration::from_millis(10);

/// Shorter build-ids name no file.
const SHORTEST_BUILD_ID: usize = 8;

/// What is known of a process.
#[derive(Debug)]
pub(super) struct Process {
    /// Tells it from every other that was ever known: another process, or another program.
    pub(super) number: u64,
    /// Its code.
    pub(super) maps: UserMaps,
    /// When that was so.
    maps_at: MonoNanos,
    /// By which it is known again.
    identity: Identity,
    /// Where its files are.
    view: View,
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
    /// Nobody can say.
    Unknown,
}

/// What tells one root from another: a mount namespace, and a directory in it.
type RootKey = (PathBuf, u64, u64);

/// A file that a process has mapped, and the root directory that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MappedFile {
    /// Where it can be opened. Good while the process is remembered.
    pub(super) path: PathBuf,
    /// Below this its debug information is looked for.
    pub(super) root: PathBuf,
}

impl MappedFile {
    /// Where the debug information of a file with this build-id is installed, if it is.
    pub(super) fn debug_file(&self, build_id: &[u8]) -> Option<PathBuf> {
        if build_id.len() < SHORTEST_BUILD_ID {
            return None;
        }
        let (first, rest) = build_id.split_first()?;
        let mut name = format!("usr/lib/debug/.build-id/{first:02x}/");
        for byte in rest {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name.push_str(".debug");
        let path = self.root.join(name);
        path.is_file().then_some(path)
    }
}

/// The processes under a root path.
#[derive(Debug)]
pub(super) struct Processes {
    /// Where `proc` is.
    root: PathBuf,
    /// What processes were recorded to map, if that is recorded.
    mappings: Option<Mappings>,
    known: Cache<Pid, Arc<Process>>,
    roots: Cache<RootKey, Arc<File>>,
    limit: Limit,
    /// Numbers that were given.
    numbers: u64,
}

impl Processes {
    /// Nothing is read yet.
    pub(super) fn new(root: &Path, mappings: Option<Mappings>) -> Self {
        Self {
            root: root.to_owned(),
            mappings,
            known: Cache::new(PROCESSES),
            roots: Cache::new(ROOTS),
            limit: Limit::new(Instant::now()),
            numbers: 0,
        }
    }

    /// Where `proc` is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What is known of a process, if it is still that one.
    pub(super) fn known(&mut self, pid: Pid) -> Option<Arc<Process>> {
        let known = self.known.get(&pid)?;
        let now = Identity::read(&self.root, pid);
        // Of one that is dead, only the record tells that it was another one in the end.
        let since = self.mappings.as_ref().and_then(|all| all.since(pid));
        let is_still =
            known.identity.is_still(&now) && since.is_none_or(|since| since <= known.maps_at);
        is_still.then_some(known)
    }

    /// A process that has code at `address`. Its maps are read again where they have none there:
    /// a library that was loaded later.
    pub(super) fn with_code_at(&mut self, pid: Pid, address: Address) -> Option<Arc<Process>> {
        let known = self.known(pid);
        if has_code(known.as_ref(), address) {
            return known;
        }
        self.learn_of(pid, known, address)
    }

    /// As [`Self::with_code_at`], and not more often than the limit allows: senders are many.
    pub(super) fn sender(&mut self, pid: Pid, address: Address) -> Option<Arc<Process>> {
        let known = self.known(pid);
        if has_code(known.as_ref(), address) {
            return known;
        }
        if !self.limit.allows(Instant::now()) {
            return self.recorded(pid, known);
        }
        self.learn_of(pid, known, address)
    }

    /// Reads what there is to know of a process, or takes what was recorded of it where that has no
    /// code at `address`. One that has died is still what it was known to be.
    fn learn_of(
        &mut self,
        pid: Pid,
        known: Option<Arc<Process>>,
        address: Address,
    ) -> Option<Arc<Process>> {
        let learned = self.learn(pid);
        if has_code(learned.as_ref(), address) {
            return learned;
        }
        self.recorded(pid, learned.or(known))
    }

    /// A process with what was recorded of it since it was `known`.
    fn recorded(&mut self, pid: Pid, known: Option<Arc<Process>>) -> Option<Arc<Process>> {
        let Some(recorded) = self.mappings.as_ref().and_then(|all| all.of(pid)) else {
            return known;
        };
        let known = known.filter(|known| recorded.space.since <= known.maps_at);
        // A child has its parent's code until it executes a program.
        let base = known.clone().or_else(|| self.parent(recorded.base?));
        let none = UserMaps::of(Vec::new());
        let before = base.as_ref().map_or(&none, |base| &base.maps);
        let at = known.as_ref().map_or(MonoNanos(0), |known| known.maps_at);
        let maps = match recorded.space.code.since(at, before) {
            Some(maps) => maps,
            None if known.is_some() => return known,
            None => UserMaps::of(before.all().to_vec()),
        };
        if maps.is_empty() {
            return None;
        }
        let identity = Identity::read(&self.root, pid);
        let number = match &known {
            Some(known) => known.number,
            None => self.next_number(),
        };
        let process = Arc::new(Process {
            number,
            maps,
            maps_at: recorded.until,
            identity,
            view: match base {
                Some(base) => base.view.clone(),
                None => self.view(pid),
            },
        });
        self.known.insert(pid, process.clone());
        Some(process)
    }

    /// A process for what its child has of it.
    fn parent(&mut self, pid: Pid) -> Option<Arc<Process>> {
        if let Some(known) = self.known(pid) {
            return Some(known);
        }
        self.limit.allows(Instant::now()).then(|| self.learn(pid))?
    }

    /// A number that no process has.
    const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Reads what there is to know of a process now.
    pub(super) fn learn(&mut self, pid: Pid) -> Option<Arc<Process>> {
        // First: what changes meanwhile is noticed later.
        let identity = Identity::read(&self.root, pid);
        let maps_at = monotonic();
        let maps = UserMaps::read(&self.root, pid).ok()?;
        if maps.is_empty() {
            // A zombie still has the file.
            return None;
        }
        let before = self.known.get(&pid);
        let same = before.filter(|before| before.identity.is_still(&identity));
        let number = match same {
            Some(same) => same.number,
            None => self.next_number(),
        };
        let process = Arc::new(Process {
            number,
            maps,
            maps_at,
            identity,
            view: self.view(pid),
        });
        self.known.insert(pid, process.clone());
        Some(process)
    }

    /// Forgets a process.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.known.retain(|known| *known != pid);
    }

    /// A path at which a mapped file can be opened, and is still the same file.
    pub(super) fn open_path(
        &self,
        pid: Pid,
        process: &Process,
        mapping: &Mapping,
        path: &Path,
        inode: u64,
    ) -> Option<MappedFile> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let of_process = self.root.join(format!("proc/{pid}"));
        let below = |root: PathBuf| MappedFile {
            path: root.join(relative),
            root,
        };
        let by_name = match &process.view {
            View::Ours => vec![below(self.root.clone())],
            View::Chroot(root) => vec![
                MappedFile {
                    path: self.root.join(relative),
                    root: held(root),
                },
                // A recorded name is the process's own.
                below(held(root)),
            ],
            View::Foreign(root) => vec![below(held(root))],
            View::Unknown => vec![below(self.root.clone()), below(of_process.join("root"))],
        };
        // This one is right in every namespace and for deleted files; it asks for more rights.
        let link = of_process.join(format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
        let link = MappedFile {
            path: link,
            root: by_name.last()?.root.clone(),
        };
        by_name
            .into_iter()
            .chain([link])
            .find(|file| fs::metadata(&file.path).is_ok_and(|file| file.ino() == inode))
    }

    /// Whether a process has the tracer's root directory and mounts.
    fn view(&mut self, pid: Pid) -> View {
        self.try_view(pid).unwrap_or(View::Unknown)
    }

    fn try_view(&mut self, pid: Pid) -> io::Result<View> {
        let of_process = self.root.join(format!("proc/{pid}"));
        let mounts = fs::read_link(of_process.join("ns/mnt"))?;
        let root = fs::metadata(of_process.join("root"))?;
        let own = fs::metadata(&self.root)?;
        let same_root = (own.dev(), own.ino()) == (root.dev(), root.ino());
        let same_mounts = fs::read_link(self.root.join("proc/self/ns/mnt"))? == mounts;
        if same_root && same_mounts {
            return Ok(View::Ours);
        }
        let root = self.hold((mounts, root.dev(), root.ino()), &of_process.join("root"))?;
        // Paths in the maps begin at the reader's root or, where that is not above them, at the
        // top of their mount namespace (fs/d_path.c:prepend_path, v6.12).
        Ok(if same_mounts {
            View::Chroot(root)
        } else {
            View::Foreign(root)
        })
    }

    /// Opens a root directory, and keeps it open.
    fn hold(&mut self, key: RootKey, path: &Path) -> io::Result<Arc<File>> {
        if let Some(held) = self.roots.get(&key) {
            return Ok(held);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = Arc::new(File::from(rustix::fs::open(path, flags, Mode::empty())?));
        self.roots.insert(key, opened.clone());
        Ok(opened)
    }
}

/// Whether a process has code at an address.
fn has_code(process: Option<&Arc<Process>>, address: Address) -> bool {
    process.is_some_and(|process| process.maps.find(address).is_some())
}

/// The path of a directory that is held open.
fn held(root: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()))
}

/// So many at once, and so many a second.
#[derive(Debug)]
struct Limit {
    left: u32,
    since: Instant,
}

impl Limit {
    const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    fn allows(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.since);
        let more = u32::try_from(passed.as_nanos() / REFILL.as_nanos()).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
