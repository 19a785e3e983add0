//! Timers: the actor's own, and somebody else's on its CPU.

use std::{
    cell::Cell,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    super::{
        expect::{Who, one, syscall},
        guest::Setting,
        stage::Fact,
        sys,
    },
    Partner, Provocation, Scene,
    actor::Actor,
};

/// The rows.
pub const ALL: &[Provocation] = &[
    Provocation {
        name: "timer_own",
        about: "a POSIX timer of the actor that expires on its own CPU",
        act: own_timer,
        partner: Some(|_| Ok(Box::new(KeepTimers(Setting::change(MIGRATION, "0")?)))),
        expect: |_| {
            Ok(vec![
                one("local_timer")
                    .does("hrtimer", &["posix_timer_fn"])
                    .does("signal", &[])
                    .end("return"),
                syscall(libc::SYS_rt_sigreturn, "rt_sigreturn"),
            ])
        },
    },
    Provocation {
        name: "timer_own_migrated",
        about: "the same timer, which the kernel moved to a housekeeping CPU: its signal comes by IPI",
        act: own_timer,
        partner: Some(|_| Ok(Box::new(KeepTimers(Setting::change(MIGRATION, "1")?)))),
        expect: |_| {
            Ok(vec![
                one("reschedule").does("signal", &[]).end("return"),
                syscall(libc::SYS_rt_sigreturn, "rt_sigreturn"),
            ])
        },
    },
    Provocation {
        name: "timer_foreign",
        about: "a timer that another process left behind on this CPU",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(100), || actor.await_partner())
        },
        partner: Some(|scene| Ok(Box::new(Foreign::leave(scene)?))),
        expect: |_| {
            Ok(vec![
                one("local_timer")
                    .does("hrtimer", &["timerfd_tmrproc"])
                    .end("return"),
            ])
        },
    },
    Provocation {
        name: "timer_wheel",
        about: "the timeout of a task that sleeps on this CPU: a timer of the wheel, in a softirq",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(300), || actor.await_partner())
        },
        partner: Some(|scene| Ok(Box::new(Waiter::start(scene)?))),
        expect: |scene| {
            let waiter = Who::Thread(u32::try_from(scene.fact(Fact::Helper)?)?);
            Ok(vec![
                one("local_timer")
                    .does("softirq", &["TIMER"])
                    .does("timer", &["process_timeout"])
                    .does("switch", &[])
                    .end("switched"),
                syscall(libc::SYS_recvfrom, "recvfrom")
                    .of(waiter)
                    .end("switched"),
            ])
        },
    },
];

const MIGRATION: &str = "/proc/sys/kernel/timer_migration";

/// Signals that arrived.
static RANG: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: i32) {
    RANG.fetch_add(1, Ordering::Release);
}

fn own_timer(actor: &Actor) -> Result<()> {
    let handler: extern "C" fn(i32) = count_signal;
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(libc::SIGALRM, handler as usize) };
    sys::kill(std::process::id(), libc::SIGALRM)?;
    let timer = sys::ThreadTimer::create(libc::SIGALRM)?;
    let failed = Cell::new(None);
    RANG.store(0, Ordering::Relaxed);
    actor.perform_after(
        || failed.set(timer.arm(Duration::from_millis(300)).err()),
        Duration::from_millis(50),
        || {
            if failed.take().is_none() {
                sys::spin_until(&RANG, 1);
            }
        },
    )
}

/// Does nothing but keep the setting.
#[derive(Debug)]
#[expect(dead_code, reason = "the setting is kept for what its drop does")]
struct KeepTimers(Setting);

impl Partner for KeepTimers {
    fn act(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A timer that was armed on the watched CPU by a thread that has left it.
#[derive(Debug)]
struct Foreign<'a> {
    scene: &'a Scene<'a>,
    due: u64,
    _timer: sys::TimerFd,
    _migration: Setting,
}

impl<'a> Foreign<'a> {
    fn leave(scene: &'a Scene<'a>) -> Result<Self> {
        let migration = Setting::change(MIGRATION, "0")?;
        let cpu = scene.guest.cpu();
        let housekeeping = scene.guest.housekeeping.clone();
        let armed =
            thread::Builder::new()
                .name("stranger".into())
                .spawn(move || -> Result<_> {
                    sys::pin(0, &[cpu])?;
                    let due = sys::now() + 5_000_000_000;
                    let timer = sys::TimerFd::arm_at(due)?;
                    sys::pin(0, &housekeeping)?;
                    Ok((timer, due))
                })?;
        let (timer, due) = armed
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that arms the timer died"))?
            .context("a timer left on the watched CPU")?;
        Ok(Self {
            scene,
            due,
            _timer: timer,
            _migration: migration,
        })
    }
}

impl Partner for Foreign<'_> {
    fn act(&mut self) -> Result<()> {
        let (begin, _) = self.scene.stage.marks();
        ensure!(self.due > begin, "the timer expired before the beginning");
        while sys::now() < self.due {
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// A real-time thread on the watched CPU that waits for a datagram, with a timeout, again and again.
#[derive(Debug)]
struct Waiter<'a> {
    scene: &'a Scene<'a>,
    due: u64,
    /// Its end wakes the thread for good.
    peer: Option<UnixDatagram>,
    thread: Option<thread::JoinHandle<()>>,
    _migration: Setting,
}

/// Between two timeouts: long enough for the actor to get quiet and have one in its window.
const TIMEOUT: Duration = Duration::from_secs(5);

impl<'a> Waiter<'a> {
    fn start(scene: &'a Scene<'a>) -> Result<Self> {
        let migration = Setting::change(MIGRATION, "0")?;
        let cpu = scene.guest.cpu();
        let (socket, peer) = UnixDatagram::pair()?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("waiter".into())
            .spawn(move || {
                let ready = sys::pin(0, &[cpu])
                    .and_then(|()| sys::set_policy(0, libc::SCHED_FIFO, 50))
                    .map(|()| sys::thread_id());
                let go = ready.is_ok();
                if tell.send(ready).is_ok() && go {
                    sys::receive_until_closed(socket.as_raw_fd());
                }
            })?;
        let tid = told.recv()?.context("the waiting thread")?;
        scene.stage.set(Fact::Helper, tid.into());
        Ok(Self {
            scene,
            due: sys::now() + u64::try_from(TIMEOUT.as_nanos())?,
            peer: Some(peer),
            thread: Some(thread),
            _migration: migration,
        })
    }
}

impl Partner for Waiter<'_> {
    fn act(&mut self) -> Result<()> {
        let (begin, _) = self.scene.stage.marks();
        ensure!(self.due > begin, "the timeout came before the beginning");
        // The wheel rounds up, by up to an eighth of the time.
        let latest = self.due + u64::try_from(TIMEOUT.as_nanos())? / 6;
        while sys::now() < latest {
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.peer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
