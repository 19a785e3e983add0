//! Which files a program opens: a recorder of its own, by ptrace, so that no tool has to be there.
//!
//! All processes and threads that the program starts are followed. What is recorded is the path of
//! each `open`, `openat`, `openat2`, `readlink` and `readlinkat`, whether the file is there or not.

use std::{
    fs::{self, File},
    io,
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    process::Command,
};

/// The longest path that is read, as the kernel takes it (`PATH_MAX`).
const LONGEST: usize = 4096;

/// `AT_FDCWD` as the register of an `int` has it: the upper half says nothing.
const HERE: u32 = libc::AT_FDCWD.cast_unsigned();

/// What a program did.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Paths that it opened or asked for, in order, each once.
    pub(crate) paths: Vec<String>,
    /// Its exit status; `None` where a signal ended it.
    pub(crate) status: Option<i32>,
}

/// Runs a program to its end and records what it opens.
#[expect(
    clippy::zombie_processes,
    reason = "it is waited for below, with all that it starts"
)]
pub(crate) fn opened(command: &mut Command) -> Opened {
    // SAFETY: the call is one system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| request(libc::PTRACE_TRACEME, 0, 0).map(drop));
    }
    let child = command.spawn().unwrap();
    let first = libc::pid_t::try_from(child.id()).unwrap();
    let mut opened = Opened {
        paths: Vec::new(),
        status: None,
    };
    // The first stop is the one at the end of its exec.
    let (stopped, status) = wait().unwrap();
    assert_eq!(stopped, first);
    assert!(libc::WIFSTOPPED(status), "{status:#x}");
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    let options = usize::try_from(options).unwrap();
    request(libc::PTRACE_SETOPTIONS, first, options).unwrap();
    go_on(first, 0);
    // What it started may end after it: a process that is left would be taken for the next program's.
    while let Some((thread, status)) = wait() {
        if libc::WIFSTOPPED(status) {
            go_on(thread, opened.at_stop(thread, status));
        } else if thread == first {
            opened.status = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        }
    }
    opened
}

impl Opened {
    /// Records what a stopped thread is about to open. Answers the signal that it is to have.
    fn at_stop(&mut self, thread: libc::pid_t, status: i32) -> i32 {
        let signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80 {
            if let Some(path) = about_to_open(thread)
                && !self.paths.contains(&path)
            {
                self.paths.push(path);
            }
            return 0;
        }
        // Events of ptrace, and the stop that a new thread or process begins with.
        let is_ours = signal == libc::SIGTRAP || signal == libc::SIGSTOP;
        if is_ours { 0 } else { signal }
    }
}

/// The path of a system call that opens something, where the thread is at the entry of one.
fn about_to_open(thread: libc::pid_t) -> Option<String> {
    // SAFETY: all of its fields are numbers.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let bytes = size_of_val(&info);
    // SAFETY: the kernel writes at most `bytes` there.
    let written =
        unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, bytes, &raw mut info) };
    if written <= 0 || info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: at an entry this is the part that the kernel has filled in.
    let entry = unsafe { info.u.entry };
    let number = libc::c_long::try_from(entry.nr).ok()?;
    let (folder, address) = match number {
        libc::SYS_openat | libc::SYS_openat2 | libc::SYS_readlinkat => {
            #[expect(clippy::cast_possible_truncation, reason = "an int in a register")]
            let folder = entry.args[0] as u32;
            (folder, entry.args[1])
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open | libc::SYS_readlink => (HERE, entry.args[0]),
        _ => return None,
    };
    let path = text(thread, address)?;
    if path.starts_with('/') {
        return Some(named_self(thread, &path));
    }
    let of_thread = format!("/proc/{thread}");
    let folder = if folder == HERE {
        format!("{of_thread}/cwd")
    } else {
        format!("{of_thread}/fd/{folder}")
    };
    let folder = fs::read_link(folder).ok()?;
    // That of a process which has ended meanwhile (`fs/d_path.c:d_path`, v6.12).
    let folder = folder.to_str()?.trim_end_matches(" (deleted)");
    let folder = folder.trim_end_matches('/');
    let path = format!("{folder}/{path}");
    Some(named_self(thread, path.trim_end_matches('/')))
}

/// The process's own folder of `/proc` goes by one name.
fn named_self(thread: libc::pid_t, path: &str) -> String {
    let path = path.replace("/proc/thread-self/", "/proc/self/");
    let Ok(status) = fs::read_to_string(format!("/proc/{thread}/status")) else {
        return path;
    };
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let own = process.map(|process| format!("/proc/{}/", process.trim()));
    match own.and_then(|own| path.strip_prefix(own.as_str()).map(str::to_owned)) {
        Some(rest) => format!("/proc/self/{rest}"),
        None => path,
    }
}

/// A text that ends in zero, in the memory of a stopped thread.
fn text(thread: libc::pid_t, address: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; LONGEST];
    // It may end where its memory does.
    let length = memory.read_at(&mut bytes, address).ok()?;
    let bytes = bytes.get(..length)?;
    let end = bytes.iter().position(|&byte| byte == 0)?;
    String::from_utf8(bytes.get(..end)?.to_vec()).ok()
}

/// Waits for a child of this thread; `None` where there is none left. Those of other tests are left to these.
fn wait() -> Option<(libc::pid_t, i32)> {
    let mut status = 0;
    // SAFETY: the kernel writes the status.
    let child = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
    let error = io::Error::last_os_error();
    if child < 0 && error.raw_os_error() == Some(libc::ECHILD) {
        return None;
    }
    assert!(child > 0, "{error}");
    Some((child, status))
}

/// Lets a thread run to its next system call. One that was killed meanwhile is waited for.
fn go_on(thread: libc::pid_t, signal: i32) {
    let signal = usize::try_from(signal).unwrap_or_default();
    match request(libc::PTRACE_SYSCALL, thread, signal) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => panic!("{error}"),
        _ => {}
    }
}

fn request(request: libc::c_uint, thread: libc::pid_t, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: the requests that are made here take numbers, and write nothing into this process.
    let result = unsafe { libc::ptrace(request, thread, 0_usize, data) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
