//! Files of other processes, opened and checked: what the symbolizer gets to read.
//!
//! A path is followed below the root directory that belongs to it and nowhere else (`openat2` with `RESOLVE_IN_ROOT`),
//! through no link that the kernel makes up. What lies there is looked at before it is opened (`O_PATH`): regular files
//! alone are, so that no device is armed and no FIFO waited for. Between the look and the opening nothing can be put in its
//! place: what is opened is what was looked at.

use std::{
    fmt::Write as _,
    fs::File,
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::ffi::OsStrExt as _,
    },
    path::{Component, Path, PathBuf},
    sync::{Arc, Weak},
};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, StatxTimestamp, open, openat,
    openat2, statx,
};

use super::symbolizer::{FileKey, Use, UsedFile};
use crate::{
    printable::printable,
    symbolize::shared::{
        maps::FileNumber,
        protocol::{DebugName, FileId, Payer},
        shared_table::SharedTable,
        text::limited,
    },
};

/// Files that are remembered, shared among the users who have them. One that was forgotten is numbered anew when it comes
/// again.
pub(super) const FILES: usize = 4096;

/// Where debug information is installed, below a root directory.
const DEBUG: &str = "usr/lib/debug";

/// Shorter build-ids name no file.
const SHORTEST_BUILD_ID: usize = 8;

/// Times that a path is followed again because a directory on it was moved meanwhile (openat2(2): EAGAIN).
const AGAIN: usize = 8;

/// The number of a mount that never serves again (`include/uapi/linux/stat.h`, v6.8).
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

/// Bytes of a file's name in a sentence.
const NAME: usize = 256;

/// Where a file is.
#[derive(Clone, Debug)]
pub(super) enum Place<F = Arc<File>> {
    /// At a path below a root directory.
    Below(F, PathBuf),
    /// Where a link in a process's directory of `/proc` leads, which the kernel keeps: `exe`.
    Link(F, String),
}

impl Place {
    /// The same, for as long as somebody else holds that directory.
    fn weak(self) -> Place<Weak<File>> {
        match self {
            Self::Below(root, path) => Place::Below(Arc::downgrade(&root), path),
            Self::Link(folder, name) => Place::Link(Arc::downgrade(&folder), name),
        }
    }
}

impl Place<Weak<File>> {
    /// The same, if that directory is still held.
    fn held(&self) -> Option<Place> {
        Some(match self {
            Self::Below(root, path) => Place::Below(root.upgrade()?, path.clone()),
            Self::Link(folder, name) => Place::Link(folder.upgrade()?, name.clone()),
        })
    }
}

/// A file that was looked at. It holds no directory: a stranger makes mount namespaces as it likes, and each would take a
/// descriptor and stay mounted. Whoever asks about a file has its process, and that has them.
#[derive(Clone, Debug)]
struct Known {
    place: Place<Weak<File>>,
    /// Below this lies its debug information.
    root: Weak<File>,
    /// The path by which its program knows it.
    path: PathBuf,
    version: Version,
    /// That, printable.
    name: String,
    alone: Option<Payer>,
}

/// A file as it is at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Version {
    file: FileKey,
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

/// A file by a path below a root directory. Whoever has another root directory, or calls it otherwise, has it by another
/// number: a stranger who found it first would else say where others find it, and its debug information.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named {
    version: Version,
    root: Option<RootKey>,
    path: PathBuf,
    alone: Option<Payer>,
}

/// For whom a file is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// The user of the process that has it.
    pub(super) payer: Payer,
    /// Some file is barred for that one. What is found of this one without that would else be everybody's: it is read for
    /// this user alone.
    pub(super) has_bars: bool,
}

impl Reader {
    /// Whose file it is alone, if it is not everybody's.
    fn alone(self) -> Option<Payer> {
        self.has_bars.then_some(self.payer)
    }
}

