//! Whether a process is still the one that it was: its number may be another's by now, or it
//! executes another program.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read as _,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::process::{Pid as KernelPid, PidfdFlags, pidfd_open};

use crate::{
    event::ids::Pid,
    host::process_dir::ProcessDir,
    symbolize::{mappings::Beginning, shared::protocol::Payer},
};

/// Bytes of an auxiliary vector; the kernel's has some 50 words (`AT_VECTOR_SIZE`).
const VECTOR: u64 = 4096;

/// The directory of a process in `/proc`.
///
/// What is read here takes no lock that its CPU waits for at a fault, a switch or a wake-up (v6.12): the links take
/// `task_lock` (`kernel/fork.c:get_task_exe_file`, `fs/proc/base.c:get_task_root`, `fs/namespace.c:mntns_get`), the
/// auxiliary vector that and, shared, the lock that an `execve` takes (`mm_access`).
#[derive(Debug)]
pub(in crate::symbolize) struct Folder {
    directory: ProcessDir,
    inode: u64,
    pid: Pid,
    /// Who paid for it when this was opened.
    payer: Payer,
}

impl Folder {
    fn open(root: &Path, pid: Pid) -> Option<Self> {
        let directory = ProcessDir::open(root, pid).ok()?;
        let mut folder = Self {
            inode: directory.inode().ok()?,
            directory,
            pid,
            payer: Payer::Unknown,
        };
        folder.payer = folder.payer_now(root).into();
        Some(folder)
    }

    /// Its descriptor.
    pub(super) fn file(&self) -> Arc<File> {
        self.directory.file()
    }

    /// Where a link in it leads.
    pub(super) fn link(&self, name: &str) -> Option<PathBuf> {
        self.directory.link(name).ok()
    }

    /// The process's root directory, held open.
    pub(super) fn open_root(&self) -> Option<Arc<File>> {
        self.directory.open_root().ok().map(Arc::new)
    }

    /// The effective user of the process; `None` if it has ended.
    pub(super) fn user(&self) -> Option<u32> {
        let user = self.directory.owner().ok()?;
        // One that has ended looks like root's, also if it does so right now.
        (user != 0 || self.link("exe").is_some()).then_some(user)
    }

    /// Who answers for what the process does: its user. In a user namespace, which gives its maker thousands of numbers,
    /// that is who made it.
    fn payer_now(&self, root: &Path) -> Option<u32> {
        let user = self.user()?;
        let own = fs::read_link(root.join("proc/self/ns/user")).ok();
        let namespace = self.link("ns/user");
        if namespace.is_none() || own.is_none() || own == namespace {
            return Some(user);
        }
        let file = self.directory.read("ns/user");
        Some(file.ok().and_then(maker).unwrap_or(user))
    }

    /// The number that the process has in its own namespace, by which it names files. Read from a descriptor of the
    /// process, which takes no lock of it (`fs/pidfs.c:pidfd_show_fdinfo`, v6.12).
    pub(super) fn own_number(&self) -> Option<u32> {
        let pid = KernelPid::from_raw(self.pid.0.cast_signed())?;
        let opened: OwnedFd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", opened.as_raw_fd())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_ascii_whitespace().last()?.parse().ok()
    }
}

/// What a process does not change while it executes one program.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    /// Its directory, if it lived when that was opened.
    folder: Option<Arc<Folder>>,
    /// What its program was given when it began: addresses of its code, its vDSO and random bytes, which are elsewhere
    /// after the next `execve`.
    vector: Option<Box<[u8]>>,
    /// The program's path.
    program: Option<PathBuf>,
}

impl Identity {
    /// That of a process under `root`. Nothing in it is known of one that is dead.
    pub(super) fn read(root: &Path, pid: Pid) -> Self {
        let folder = Folder::open(root, pid).map(Arc::new);
        Self::of(folder)
    }

    fn of(folder: Option<Arc<Folder>>) -> Self {
        let opened = folder.as_ref();
        Self {
            vector: opened.and_then(|it| vector(it)),
            program: opened.and_then(|it| it.link("exe")),
            folder,
        }
    }

    /// Its directory.
    pub(super) fn folder(&self) -> Option<&Folder> {
        self.folder.as_deref()
    }

    /// Who pays for reading its files ([`Folder::payer_now`]), when this was read.
    pub(super) fn payer(&self) -> Payer {
        self.folder().map_or(Payer::Unknown, |folder| folder.payer)
    }

    /// The same of a process of which nothing else is asked.
    pub(super) fn payer_of(root: &Path, pid: Pid) -> Payer {
        Folder::open(root, pid).map_or(Payer::Unknown, |folder| folder.payer)
    }

