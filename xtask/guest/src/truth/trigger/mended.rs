//! Actors that do as the text of a remedy says, and those who make its cause where no other trigger does.
//!
//! They are no tests of their own: the tests of remedies compare the two.

mod debugged;
mod disk;
mod limited;
mod missing;
mod uprobed;

use std::{
    io::{Write as _, pipe},
    os::fd::{AsRawFd, OwnedFd},
    os::unix::net::UnixDatagram,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    super::{
        guest::{Setting, skip},
        shared_page::Phase,
        sys::{self, Code, Pages, PerfAttr, Ring},
    },
    MakePartner, Partner, Scenario, Trigger,
    actor::Actor,
    call, exception, sched, signal, timer,
};

/// A row: name, what it does, the actor's part, the driver's.
const fn row(
    name: &'static str,
    about: &'static str,
    act: fn(&Actor) -> Result<()>,
    partner: Option<MakePartner>,
) -> Trigger {
    Trigger {
        name,
        about,
        act,
        partner,
        expect: |_| Ok(Vec::new()),
    }
}

/// All rows. They expect nothing: whoever performs them looks at the rules of what they leave in
/// the log.
#[must_use]
pub fn all() -> Vec<Trigger> {
    [
        ROWS,
        debugged::ROWS,
        disk::ROWS,
        limited::ROWS,
        missing::ROWS,
        uprobed::ROWS,
    ]
    .concat()
}