/// A root directory, as long as a descriptor of it is held: that holds its mount, too, whose number is no other's meanwhile.
/// A new mount namespace has other mounts of the same directories. The namespace's own number serves again as soon as it is
/// gone, whatever is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RootKey {
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

impl RootKey {
    /// What tells this directory from others.
    pub(super) fn of(root: &impl AsFd) -> rustix::io::Result<Self> {
        // From 6.8 on the kernel has numbers of mounts that never serve again; before that it ignores this flag.
        let unique = StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE);
        let asked = StatxFlags::MNT_ID | unique | StatxFlags::INO;
        let data = statx(root, "", AtFlags::EMPTY_PATH, asked)?;
        Ok(Self {
            mount: data.stx_mnt_id,
            device: (data.stx_dev_major, data.stx_dev_minor),
            inode: data.stx_ino,
        })
    }
}

/// A regular file, not opened yet.
#[derive(Debug)]
pub(super) struct Looked {
    /// A descriptor that cannot be read.
    at: File,
    version: Version,
}

impl Looked {
    /// What lies at a place, if that is a regular file of a file system that keeps files. `last`: how the last
    /// component of its path is followed.
    fn at(place: &Place, last: OFlags) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | last;
        let at = match place {
            Place::Below(root, path) => below(root, path, flags)?,
            // A link of the kernel's own: followed, and to nothing but what the process has mapped.
            Place::Link(folder, name) => {
                File::from(openat(folder, name.as_str(), flags, Mode::empty()).ok()?)
            }
        };
        let asked = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let data = statx(&at, "", AtFlags::EMPTY_PATH, asked).ok()?;
        let time = |it: StatxTimestamp| (it.tv_sec, it.tv_nsec);
        // Not every file system keeps it.
        let has_birth = StatxFlags::from_bits_retain(data.stx_mask).contains(StatxFlags::BTIME);
        let file = FileKey {
            device: (data.stx_dev_major, data.stx_dev_minor),
            inode: data.stx_ino,
            born: has_birth.then(|| time(data.stx_btime)),
            user: data.stx_uid,
        };
        let is_file = FileType::from_raw_mode(data.stx_mode.into()) == FileType::RegularFile;
        (is_file && !is_of_the_kernel(&at, data.stx_dev_major)).then(|| Self {
            version: Version {
                file,
                size: data.stx_size,
                modified: time(data.stx_mtime),
                changed: time(data.stx_ctime),
            },
            at,
        })
    }

    /// Whose it is.
    const fn user(&self) -> u32 {
        self.version.file.user
    }

    /// Its number.
    const fn number(&self) -> FileNumber {
        let FileKey { device, inode, .. } = self.version.file;
        FileNumber { device, inode }
    }

    /// Opens it for reading. A lease on it is not waited for.
    fn open(&self) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let path = format!("/proc/self/fd/{}", self.at.as_raw_fd());
        Some(File::from(open(path, flags, Mode::empty()).ok()?))
    }
}

/// Whether a file is one that the kernel makes up as it is read, as those of `/proc` and `/sys` are: reading such a
/// file does what it is for, be it to a device or a watched CPU, and root may read those that its namer may not.
fn is_of_the_kernel(file: &File, major: u32) -> bool {
    // File systems without a disk have devices without a driver, whose major number is 0 (get_anon_bdev, fs/super.c, v6.12).
    major == 0 && rustix::fs::fstatfs(file).map_or(true, |it| OF_THE_KERNEL.contains(&it.f_type))
}

/// File systems whose files the kernel makes up (include/uapi/linux/magic.h, v6.12; resctrl, efivarfs and configfs are
/// there, too).
const OF_THE_KERNEL: [rustix::fs::FsWord; 18] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x0765_5821, // resctrl
    0x4249_4e4d, // binfmt_misc
    0x6e73_6673, // nsfs
    0x9fa2,      // usbdevfs
];

