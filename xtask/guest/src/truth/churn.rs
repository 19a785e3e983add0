//! Tasks that are hard to name: they fork, execute, write code at run time, and die. The tracer reads
//! their maps and files to name what it records, and disturbs none of them.

use std::{
    env, fs, io,
    process::{Command, Stdio},
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    accounts::Accounts,
    bench::{Bench, Group},
    log::{Breach, Log},
    sys,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![(
            "churn_quiet",
            "tasks that fork, execute, write code and die are named, not one breach is the tracer's, and the scheduler's accounts stay",
        )],
        run,
    }
}

/// How long it goes on.
const TIME: Duration = Duration::from_secs(3);

/// Calls of code that was written at run time.
const CALLS: usize = 50;

fn run(bench: &mut Bench) -> Result<()> {
    let before = Accounts::read(&bench.guest)?;
    let over = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        // On the housekeeping CPUs too, where the tracer's own threads are.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = short_lived();
            }
        });
        let ended = bench.record(&["--user-stacks", "--ring-size", "8M"], &["churn"]);
        over.store(true, Ordering::Relaxed);
        ended
    })?;
    let log = bench.take(&ended, 0, |_| false)?;
    let after = Accounts::read(&bench.guest)?;
    let outcome = judge(&log, bench.guest.realtime).and_then(|said| {
        let kept = before.bandwidth == after.bandwidth && before.fair_server == after.fair_server;
        ensure!(kept, "the scheduler's accounts: {before:?}, then {after:?}");
        Ok(said)
    });
    bench.outcome("churn_quiet", outcome)
}

fn judge(log: &Log, realtime: bool) -> Result<String> {
    let is_by_a_lock = |breach: &Breach| realtime && is_by_a_lock(breach);
    let counted = log.summary()?.tracer.breaches;
    let by_us = || log.breaches.iter().filter(|it| it.is_by_the_tracer());
    let by_locks = by_us().filter(|it| is_by_a_lock(it)).count();
    ensure!(
        counted == u64::try_from(by_locks)?,
        "{counted} breaches are the tracer's, {by_locks} of them by a lock; one of the others: {}",
        serde_json::to_string(&by_us().find(|it| !is_by_a_lock(it)))?
    );
    let written = log
        .breaches
        .iter()
        .filter(|breach| breach.cause.name.as_deref() == Some("getppid"));
    let written = written.count();
    ensure!(
        written >= CALLS,
        "{written} calls of written code: the test did not test"
    );
    Ok(format!("{} breaches", log.breaches.len()))
}

/// Whether the tracer gave up a lock that a task of the watched CPU waited for in the kernel. With `PREEMPT_RT` a
/// spinlock is one that tasks sleep for, and whoever gives it up wakes the next (`rt_mutex_slowunlock()`,
/// kernel/locking/rtmutex.c, v6.12): all who share a list of pages or a folder with such a task do so.
fn is_by_a_lock(breach: &Breach) -> bool {
    let gives_up = |frame: &String| frame.starts_with("rt_mutex_slowunlock+");
    let mut by_us = breach.origins.iter().filter(|it| it.kind == "tracer");
    by_us.all(|origin| origin.stack.iter().any(gives_up))
}

/// A process that does nothing.
fn short_lived() -> io::Result<()> {
    Command::new(env::current_exe()?)
        .args(["command", "status", "0"])
        .stdin(Stdio::null())
        .status()
        .map(drop)
}

/// What runs on the watched CPU. Two tasks share it: only then does settling the time of the one that
/// runs send a reschedule there (`update_curr`, kernel/sched/fair.c, v6.12).
pub fn churn() -> Result<()> {
    let mut second = Command::new(env::current_exe()?)
        .args(["command", "busy"])
        .stdin(Stdio::null())
        .spawn()?;
    let outcome = write_and_fork();
    second.wait()?;
    outcome
}

/// Runs in user mode, and enters the kernel now and then.
pub fn busy() {
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        sys::spin(Duration::from_millis(1));
        sys::getppid();
    }
}

fn write_and_fork() -> Result<()> {
    let begun = Instant::now();
    let map = format!("/tmp/perf-{}.map", std::process::id());
    while begun.elapsed() < TIME {
        let code = Code::write()?;
        fs::write(&map, format!("{:x} 10 written\n", code.address()))?;
        for _ in 0..CALLS {
            code.call();
        }
        drop(code);
        short_lived().context("a process of its own")?;
    }
    let _ = fs::remove_file(map);
    Ok(())
}

/// Code that was written at run time: `getppid`.
struct Code {
    page: NonNull<u8>,
}

impl Code {
    fn write() -> Result<Self> {
        // mov eax, SYS_getppid; syscall; ret
        let mut code = vec![0xb8];
        code.extend(u32::try_from(libc::SYS_getppid)?.to_le_bytes());
        code.extend([0x0f, 0x05, 0xc3]);
        // SAFETY: a new mapping wherever the kernel likes.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                sys::PAGE,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let page = NonNull::new(page.cast()).context("mapped at 0")?;
        // SAFETY: the page is new, writable and longer than the code.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), page.as_ptr(), code.len()) };
        Ok(Self { page })
    }

    fn address(&self) -> usize {
        self.page.as_ptr().addr()
    }

    fn call(&self) {
        // SAFETY: the page holds a function without arguments, which keeps to the C ABI: a system
        // call changes rax, rcx and r11 alone.
        let function: extern "C" fn() -> i64 = unsafe { std::mem::transmute(self.page) };
        let _ = function();
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody uses any more.
        unsafe { libc::munmap(self.page.as_ptr().cast(), sys::PAGE) };
    }
}