const ROWS: &[Trigger] = &[
    row(
        "touch_mended",
        "a write to pages that were put in place before",
        |actor| {
            let populated = Pages::private(3)?;
            sys::advise(&populated, libc::MADV_POPULATE_WRITE)?;
            sys::lock_memory(libc::MCL_CURRENT | libc::MCL_FUTURE)?;
            let locked = Pages::private(3)?;
            actor.perform(|| {
                populated.write(1);
                locked.write(1);
            })
        },
        None,
    ),
    row(
        "copy_mended",
        "a write to a page that was shared with a child and written to since",
        |actor| {
            let pages = Pages::private(1)?;
            pages.write(0);
            let child = sys::fork_sleeper()?;
            sys::advise(&pages, libc::MADV_POPULATE_WRITE)?;
            let done = actor.perform(|| pages.write(0));
            child.end();
            done
        },
        None,
    ),
    row(
        "stack",
        "a function that takes more of the stack than any before",
        |actor| actor.perform(deep),
        None,
    ),
    row(
        "stack_mended",
        "the same function, called once before",
        |actor| {
            deep();
            actor.perform(deep)
        },
        None,
    ),
    row(
        "code",
        "code that nobody has run yet",
        |actor| {
            let code = Code::map()?;
            actor.perform(|| code.run())
        },
        None,
    ),
    row(
        "code_mended",
        "the same, locked in memory",
        |actor| {
            sys::lock_memory(libc::MCL_CURRENT | libc::MCL_FUTURE)?;
            let code = Code::map()?;
            actor.perform(|| code.run())
        },
        None,
    ),
    row(
        "vsyscall",
        "the time from the page that the kernel emulates",
        |actor| actor.perform(sys::vsyscall_time),
        None,
    ),
    row(
        "vsyscall_mended",
        "the time from the vDSO",
        |actor| {
            actor.perform(|| {
                let _ = sys::now();
            })
        },
        None,
    ),
    row(
        "fork",
        "a fork by a sibling thread",
        |actor| {
            actor.sibling(|| {
                if let Ok(child) = sys::fork_sleeper() {
                    child.end();
                }
            })?;
            actor.perform(|| actor.cue())
        },
        None,
    ),
    row(
        "fork_mended",
        "a vfork by a sibling thread",
        |actor| {
            let stack = Pages::private(4)?;
            sys::advise(&stack, libc::MADV_POPULATE_WRITE)?;
            actor.sibling(move || {
                let _ = sys::vfork(&stack);
            })?;
            actor.perform(|| actor.cue())
        },
        None,
    ),
    row(
        "shared_write",
        "a sibling's write to a page that is shared with a child",
        |actor| sibling_writes(actor, || Ok(())),
        None,
    ),
    row(
        "shared_write_mended",
        "the same, after all memory was written to",
        |actor| sibling_writes(actor, || Ok(sys::lock_memory(libc::MCL_CURRENT)?)),
        None,
    ),
    row(
        "process_mended",
        "another process gives memory back, changes rights, forks and asks for memory barriers",
        |actor| actor.perform(|| actor.await_partner()),
        Some(|_| Ok(Box::new(Elsewhere))),
    ),
    row(
        "timer_mended",
        "a thread on a housekeeping CPU waits for the time and tells of it in shared memory",
        |actor| {
            actor.sibling(|| {
                let due = sys::now() + 300_000_000;
                if let Ok(timer) = sys::TimerFd::arm_at(due) {
                    timer.wait();
                }
            })?;
            actor.perform(|| actor.cue())
        },
        Some(timer::kept),
    ),
    row(
        "signal_mended",
        "SIGUSR1, which another thread of the process takes",
        |actor| {
            sys::block(libc::SIGUSR1)?;
            let (shared_page, helper) = (Arc::clone(&actor.shared_page), actor.helper);
            thread::Builder::new().name("taker".into()).spawn(move || {
                if sys::pin(0, &[helper]).is_ok() && sys::take_signal(libc::SIGUSR1).is_ok() {
                    shared_page.done.store(1, Ordering::Release);
                }
                sys::spin_until(&shared_page.phase, Phase::Leave as u32);
            })?;
            actor.perform(|| sys::spin_until(&actor.shared_page.done, 1))
        },
        Some(|scenario| Ok(Box::new(signal::Sender(scenario, libc::SIGUSR1)))),
    ),
    row(
        "sched_mended",
        "a real-time task woken on a housekeeping CPU",
        |actor| actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner()),
        Some(|scenario| {
            Ok(Box::new(sched::Sleeper::start(
                scenario,
                scenario.guest.helper(),
            )?))
        }),
    ),
    row(
        "perf_mended",
        "a perf event of a housekeeping CPU enabled",
        |actor| actor.perform(|| actor.await_partner()),
        Some(|scenario| {
            let cpu = scenario.guest.helper();
            let event = call::EnablePerf::open(cpu, sys::PERF_COUNT_SW_DUMMY, 0)?;
            Ok(Box::new(event))
        }),
    ),
    row(
        "key_mended",
        "a feature used again that was used before and is in use still",
        |actor| actor.perform(|| actor.await_partner()),
        Some(|_| Ok(Box::new(InUse(Setting::change(call::SCHEDSTATS, "1")?)))),
    ),
    row(
        "exception_mended",
        "an x87 division by zero that is masked",
        |actor| actor.perform(exception::divide_by_zero_masked),
        None,
    ),
    row(
        "sampling",
        "a perf event of a housekeeping CPU that samples by frequency",
        ticking,
        Some(|scenario| Ok(Box::new(Sampling::prepare(scenario, BY_FREQUENCY)))),
    ),
    row(
        "sampling_mended",
        "one that samples by count",
        ticking,
        Some(|scenario| Ok(Box::new(Sampling::prepare(scenario, 0)))),
    ),
    row(
        "ldt",
        "a sibling's change of the process's LDT",
        |actor| {
            actor.sibling(|| {
                let _ = sys::change_ldt();
            })?;
            actor.perform(|| actor.cue())
        },
        None,
    ),
    row(
        "ldt_mended",
        "the same, before",
        |actor| {
            sys::change_ldt()?;
            actor.sibling(|| ())?;
            actor.perform(|| actor.cue())
        },
        None,
    ),
    row(
        "buffer",
        "the trace buffer of the CPU gets another size",
        |actor| actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner()),
        Some(|scenario| Ok(Box::new(Buffer::prepare(scenario, false)?))),
    ),
    row(
        "buffer_mended",
        "it gets the size that it was given before",
        |actor| actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner()),
        Some(|scenario| Ok(Box::new(Buffer::prepare(scenario, true)?))),
    ),
    row(
        "calls",
        "a system call of each class",
        |actor| {
            let calls = Calls::prepare()?;
            actor.perform(|| {
                Calls::own();
                calls.for_others();
            })
        },
        None,
    ),
    row(
        "calls_mended",
        "the same work without: answers kept, memory from a pool, the rest by a thread on a housekeeping CPU",
        |actor| {
            let calls = Arc::new(Calls::prepare()?);
            let given = Arc::clone(&calls);
            actor.sibling(move || given.for_others())?;
            actor.perform(|| {
                calls.without();
                actor.cue();
            })
        },
        None,
    ),
    row(
        "completion",
        "another CPU completes a request of io_uring",
        |actor| complete(actor, &[0]),
        None,
    ),
    row(
        "completion_mended",
        "the same, with rings that do without interrupts",
        |actor| complete(actor, &[sys::DEFERRED, sys::COOPERATIVE]),
        None,
    ),
];