/// The files.
#[derive(Debug)]
pub(super) struct Files {
    known: SharedTable<FileId, Known>,
    numbers: SharedTable<Named, FileId>,
    next: u32,
    /// Directories with debug information that were asked for.
    debug: Vec<Arc<File>>,
}

impl Files {
    /// None yet. `debug` are directories in which debug information is looked for as well.
    pub(super) fn new(debug: Vec<Arc<File>>) -> Self {
        Self {
            known: SharedTable::new(FILES),
            numbers: SharedTable::new(FILES),
            next: 0,
            debug,
        }
    }

    /// The number of the file at a place, which is a `program`'s own by this `path`, if it is the one that was `mapped`.
    pub(super) fn find(
        &mut self,
        place: Place,
        root: &Arc<File>,
        path: &Path,
        mapped: Option<FileNumber>,
        reader: Reader,
    ) -> Option<FileId> {
        let looked = Looked::at(&place, OFlags::empty())?;
        if !mapped.is_none_or(|mapped| mapped.is(looked.number())) {
            return None;
        }
        Some(self.keep(place, root, path.to_owned(), &looked, reader))
    }

    /// As [`Self::find`], of a file that a compiler writes at run time: it belongs to `user` or to root, and is no link,
    /// which would name a file that somebody else has written.
    pub(super) fn find_owned(
        &mut self,
        root: &Arc<File>,
        path: &Path,
        user: u32,
        payer: Payer,
    ) -> Option<FileId> {
        let place = Place::Below(root.clone(), path.to_owned());
        let looked = Looked::at(&place, OFlags::NOFOLLOW)?;
        if looked.user() != user && looked.user() != 0 {
            return None;
        }
        // It grows: its size is no part of what it is.
        let version = Version {
            size: 0,
            modified: (0, 0),
            changed: (0, 0),
            ..looked.version
        };
        let looked = Looked { version, ..looked };
        let reader = Reader {
            payer,
            has_bars: false,
        };
        Some(self.keep(place, root, path.to_owned(), &looked, reader))
    }

    fn keep(
        &mut self,
        place: Place,
        root: &Arc<File>,
        path: PathBuf,
        looked: &Looked,
        reader: Reader,
    ) -> FileId {
        let Reader { payer, .. } = reader;
        let named = Named {
            version: looked.version,
            root: RootKey::of(root).ok(),
            path: path.clone(),
            alone: reader.alone(),
        };
        if let Some(&mut id) = self.numbers.get(&named, payer)
            && let Some(known) = self.known.get(&id, payer)
            // The number of a root that was not held meanwhile may be another one's.
            && known.root.strong_count() > 0
        {
            // Where it was found before it may not be any more.
            known.place = place.weak();
            known.root = Arc::downgrade(root);
            return id;
        }
        self.next += 1;
        let id = FileId(self.next);
        let name = limited(&printable(&path.to_string_lossy()), NAME).to_string();
        self.numbers.insert(named, id, payer);
        let known = Known {
            place: place.weak(),
            root: Arc::downgrade(root),
            path,
            version: looked.version,
            name,
            alone: reader.alone(),
        };
        self.known.insert(id, known, payer);
        id
    }

    /// Opens a file. `None` where it is another one by now.
    pub(super) fn open(&self, id: FileId) -> Option<File> {
        let known = self.known.peek(&id)?;
        let looked = Looked::at(&known.place.held()?, OFlags::empty())?;
        (looked.version.file == known.version.file).then(|| looked.open())?
    }

    /// What it is called.
    pub(super) fn name(&self, id: FileId) -> Option<&str> {
        Some(&self.known.peek(&id)?.name)
    }

    /// It, where a process of this user has it mapped.
    pub(super) fn used(&self, id: FileId, payer: Payer) -> Option<UsedFile> {
        let known = self.known.peek(&id)?;
        Some(UsedFile {
            of: Use {
                file: known.version.file,
                payer,
            },
            name: known.name.clone(),
        })
    }

