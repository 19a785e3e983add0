//! Standard streams that were closed before this program began, as by `isol-trace record >&-`.
//!
//! A program that has none of the numbers 0 to 2 open would get them for the next files that it opens. So Rust's runtime
//! opens `/dev/null` for each before `main` (`sanitize_standard_fds` in `std/src/sys/pal/unix/mod.rs`, Rust 1.95), and from
//! there on everything that is written to stdout is lost without a word. What is here runs before that, and opens it so that
//! reading stdin and writing to the others fail, as they do where a stream is closed. The C library does the same for
//! programs with more rights than who starts them (`csu/check_fds.c`, glibc 2.29). A command that is started has it so too.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::fs::{OFlags, fcntl_getfl};

/// What runs before Rust's runtime: the loader calls each function of this section (System V ABI, "Initialization and
/// Termination Functions").
// SAFETY: the section holds addresses of functions, and this is one. It needs nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = fill;

/// Opens what is closed of the numbers 0 to 2, for the other direction than the one that it is for.
extern "C" fn fill() {
    let streams = [
        (libc::STDIN_FILENO, libc::O_WRONLY),
        (libc::STDOUT_FILENO, libc::O_RDONLY),
        (libc::STDERR_FILENO, libc::O_RDONLY),
    ];
    for (number, direction) in streams {
        // SAFETY: no memory is involved, and a number that is not open is refused.
        let is_closed = unsafe { libc::fcntl(number, libc::F_GETFD) } < 0;
        if is_closed {
            // It gets this number, the lowest that is free. Where it fails the runtime tries, and ends the program.
            // SAFETY: the path is a string that ends with a zero.
            unsafe { libc::open(c"/dev/null".as_ptr(), direction) };
        }
    }
}

/// Stdin, past the standard library, to which one that is closed is at its end.
pub fn stdin() -> io::Result<File> {
    open_for(io::stdin().as_fd(), OFlags::WRONLY, "writing")
}

/// Stdout, past the standard library, to which one that is closed takes everything.
pub fn stdout() -> io::Result<File> {
    open_for(io::stdout().as_fd(), OFlags::RDONLY, "reading")
}

/// Another descriptor of a stream, unless that is open for `other` alone, which is what it is not for.
fn open_for(stream: BorrowedFd<'_>, other: OFlags, name: &str) -> io::Result<File> {
    if fcntl_getfl(stream)? & OFlags::ACCMODE == other {
        return Err(io::Error::other(format!(
            "it is closed, or open for {name} alone"
        )));
    }
    Ok(stream.try_clone_to_owned()?.into())
}