/// A sibling completes a request of this thread's in each of these rings, which it finds there when it asks.
fn complete(actor: &Actor, rings: &[u32]) -> Result<()> {
    let (reader, mut writer) = pipe()?;
    let mut polled = Vec::new();
    for &flags in rings {
        let ring = match Ring::with(flags) {
            Ok(ring) => ring,
            Err(error) => match Ring::refusal(&error) {
                Some(why) => return skip(why),
                None => return Err(error).context("io_uring_setup"),
            },
        };
        ring.poll(&reader).context("io_uring_enter")?;
        polled.push(ring);
    }
    actor.sibling(move || {
        let _ = writer.write_all(b"!");
    })?;
    actor.perform(|| actor.cue())?;
    for ring in &polled {
        ensure!(ring.completed()?, "a request is not complete");
    }
    Ok(())
}

/// Takes more of the stack than `mlockall` has put in place: the kernel begins with 132 KiB (`setup_arg_pages`,
/// fs/exec.c, v6.12).
#[inline(never)]
#[expect(
    clippy::large_stack_arrays,
    reason = "to take much of the stack is what it is for"
)]
fn deep() {
    let mut room = [const { std::mem::MaybeUninit::<u8>::uninit() }; 400 << 10];
    for byte in room.iter_mut().step_by(sys::PAGE) {
        byte.write(1);
    }
    std::hint::black_box(&mut room);
}

/// A sibling writes to what the process shares with a child, once `prepared`.
fn sibling_writes(actor: &Actor, prepared: fn() -> Result<()>) -> Result<()> {
    let pages = Arc::new(Pages::private(1)?);
    pages.write(0);
    let child = sys::fork_sleeper()?;
    prepared()?;
    let its = Arc::clone(&pages);
    actor.sibling(move || its.write(0))?;
    let done = actor.perform(|| actor.cue());
    child.end();
    done
}

/// The driver does in its own process what siblings of an actor are not to do.
#[derive(Debug)]
struct Elsewhere;

impl Partner for Elsewhere {
    fn act(&mut self) -> Result<()> {
        let pages = Pages::private(3)?;
        (0..3).for_each(|page| pages.write(page));
        pages.protect(0, libc::PROT_READ);
        pages.unmap(1);
        sys::advise(&Pages::private(1)?, libc::MADV_DONTNEED)?;
        sys::fork_sleeper()?.end();
        call::membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)?;
        call::membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)?;
        call::membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
    }
}

/// A feature that is in use; its static key is flipped when it is made and when it goes.
#[derive(Debug)]
struct InUse(Setting);

impl Partner for InUse {
    fn act(&mut self) -> Result<()> {
        self.0.set("1")
    }
}

/// Waits for the partner, and for some ticks.
fn ticking(actor: &Actor) -> Result<()> {
    actor.perform_after(|| (), Duration::from_millis(100), || actor.await_partner())
}

/// A flag of `perf_event_attr` (`include/uapi/linux/perf_event.h`, v6.12): the period is a frequency.
const BY_FREQUENCY: u64 = 1 << 10;

/// A perf event of a housekeeping CPU that samples.
#[derive(Debug)]
struct Sampling {
    cpu: u32,
    flags: u64,
    event: Option<OwnedFd>,
}

impl Sampling {
    fn prepare(scenario: &Scenario<'_>, flags: u64) -> Self {
        Self {
            cpu: scenario.guest.helper(),
            flags,
            event: None,
        }
    }
}

impl Partner for Sampling {
    fn act(&mut self) -> Result<()> {
        let attr = PerfAttr {
            kind: sys::PERF_TYPE_SOFTWARE,
            // The clock's own frequency is made a period (perf_swevent_init_hrtimer, kernel/events/core.c, v6.12).
            config: sys::PERF_COUNT_SW_DUMMY,
            sample_period: 100,
            flags: self.flags,
            ..PerfAttr::default()
        };
        let event = sys::perf_event(&attr, -1, i32::try_from(self.cpu)?);
        self.event = Some(event.context("perf_event_open")?);
        Ok(())
    }
}

/// The trace buffer of the watched CPU.
#[derive(Debug)]
struct Buffer {
    path: String,
    size: Option<Setting>,
}

