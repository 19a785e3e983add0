//! What has a CPU without a tick start it: a timer of CPU time, which somebody on another CPU sets for the process.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{
    super::{
        expect::{Expect, one, one_of},
        sys,
    },
    Partner, Scenario, Trigger,
    actor::Actor,
    sent_by_director, sent_by_sibling,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "tick_itimer_sibling",
        about: "a sibling thread's setitimer(ITIMER_PROF): the process's CPU is kicked to start its tick",
        act: |actor| {
            actor.sibling(|| {
                let _ = sys::set_profiling_timer(FAR);
            })?;
            ticking(actor, || actor.cue())
        },
        partner: None,
        expect: |_| {
            let kick = sent_by_sibling(kick(), KICK, "setitimer");
            Ok(with_ticks(kick))
        },
    },
    Trigger {
        name: "tick_cpu_timer_foreign",
        about: "another process's timer_settime on this one's CPU-time clock: the same kick",
        act: |actor| ticking(actor, || actor.await_partner()),
        partner: Some(|scenario| {
            Ok(Box::new(CountTime {
                scenario,
                timer: None,
            }))
        }),
        expect: |_| {
            let kick = sent_by_director(kick(), "timer_settime");
            Ok(with_ticks(kick))
        },
    },
];

/// The function of the kick (kernel/time/tick-sched.c).
const KICK: &str = "nohz_full_kick_func";

/// CPU time that no test takes.
const FAR: Duration = Duration::from_secs(100_000);

/// Does something, and goes on for some ticks.
fn ticking(actor: &Actor, act: impl FnMut()) -> Result<()> {
    actor.perform_after(|| (), Duration::from_millis(100), act)
}

/// The kick comes as a cross-call (`kernel/irq_work.c:irq_work_queue_on`, v6.12) and names what the tick is for.
fn kick() -> Expect {
    one("call_function_single")
        .does("tick", &["POSIX_TIMER"])
        .end("return")
        .remedy("tick-posix-timer")
}

/// A kick, and the ticks after it. What the kernel has put off until there is a tick, it then does.
fn with_ticks(kick: Expect) -> Vec<Expect> {
    let tick = one("local_timer").does("tick", &["POSIX_TIMER"]);
    vec![
        kick,
        tick.remedy("tick-posix-timer"),
        one_of(&["local_timer", "reschedule", "irq_work"]).any_number(),
    ]
}

/// A timer of the actor's CPU time.
#[derive(Debug)]
struct CountTime<'a> {
    scenario: &'a Scenario<'a>,
    timer: Option<sys::CpuTimer>,
}

impl Partner for CountTime<'_> {
    fn prepare(&mut self) -> Result<()> {
        let (pid, _) = self.scenario.shared_page.who();
        let timer = sys::CpuTimer::of(pid).context("a timer of another process's CPU time")?;
        self.timer = Some(timer);
        Ok(())
    }

    fn act(&mut self) -> Result<()> {
        let timer = self.timer.as_ref().context("there is no timer")?;
        timer.arm(FAR).context("timer_settime")
    }
}