    /// How it began its program, as far as that is known. A program of 32 bits has other words.
    pub(super) fn beginning(&self) -> Option<Beginning> {
        let entries = self.vector.as_ref()?.as_chunks::<16>().0;
        let value = |wanted: u64| {
            entries.iter().find_map(|entry| {
                let [kind, value] = *entry.as_chunks::<8>().0 else {
                    return None;
                };
                (u64::from_ne_bytes(kind) == wanted).then_some(u64::from_ne_bytes(value))
            })
        };
        let program = self.program.as_ref()?.file_name()?;
        let name = program.as_bytes();
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        Some(Beginning {
            vdso: value(libc::AT_SYSINFO_EHDR)?,
            entry: value(libc::AT_ENTRY)?,
            program: OsStr::from_bytes(name).to_owned(),
        })
    }

    /// Opens a file in its directory.
    pub(super) fn open(&self, name: &str) -> Option<File> {
        self.folder()?.directory.read(name).ok()
    }

    /// Whether the process that has the number now may be the same. What cannot be read any more tells nothing: a
    /// process that is dead is what it was.
    pub(super) fn is_still(&self, root: &Path, pid: Pid) -> bool {
        let Ok(now) = fs::metadata(root.join(format!("proc/{pid}"))) else {
            return true;
        };
        // The inode of a directory that is held open is no other's.
        let same_process = self.folder().is_some_and(|it| it.inode == now.ino());
        same_process && self.may_be(&Self::of(self.folder.clone()))
    }

    /// Whether what is known now is what was known.
    fn may_be(&self, now: &Self) -> bool {
        fn agree<T: PartialEq>(before: Option<&T>, now: Option<&T>) -> bool {
            now.is_none() || before == now
        }
        agree(self.vector.as_ref(), now.vector.as_ref())
            && agree(self.program.as_ref(), now.program.as_ref())
    }

    /// Whether both are of one process and one program.
    pub(super) fn is(&self, other: &Self) -> bool {
        let inode = |it: &Self| it.folder().map(|folder| folder.inode);
        inode(self) == inode(other) && self.may_be(other)
    }
}

/// User namespaces inside one another (`user_namespace.c:create_user_ns`, v6.12, allows 33).
const NESTED: usize = 40;

/// Who made a user namespace, or the outermost that it lies in which is not ours.
fn maker(mut namespace: File) -> Option<u32> {
    // `include/uapi/linux/nsfs.h`, v6.12.
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;
    let own = File::open("/proc/self/ns/user")
        .ok()?
        .metadata()
        .ok()?
        .ino();
    for _ in 0..NESTED {
        // SAFETY: the call takes no argument, and makes a descriptor that nobody else has.
        let parent = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
        if parent < 0 {
            return None;
        }
        // SAFETY: the kernel has just made it, for this.
        let parent = unsafe { File::from_raw_fd(parent) };
        if parent.metadata().ok()?.ino() == own {
            let mut user: libc::uid_t = 0;
            // SAFETY: the kernel writes a number to where the pointer leads, which outlives the call.
            let done =
                unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_OWNER_UID, &raw mut user) };
            return (done == 0).then_some(user);
        }
        namespace = parent;
    }
    None
}

