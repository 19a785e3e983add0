//! Timers: the actor's own, and somebody else's on its CPU.

use std::{
    cell::Cell,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    super::{
        expect::{Expect, Sender, Who, one, one_of, syscall},
        guest::{Setting, TooLate},
        shared_page::Fact,
        sys,
    },
    Partner, Scenario, Trigger,
    actor::Actor,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "timer_own",
        about: "a POSIX timer of the actor that expires on its own CPU",
        act: own_timer,
        partner: Some(kept),
        expect: |_| {
            Ok(vec![
                one("local_timer")
                    .does("hrtimer", &["posix_timer_fn"])
                    .does("signal", &[])
                    .end("return"),
                early(),
                syscall(libc::SYS_rt_sigreturn, "rt_sigreturn"),
            ])
        },
    },
    Trigger {
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
    Trigger {
        name: "timer_foreign",
        about: "a timer that another process left behind on this CPU",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(100), || actor.await_partner())
        },
        partner: Some(|scenario| Ok(Box::new(Foreign::new(scenario, false)?))),
        expect: |_| {
            Ok(vec![
                one("local_timer")
                    .does("hrtimer", &["timerfd_tmrproc"])
                    .end("return"),
                early(),
            ])
        },
    },
    Trigger {
        name: "timer_gone",
        about: "the same timer, which a housekeeping CPU cancels: its interrupt finds nothing",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(100), || actor.await_partner())
        },
        partner: Some(|scenario| Ok(Box::new(Foreign::new(scenario, true)?))),
        expect: |scenario| {
            let came = one("local_timer").end("return");
            // There a thread may run such timers, and find none either (hrtimer_interrupt, v6.12); and a housekeeping
            // CPU was seen to cancel the timer of a deadline server here at that time: which of the two the interrupt
            // was for cannot be told.
            if scenario.guest.realtime {
                return Ok(vec![came, one("local_timer").any_number()]);
            }
            let gone = came.empty().remedy("timer-gone").sent_by(Sender {
                kind: "remote",
                process: Some(std::process::id()),
                callback: Some("timerfd_tmrproc"),
                through: "timerfd_release",
            });
            Ok(vec![gone, early()])
        },
    },
    Trigger {
        name: "timer_wheel",
        about: "the timeout of a task that sleeps on this CPU: a timer of the wheel",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(300), || actor.await_partner())
        },
        partner: Some(|scenario| {
            Ok(Box::new(Waiter {
                scenario,
                armed: 0,
                peer: None,
                thread: None,
                _migration: Setting::change(MIGRATION, "0")?,
            }))
        }),
        expect: |scenario| {
            let waiter = Who::Thread(u32::try_from(scenario.fact(Fact::Helper)?)?);
            let woken = if scenario.guest.version < (6, 9) {
                vec![
                    one("local_timer")
                        .does("softirq", &["TIMER"])
                        .does("timer", &["process_timeout"])
                        .does("switch", &[])
                        .end("switched"),
                    // Timers of the kernel that were due meanwhile waited for this one.
                    one_of(&["local_timer", "irq_work"]).any_number(),
                ]
            } else {
                // From 6.9 on such timers go to a CPU that is not isolated (kernel/time/timer_migration.c).
                vec![
                    one_of(&["reschedule", "call_function_single"])
                        .does("switch", &[])
                        .end("switched"),
                ]
            };
            let call = syscall(libc::SYS_recvfrom, "recvfrom");
            Ok([woken, vec![call.of(waiter).end("switched")]].concat())
        },
    },
];

/// An emulated timer may fire a little early: the kernel finds nothing due and sets it again.
pub(super) fn early() -> Expect {
    one("local_timer").empty().any_number()
}

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

