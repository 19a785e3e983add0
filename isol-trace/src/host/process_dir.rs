//! The directory of a process or thread in `/proc`, held open.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, statat};

use crate::event::ids::Pid;

/// What is read through it is of that process and no other, and fails when that has ended: who gets its number later is
/// somebody else.
#[derive(Clone, Debug)]
pub(crate) struct ProcessDir(Arc<File>);

impl ProcessDir {
    /// That of a process under `root`.
    pub(crate) fn open(root: &Path, pid: Pid) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = root.join(format!("proc/{pid}"));
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self(Arc::new(file.into())))
    }

    /// Its descriptor.
    pub(crate) fn file(&self) -> Arc<File> {
        self.0.clone()
    }

    /// Its inode, which no other directory has while this is held open (`fs/proc/base.c:proc_pid_make_inode`, v6.12).
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.ino())
    }

    /// The effective user of the process, also of one that keeps its memory to itself
    /// (`fs/proc/base.c:task_dump_owner`, v6.12). One that has ended looks like root's (`pid_getattr` there).
    pub(crate) fn owner(&self) -> io::Result<u32> {
        Ok(self.0.metadata()?.uid())
    }

    /// Whether the process lives, a zombie included. Looking for a file of it takes none of its locks, and nothing is read
    /// of it (`fs/proc/base.c:proc_pident_lookup`, v6.12).
    pub(crate) fn lives(&self) -> bool {
        statat(&self.0, "comm", AtFlags::empty()).is_ok()
    }

    /// Where a link in it leads.
    pub(crate) fn link(&self, name: &str) -> io::Result<PathBuf> {
        let target = readlinkat(&self.0, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// Opens a file in it for reading.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// The process's root directory, held open.
    pub(crate) fn open_root(&self) -> io::Result<File> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.0, "root", flags, Mode::empty())?.into())
    }
}