/// The auxiliary vector of a process, where it may be read.
fn vector(folder: &Folder) -> Option<Box<[u8]>> {
    let mut bytes = Vec::new();
    let read = folder
        .directory
        .read("auxv")
        .ok()?
        .take(VECTOR)
        .read_to_end(&mut bytes);
    (read.is_ok() && !bytes.is_empty()).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{event::ids::Address, symbolize::shared::maps::UserMaps};

    const PID: Pid = Pid(7);

    fn tree_of(pid: Pid) -> PathBuf {
        Path::new("/proc").join(pid.to_string())
    }

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("a folder");
        let folder = tree.path().join("proc/7");
        fs::create_dir_all(&folder).expect("folders");
        fs::write(folder.join("auxv"), "one").expect("a file");
        symlink("/bin/spin", folder.join("exe")).expect("a link");
        tree
    }

    #[test]
    fn a_number_that_serves_again_and_another_program_are_noticed() {
        let tree = tree();
        let folder = tree.path().join("proc/7");
        let known = Identity::read(tree.path(), PID);
        let is_still = || known.is_still(tree.path(), PID);
        assert!(is_still());
        fs::write(folder.join("auxv"), "two").expect("a file");
        assert!(!is_still(), "the same program once more");
        fs::write(folder.join("auxv"), "").expect("a file");
        assert!(is_still(), "a zombie");
        fs::remove_file(folder.join("exe")).expect("removed");
        assert!(is_still());
        symlink("/bin/other", folder.join("exe")).expect("a link");
        assert!(!is_still(), "another program");
        fs::remove_dir_all(&folder).expect("removed");
        assert!(is_still(), "dead");
        fs::create_dir(&folder).expect("a folder");
        assert!(!is_still(), "another process");
        let dead = Identity::read(tree.path(), Pid(8));
        assert!(dead.is_still(tree.path(), Pid(8)));
        assert!(!dead.is_still(tree.path(), PID));
    }

    /// The real thing.
    #[test]
    fn this_process_stays_the_same() {
        let own = Pid(std::process::id());
        let read = || Identity::read(Path::new("/"), own);
        let known = read();
        assert!(known.vector.is_some());
        assert_eq!(known.program, std::env::current_exe().ok());
        assert!(known.is(&read()) && known.is_still(Path::new("/"), own));
        let beginning = known.beginning().expect("all of it");
        let maps = UserMaps::parse(&fs::read("/proc/self/maps").expect("ours"));
        assert_eq!(maps.named("[vdso]").expect("code").start, beginning.vdso);
        let entry = maps.find(Address(beginning.entry)).expect("code");
        assert_eq!(entry.name(), beginning.program.into_string().ok());
        let folder = known.folder().expect("it lives");
        assert_eq!(folder.own_number(), Some(own.0));
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(known.payer(), Payer::User(user));
    }

    /// The real thing: who may execute a program and not read it keeps its memory to itself.
    #[test]
    fn the_user_of_a_process_is_known_while_it_lives() {
        use std::os::unix::{fs::PermissionsExt as _, process::CommandExt as _};
        let tree = tempfile::tempdir().expect("a folder");
        let program = tree.path().join("sleep");
        fs::copy("/bin/sleep", &program).expect("every Linux has sleep");
        let may = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        };
        may(tree.path(), 0o755);
        may(&program, 0o711);
        let mut sleep = std::process::Command::new(&program);
        sleep.arg("100");
        let own = rustix::process::geteuid();
        let user = if own.is_root() { 7 } else { own.as_raw() };
        if own.is_root() {
            sleep.uid(user);
        }
        let mut child = sleep.spawn().expect("a program");
        let pid = Pid(child.id());
        let known = Identity::read(Path::new("/"), pid);
        assert_eq!(known.payer(), Payer::User(user));
        if own.is_root() {
            let maps = tree_of(pid).join("maps");
            assert_eq!(fs::metadata(maps).expect("it lives").uid(), 0, "closed");
        }
        let folder = Folder::open(Path::new("/"), pid).expect("it lives");
        child.kill().expect("it lives");
        child.wait().expect("it ends");
        assert_eq!(folder.directory.owner().expect("held"), 0, "root's");
        assert_eq!(known.payer(), Payer::User(user), "as it was");
        assert_eq!(Identity::read(Path::new("/"), pid).payer(), Payer::Unknown);
    }

    /// The real thing: who makes a user namespace has other numbers there, and pays all the same.
    #[test]
    fn who_made_a_user_namespace_answers_for_what_is_in_it() {
        use std::os::unix::process::CommandExt as _;
        let own = rustix::process::geteuid();
        let user = if own.is_root() { 7 } else { own.as_raw() };
        let mut unshare = std::process::Command::new("unshare");
        // Two, one in the other.
        unshare
            .args([
                "--user",
                "--map-root-user",
                "--",
                "unshare",
                "--user",
                "--",
                "sh",
            ])
            .args(["-c", "echo there; read x"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        if own.is_root() {
            unshare.uid(user);
        }
        let mut child = unshare.spawn().expect("util-linux is everywhere");
        let mut there = [0; 6];
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut there).expect("it may make both");
        let folder = Folder::open(Path::new("/"), Pid(child.id())).expect("it lives");
        assert_ne!(
            folder.link("ns/user"),
            fs::read_link("/proc/self/ns/user").ok()
        );
        assert_eq!(folder.payer, Payer::User(user));
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }

    /// The real thing: one program that executes itself again.
    #[test]
    fn the_same_program_executed_again_is_another_one() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "read x; exec sh -c 'echo again; read x'"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("every Linux has a shell");
        let pid = Pid(shell.id());
        // Until it executes the shell, it is this test.
        let own = Identity::read(Path::new("/"), Pid(std::process::id())).program;
        let known = loop {
            let read = Identity::read(Path::new("/"), pid);
            if read.program.is_some() && read.program != own {
                break read;
            }
        };
        assert!(known.is_still(Path::new("/"), pid));
        let mut stdin = shell.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, b"\n").expect("it lives");
        let mut first = [0; 5];
        let mut stdout = shell.stdout.take().expect("a pipe");
        stdout.read_exact(&mut first).expect("it says so");
        let after = Identity::read(Path::new("/"), pid);
        assert_eq!(after.program, known.program, "by its path the same");
        assert!(!known.is_still(Path::new("/"), pid));
        drop(stdin);
        shell.wait().expect("it ends");
        assert!(known.is_still(Path::new("/"), pid), "dead");
    }
}