    /// Finds the file with the debug information of another one: below the usual directory of the root directory that
    /// belongs to that, and in the directories that were asked for. The name comes out of a stranger's file, and the root
    /// directory may be a stranger's too: what lies below that counts only if it belongs to root or to the program's user.
    pub(super) fn debug(&mut self, of: FileId, name: &DebugName, payer: Payer) -> Option<FileId> {
        let program = self.known.peek(&of)?;
        let root = program.root.upgrade()?;
        let named = root.clone();
        let folder = program.path.parent().map(Path::to_owned);
        let folder = folder.as_deref().and_then(inner).unwrap_or_default();
        let mut candidates = Vec::new();
        let mut below_debug = |path: PathBuf| {
            candidates.push((root.clone(), Path::new(DEBUG).join(&path)));
            for debug in &self.debug {
                candidates.push((debug.clone(), path.clone()));
            }
        };
        match name {
            DebugName::BuildId(id) => below_debug(build_id_path(id)?),
            DebugName::Link(name) | DebugName::Split(name) => {
                let name = component(name)?;
                below_debug(folder.join(name));
                for debug in &self.debug {
                    candidates.push((debug.clone(), name.to_owned()));
                }
            }
            // Its name is the program's own, which the kernel has told.
            DebugName::Package => {
                let mut path = program.path.clone().into_os_string();
                path.push(".dwp");
                let path = PathBuf::from(path);
                let file = path.file_name()?.to_owned();
                candidates.push((root, inner(&path)?));
                for debug in &self.debug {
                    candidates.push((debug.clone(), folder.join(&file)));
                    candidates.push((debug.clone(), PathBuf::from(&file)));
                }
            }
        }
        let user = program.version.file.user;
        // For whom the program is read.
        let reader = Reader {
            payer: program.alone.unwrap_or(payer),
            has_bars: program.alone.is_some(),
        };
        candidates.into_iter().find_map(|(root, path)| {
            let place = Place::Below(root.clone(), path.clone());
            let looked = Looked::at(&place, OFlags::empty())?;
            // Whoever asked for a directory knows whose files are in it.
            let is_asked_for = !Arc::ptr_eq(&root, &named);
            if !is_asked_for && looked.user() != user && looked.user() != 0 {
                return None;
            }
            Some(self.keep(place, &root, path, &looked, reader))
        })
    }
}

/// Whether the same regular file lies at a path below two root directories, perhaps of different mount namespaces.
pub(super) fn same_file(one: &Arc<File>, other: &Arc<File>, path: &Path) -> bool {
    let version = |root: &Arc<File>| {
        let place = Place::Below(root.clone(), path.to_owned());
        Looked::at(&place, OFlags::empty()).map(|looked| looked.version)
    };
    version(one).is_some_and(|one| version(other) == Some(one))
}

/// Opens what lies at a path below a root directory, as a process with that root would find it.
pub(super) fn below(root: &impl AsFd, path: &Path, flags: OFlags) -> Option<File> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..AGAIN {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            opened => return opened.ok().map(File::from),
        }
    }
    None
}

/// A name that leads nowhere else: one component of a path, and an ordinary one.
fn component(name: &str) -> Option<&Path> {
    let mut components = Path::new(name).components();
    let first = components.next()?;
    let ordinary = matches!(first, Component::Normal(it) if it.as_bytes() == name.as_bytes());
    (ordinary && components.next().is_none()).then_some(Path::new(name))
}

/// A path without its root.
fn inner(path: &Path) -> Option<PathBuf> {
    path.strip_prefix("/").ok().map(Path::to_owned)
}

/// Where a file with this build-id is, below a directory with debug information.
fn build_id_path(id: &[u8]) -> Option<PathBuf> {
    if id.len() < SHORTEST_BUILD_ID {
        return None;
    }
    let (first, rest) = id.split_first()?;
    let mut name = format!(".build-id/{first:02x}/");
    for byte in rest {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.push_str(".debug");
    Some(name.into())
}

#[cfg(test)]
mod tests;