/// A size that it does not have, in KiB.
const SIZE: &str = "2000";

impl Buffer {
    fn prepare(scenario: &Scenario<'_>, before: bool) -> Result<Self> {
        let cpu = scenario.guest.cpu();
        let path = format!("/sys/kernel/tracing/per_cpu/cpu{cpu}/buffer_size_kb");
        let size = before.then(|| Setting::change(&path, SIZE)).transpose()?;
        Ok(Self { path, size })
    }
}

impl Partner for Buffer {
    fn act(&mut self) -> Result<()> {
        match &self.size {
            Some(size) => size.set(SIZE)?,
            None => self.size = Some(Setting::change(&self.path, SIZE)?),
        }
        Ok(())
    }
}

/// A system call of each class, and how to do without.
#[derive(Debug)]
struct Calls {
    file: OwnedFd,
    sender: UnixDatagram,
    _receiver: UnixDatagram,
    stack: Pages,
    pool: Pages,
    word: AtomicU32,
    parent: libc::c_long,
}

impl Calls {
    fn prepare() -> Result<Self> {
        let (sender, receiver) = UnixDatagram::pair()?;
        let calls = Self {
            file: sys::memory_file(c"calls", 1)?,
            sender,
            _receiver: receiver,
            stack: Pages::private(4)?,
            pool: Pages::private(1)?,
            word: AtomicU32::new(0),
            // SAFETY: takes nothing, changes nothing.
            parent: unsafe { libc::syscall(libc::SYS_getppid) },
        };
        for pages in [&calls.stack, &calls.pool] {
            sys::advise(pages, libc::MADV_POPULATE_WRITE).context("pages for the calls")?;
        }
        Ok(calls)
    }

    /// Calls that a task makes for itself.
    fn own() {
        let mut time = [0_i64; 2];
        // SAFETY: the place is as large as a time.
        unsafe {
            libc::syscall(
                libc::SYS_clock_gettime,
                libc::CLOCK_MONOTONIC,
                &raw mut time,
            )
        };
        // SAFETY: takes nothing, changes nothing.
        unsafe { libc::syscall(libc::SYS_getppid) };
        // SAFETY: asks for nothing but the answer.
        unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) };
        // SAFETY: there is no alarm to take back.
        unsafe { libc::syscall(libc::SYS_alarm, 0) };
        // SAFETY: changes nothing, and asks for no old mask.
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, 0, 8) };
        // SAFETY: takes nothing.
        unsafe { libc::syscall(libc::SYS_sched_yield) };
        if let Ok(pages) = Pages::private(1) {
            pages.write(0);
        }
    }

    /// Calls that a thread on another CPU can make as well.
    fn for_others(&self) {
        let (file, byte) = (self.file.as_raw_fd(), [1_u8]);
        // SAFETY: the byte lives, and the length is its own.
        unsafe { libc::syscall(libc::SYS_write, file, byte.as_ptr(), 1) };
        // SAFETY: plain numbers.
        unsafe { libc::syscall(libc::SYS_fsync, file) };
        let socket = self.sender.as_raw_fd();
        // SAFETY: the byte lives, the length is its own, and there is no address.
        unsafe { libc::syscall(libc::SYS_sendto, socket, byte.as_ptr(), 1, 0, 0, 0) };
        // SAFETY: there are no such semaphores, and no operations are read.
        unsafe { libc::syscall(libc::SYS_semop, -1, 0, 0) };
        // SAFETY: the word lives; nobody waits.
        unsafe { libc::syscall(libc::SYS_futex, self.word.as_ptr(), libc::FUTEX_WAKE, 1) };
        // SAFETY: signal 0 is none.
        unsafe { libc::syscall(libc::SYS_kill, std::process::id(), 0) };
        let _ = sys::vfork(&self.stack);
        // SAFETY: the kernel answers ENOSYS.
        unsafe { libc::syscall(super::syscall::UNASSIGNED) };
        self.word.store(1, Ordering::Release);
    }

    /// What those of its own are for, without.
    fn without(&self) {
        let until = sys::now() + 1000;
        std::hint::black_box(self.parent);
        // SAFETY: takes nothing; glibc asks no kernel.
        std::hint::black_box(unsafe { libc::sched_getcpu() });
        self.pool.write(0);
        while sys::now() < until {
            std::hint::spin_loop();
        }
    }
}
