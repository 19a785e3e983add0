//! The real thing: programs that have ended before anything is looked up.

use std::{
    env,
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::*;
use crate::{
    attrib::{Attributor, Options},
    event::{
        entry::tests::entry,
        ids::{Address, Seq},
        origin::RawOrigin,
        raw::RawBreach,
    },
    host::Host,
    symbolize::parent::{symbolizer::tests::means, symbols::UserSymbols},
};

/// In whose environment the test is the program that ends.
const ENDS: &str = "ISOL_TRACE_TEST_ENDS";

fn online() -> Vec<Cpu> {
    let isolation = Host::of_this_process().isolation();
    isolation.expect("every host tells").online.iter().collect()
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn a_function_of_a_program_that_ends() -> u64 {
    a_function_of_a_program_that_ends as *const () as u64
}

/// Runs this test binary for as long as it takes to say where the function is, and waits for its end.
fn one_that_ended(test: &str) -> (Pid, Address) {
    let this = env::current_exe().expect("this test");
    let mut child = Command::new(this)
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ENDS, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let output = child.stdout.as_mut().expect("a pipe");
    output.read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("it ends").success(), "{said}");
    let (_, behind) = said.split_once("at=").expect("an address");
    let (address, _) = behind.split_once(';').expect("its end");
    let address = address.parse().expect("an address");
    assert!(!Path::new(&format!("/proc/{}", child.id())).exists());
    (Pid(child.id()), Address(address))
}

/// Whether this is the program that ends; it says then where the function is.
fn ends() -> bool {
    let ends = env::var_os(ENDS).is_some();
    if ends {
        let address = a_function_of_a_program_that_ends();
        let mut out = io::stdout();
        writeln!(out, "at={address};").expect("a listener");
    }
    ends
}

#[test]
#[ignore = "needs CAP_PERFMON"]
fn a_program_that_has_ended_has_names() {
    if ends() {
        return;
    }
    let options = Options {
        record_mappings_on: online(),
        symbolizer: means().starter,
        ..Options::default()
    };
    let mut attributor = Attributor::new(Path::new("/"), &options).expect("a thread");
    attributor.record_mappings();
    assert_eq!(attributor.warnings(), Vec::<String>::new());
    let test = "symbolize::mappings::tests::a_program_that_has_ended_has_names";
    let (pid, ip) = one_that_ended(test);
    attributor.take_mappings();
    attributor.stop_mappings();
    let mut entry = entry();
    (entry.ip, entry.task.pid) = (ip, Some(pid));
    let lookup = attributor.look_up(Box::new(RawBreach {
        seq: Seq(1),
        entry,
        asked: Vec::new(),
        origins: vec![RawOrigin::Unknown],
    }));
    attributor.wait(lookup.awaited(), Duration::from_mins(1));
    let name = attributor
        .breach(lookup)
        .location
        .expect("its program is there");
    assert_eq!(&*name, "a_function_of_a_program_that_ends");
    assert_eq!(attributor.lost_mappings(), Some(0));
}

/// A child that never executes a program, of a process that was there before.
#[test]
#[ignore = "needs CAP_PERFMON"]
fn a_child_that_has_ended_has_the_names_of_its_parent() {
    let mappings = Mappings::unrecorded();
    mappings.record_on(&online()).expect("the right to");
    // SAFETY: the child only ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it ends at once, and runs nothing of ours.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the status is ours, and outlives the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    let pid = Pid(u32::try_from(child).expect("it was started"));
    let mut symbols = UserSymbols::start(Path::new("/"), &means(), Some(mappings));
    let place = symbols.place(pid, Address(a_function_of_a_program_that_ends()));
    let name = place.location.expect("its parent lives");
    assert_eq!(&*name, "a_function_of_a_program_that_ends");
}

#[test]
#[ignore = "needs CAP_PERFMON"]
fn a_process_that_maps_more_and_ends_has_both() {
    let mappings = Mappings::unrecorded();
    mappings.record_on(&online()).expect("the right to");
    let pid = Pid(std::process::id());
    let before = mappings.of(pid).map(|known| known.until);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let code = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            4096,
            rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::EXEC,
            rustix::mm::MapFlags::PRIVATE,
        )
    };
    let code = code.expect("a page") as u64;
    let known = mappings.of(pid).expect("this process has mapped code");
    assert!(before.is_none_or(|before| before < known.until));
    assert_eq!((known.space.since, known.base), (MonoNanos(0), None));
    let none = crate::symbolize::shared::maps::UserMaps::of(Vec::new());
    let maps = known.space.code.since(MonoNanos(0), &none).expect("code");
    assert!(maps.find(Address(code)).is_some(), "{maps:?}");
    mappings.close();
    mappings.close();
    assert!(mappings.of(pid).is_some(), "what is known stays");
}

/// No right to, or no such thing in the kernel: the trace goes on without.
#[test]
fn what_cannot_be_recorded_is_told_once() {
    let no_such_cpu = Cpu(i32::MAX.unsigned_abs());
    let options = Options {
        record_mappings_on: vec![no_such_cpu],
        symbolizer: means().starter,
        ..Options::default()
    };
    let mut attributor = Attributor::new(Path::new("/"), &options).expect("a thread");
    attributor.record_mappings();
    let warnings = attributor.warnings();
    assert_eq!(attributor.warnings(), Vec::<String>::new());
    match attributor.lost_mappings() {
        // A CPU that is not there may have gone offline.
        Some(lost) => assert_eq!((lost, warnings.len()), (0, 0)),
        None => assert!(warnings[0].contains("CAP_PERFMON"), "{warnings:?}"),
    }
}
