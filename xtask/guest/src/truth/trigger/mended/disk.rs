//! A disk that is read from, and one whose file is mapped.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    super::{
        super::{
            guest::{Setting, skip},
            sys::{self, Pages, Ring},
        },
        Partner, Scenario, Trigger,
        actor::Actor,
    },
    row,
};

/// The rows.
pub(in super::super) const ROWS: &[Trigger] = &[
    row(
        "disk_read",
        "reads from the disk, each of which a housekeeping CPU hears is complete and hands back",
        |actor| {
            let (disk, page) = (open(libc::O_DIRECT)?, Pages::private(1)?);
            sys::advise(&page, libc::MADV_POPULATE_WRITE)?;
            let ring = match Ring::with(0) {
                Ok(ring) => ring,
                Err(error) => match Ring::refusal(&error) {
                    Some(why) => return skip(why),
                    None => return Err(error).context("io_uring_setup"),
                },
            };
            let mut read = Ok(());
            // One that is complete before the task is back in user mode is part of its system call.
            actor.perform(|| read = (0..READS).try_for_each(|_| ring.read(&disk, &page)))?;
            read.context("io_uring_enter")
        },
        Some(handing_back),
    ),
    row(
        "disk_mended",
        "the same by a thread on a housekeeping CPU",
        |actor| {
            let (disk, page) = (open(libc::O_DIRECT)?, Pages::private(1)?);
            by_sibling(actor, move || {
                (0..READS).try_for_each(|_| sys::read_page(&disk, &page))
            })
        },
        Some(handing_back),
    ),
    row(
        "file_written_back",
        "a sibling synchronizes the disk, which is mapped and was written to",
        |actor| mapped(actor, open(0)?.into()),
        None,
    ),
    row(
        "file_mended",
        "the same with shared memory",
        |actor| mapped(actor, sys::memory_file(c"mapped", 1)?),
        None,
    ),
];

/// How often it is read.
const READS: u32 = 10;

/// The disk itself: a file system on it has its pages written back as its own are.
const DISK: &str = "/dev/nvme0n1";
/// Why there are no such tests where it is not there.
const NO_DISK: &str = "this guest has no disk: `cargo xtask vm --disk` gives it one";

/// To which CPU its requests are handed back. It is reached by a path, which has the requests.
const AFFINITY: &str = "/sys/block/nvme0c0n1/queue/rq_affinity";

/// Has each request handed back to the CPU that submitted it. By default one that shares its cache completes the
/// request (`blk_mq_complete_need_ipi()`, block/blk-mq.c, v6.12), as all CPUs of the guest do.
fn handing_back<'a>(_: &'a Scenario<'a>) -> Result<Box<dyn Partner + 'a>> {
    if !Path::new(DISK).exists() {
        return skip(NO_DISK);
    }
    Ok(Box::new(HandingBack(Setting::change(AFFINITY, "2")?)))
}

/// It is so while this is there.
#[derive(Debug)]
struct HandingBack(#[expect(dead_code, reason = "it is put back with it")] Setting);

impl Partner for HandingBack {
    fn act(&mut self) -> Result<()> {
        Ok(())
    }
}

fn open(flags: i32) -> Result<File> {
    let mut options = OpenOptions::new();
    let disk = options.read(true).write(true).custom_flags(flags);
    match disk.open(DISK) {
        Ok(disk) => Ok(disk),
        Err(error) if error.kind() == io::ErrorKind::NotFound => skip(NO_DISK),
        Err(error) => bail!("{DISK}: {error}"),
    }
}

/// Writes to a page of a file, which a sibling has written back.
fn mapped(actor: &Actor, file: OwnedFd) -> Result<()> {
    let page = Pages::of_file(file.as_fd().as_raw_fd(), 0)?;
    page.write(0);
    by_sibling(actor, move || sys::synchronize(&file))
}

/// Has a sibling do it, and minds that it does.
fn by_sibling(
    actor: &Actor,
    mut act: impl FnMut() -> io::Result<()> + Send + 'static,
) -> Result<()> {
    let done = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&done);
    actor.sibling(move || its.store(act().is_ok(), Ordering::Release))?;
    actor.perform(|| actor.cue())?;
    ensure!(done.load(Ordering::Acquire), "the sibling failed");
    Ok(())
}