/// Keeps timers on the CPU that arms them.
pub(super) fn kept<'a>(_: &'a Scenario<'a>) -> Result<Box<dyn Partner + 'a>> {
    Ok(Box::new(KeepTimers(Setting::change(MIGRATION, "0")?)))
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

/// From arming until a timer is due: long enough for the CPU to get quiet meanwhile.
const DELAY: Duration = Duration::from_secs(5);

fn later(from: u64, time: Duration) -> u64 {
    from + u64::try_from(time.as_nanos()).unwrap_or(0)
}

/// Sleeps until `due`, which must be after the beginning.
fn outlast(scenario: &Scenario<'_>, armed: u64, due: u64, what: &'static str) -> Result<()> {
    let (begin, _) = scenario.shared_page.marks();
    if later(armed, DELAY) <= begin {
        return Err(TooLate(what).into());
    }
    while sys::now() < due {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A timer that was armed on the watched CPU by a thread that has left it.
#[derive(Debug)]
struct Foreign<'a> {
    scenario: &'a Scenario<'a>,
    armed: u64,
    timer: Option<sys::TimerFd>,
    /// It is taken back before it is due.
    is_cancelled: bool,
    _migration: Setting,
}

impl<'a> Foreign<'a> {
    fn new(scenario: &'a Scenario<'a>, is_cancelled: bool) -> Result<Self> {
        Ok(Self {
            scenario,
            armed: 0,
            timer: None,
            is_cancelled,
            _migration: Setting::change(MIGRATION, "0")?,
        })
    }
}

impl Partner for Foreign<'_> {
    fn prepare(&mut self) -> Result<()> {
        let cpu = self.scenario.guest.cpu();
        let housekeeping = self.scenario.guest.housekeeping.clone();
        let stranger =
            thread::Builder::new()
                .name("stranger".into())
                .spawn(move || -> Result<_> {
                    sys::set_policy(0, libc::SCHED_FIFO, 50)?;
                    sys::pin(0, &[cpu])?;
                    let armed = sys::now();
                    let timer = sys::TimerFd::arm_at(later(armed, DELAY))?;
                    sys::pin(0, &housekeeping)?;
                    Ok((timer, armed))
                })?;
        let (timer, armed) = stranger
            .join()
            .map_err(|_panic| anyhow::anyhow!("the thread that arms the timer died"))?
            .context("a timer left on the watched CPU")?;
        self.timer = Some(timer);
        self.armed = armed;
        Ok(())
    }

    fn act(&mut self) -> Result<()> {
        if self.is_cancelled {
            self.timer = None;
        }
        let due = later(self.armed, DELAY);
        outlast(self.scenario, self.armed, due, "the timer's end")
    }
}

/// A real-time thread on the watched CPU that waits for a byte, with a timeout, again and again.
#[derive(Debug)]
struct Waiter<'a> {
    scenario: &'a Scenario<'a>,
    armed: u64,
    /// Its end wakes the thread for good.
    peer: Option<UnixStream>,
    thread: Option<thread::JoinHandle<()>>,
    _migration: Setting,
}

impl Partner for Waiter<'_> {
    fn prepare(&mut self) -> Result<()> {
        let cpu = self.scenario.guest.cpu();
        let (socket, peer) = UnixStream::pair()?;
        socket.set_read_timeout(Some(DELAY))?;
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("waiter".into())
            .spawn(move || {
                let ready = sys::set_policy(0, libc::SCHED_FIFO, 50)
                    .and_then(|()| sys::pin(0, &[cpu]))
                    .map(|()| sys::thread_id());
                let go = ready.is_ok();
                if tell.send(ready).is_ok() && go {
                    sys::receive_until_closed(socket.as_raw_fd());
                }
            })?;
        let tid = told.recv()?.context("the waiting thread")?;
        self.scenario.shared_page.set(Fact::Helper, tid.into());
        self.armed = sys::now();
        self.peer = Some(peer);
        self.thread = Some(thread);
        Ok(())
    }

    fn act(&mut self) -> Result<()> {
        // The wheel rounds up, by up to an eighth of the time (kernel/time/timer.c).
        let due = later(self.armed, DELAY + DELAY / 6);
        outlast(self.scenario, self.armed, due, "the timeout")
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
