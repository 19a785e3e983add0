//! Sockets, and files that somebody opens.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use super::{PAGE, Pages, check};

/// Receives until the other end of a socket is closed; a timeout counts for nothing.
pub fn receive_until_closed(fd: RawFd) {
    let mut byte = [0_u8; 1];
    loop {
        // SAFETY: the buffer outlives the call, its length is the one given, no address is asked for.
        let got = unsafe { libc::syscall(libc::SYS_recvfrom, fd, byte.as_mut_ptr(), 1, 0, 0, 0) };
        let again = got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        if !again {
            return;
        }
    }
}

/// Has the kernel ask the peer of a TCP connection so often whether it is still there.
pub fn keep_alive(fd: RawFd, seconds: i32) -> io::Result<()> {
    // The first one ends the timer, and the last one arms it, with the times that are set by then.
    for (level, option, value) in [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, seconds),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
    ] {
        // SAFETY: the value outlives the call, and its size is the one given.
        let done = unsafe {
            libc::syscall(
                libc::SYS_setsockopt,
                fd,
                level,
                option,
                &raw const value,
                size_of_val(&value),
            )
        };
        check(done)?;
    }
    Ok(())
}

/// Reads the first page of a file.
pub fn read_page(file: &impl AsFd, page: &Pages) -> io::Result<()> {
    let (fd, to) = (file.as_fd().as_raw_fd(), page.start().as_ptr());
    // SAFETY: the page is ours and writable, and its length is the one given.
    let got = check(unsafe { libc::syscall(libc::SYS_pread64, fd, to, PAGE, 0) })?;
    if usize::try_from(got) != Ok(PAGE) {
        return Err(io::Error::other(format!("{got} bytes were read")));
    }
    Ok(())
}

/// Has what was written to a file, or to a mapping of it, written back.
pub fn synchronize(file: &impl AsFd) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_fsync, file.as_fd().as_raw_fd()) }).map(drop)
}

/// Watches for a file being opened, by whomever.
#[derive(Debug)]
pub struct OpenWatch(OwnedFd);

impl OpenWatch {
    /// Watches these files; those that do not exist are left out.
    pub fn start(paths: &[&CStr]) -> io::Result<Self> {
        // SAFETY: plain numbers.
        let fd =
            check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) }.into())?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        for path in paths {
            // SAFETY: the path is a C string.
            unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), libc::IN_OPEN) };
        }
        Ok(Self(fd))
    }

    /// Whether any was opened since the last question.
    pub fn opened(&self) -> io::Result<bool> {
        let mut events = [0_u8; 4096];
        // SAFETY: the buffer outlives the call, its length is the one given.
        let got = unsafe {
            libc::syscall(
                libc::SYS_read,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len(),
            )
        };
        match check(got) {
            Ok(length) => Ok(length > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
