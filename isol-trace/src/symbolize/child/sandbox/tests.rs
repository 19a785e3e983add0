//! A process that confines itself and then tries what it must not.

use std::{
    env,
    fs::File,
    net::{TcpListener, UdpSocket},
    process::{Command, Stdio},
};

use super::*;

/// In whose environment the test is the process that is confined; with this much memory.
const CONFINED: &str = "ISOL_TRACE_TEST_CONFINED";

/// Runs this test binary as the process that is confined by the test of that name.
fn confined(test: &str) -> std::process::Output {
    let own = env::current_exe().expect("this test");
    Command::new(own)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CONFINED, "1")
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

fn begin() -> Confinement {
    let allowance = Allowance {
        memory: 128 << 20,
        tracer: std::process::id(),
    };
    confine(allowance).expect("every kernel lets one give up")
}

/// Everything by which a process could reach something. What is tried is said on stderr, which is all that is left.
#[test]
fn nothing_can_be_reached() {
    if env::var_os(CONFINED).is_none() {
        let output = confined("symbolize::child::sandbox::tests::nothing_can_be_reached");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("reached: none of 9."), "{said}");
        return;
    }
    let readable = env::current_exe().expect("this test");
    let parent = getppid().map_or(0, |it| it.as_raw_nonzero().get());
    assert!(begin().filtered);
    let open = |path: &str| File::open(path).map(drop);
    let zero = |result: i32| {
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: no memory is involved.
    let traced = unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent, 0, 0) };
    let traced = zero(i32::from(traced != 0));
    let tries: [(&str, io::Result<()>); 9] = [
        ("open", File::open(readable).map(drop)),
        ("open /dev/null", open("/dev/null")),
        ("create", File::create("/tmp/isol-trace-test").map(drop)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("send", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("execute", Command::new("/bin/true").spawn().map(drop)),
        // SAFETY: no memory is involved; nobody is signalled by signal 0.
        ("kill", zero(unsafe { libc::kill(parent, 0) })),
        ("trace", traced),
        (
            "new code",
            // SAFETY: a new mapping at an address of the kernel's choice.
            unsafe {
                rustix::mm::mmap_anonymous(
                    std::ptr::null_mut(),
                    4096,
                    rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::EXEC,
                    rustix::mm::MapFlags::PRIVATE,
                )
            }
            .map(drop)
            .map_err(io::Error::from),
        ),
    ];
    let reached: Vec<_> = tries
        .iter()
        .filter_map(|(what, result)| {
            let refused = matches!(result, Err(error) if error.raw_os_error() == Some(libc::EPERM));
            (!refused).then_some(what)
        })
        .collect();
    let said = match reached[..] {
        [] => format!("reached: none of {}.\n", tries.len()),
        _ => format!("reached: {reached:?} {tries:?}\n"),
    };
    io::Write::write_all(&mut io::stderr(), said.as_bytes()).expect("a pipe");
    std::process::abort();
}

/// More memory than it may have ends it, and it says why.
#[test]
fn memory_ends() {
    if env::var_os(CONFINED).is_none() {
        let output = confined("symbolize::child::sandbox::tests::memory_ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("memory allocation of"), "{said}");
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(signal, Some(libc::SIGABRT), "{:?}", output.status);
        return;
    }
    begin();
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
        assert!(all.len() < 128, "its limit");
    }
}
