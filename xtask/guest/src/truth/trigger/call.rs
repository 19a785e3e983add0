//! Cross-calls: another CPU has a function run here.

use std::{fs, os::fd::OwnedFd, time::Duration};

use anyhow::{Context, Result};

use super::{
    super::{
        expect::{Expect, one, one_of},
        guest::Setting,
        interrupts::Interrupts,
        shared_page::Fact,
        sys::{self, PerfAttr},
    },
    Partner, Scenario, Trigger, sent_by_director, sent_by_sibling, timer,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "call_membarrier",
        about: "membarrier(PRIVATE_EXPEDITED) by a sibling thread",
        act: |actor| {
            membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)?;
            actor.sibling(|| {
                let _ = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
            })?;
            actor.perform(|| actor.cue())
        },
        partner: None,
        expect: |scenario| {
            let call = called(scenario, one("call_function_single"), "ipi_mb");
            Ok(vec![sent_by_sibling(call, "ipi_mb", "membarrier")])
        },
    },
    Trigger {
        name: "call_perf",
        about: "a perf event of this CPU enabled from another one",
        act: |actor| actor.perform(|| actor.await_partner()),
        partner: Some(|scenario| {
            Ok(Box::new(EnablePerf::open(
                scenario.guest.cpu(),
                sys::PERF_COUNT_SW_DUMMY,
                0,
            )?))
        }),
        expect: |scenario| {
            let call = called(scenario, one("call_function_single"), "remote_function");
            Ok(vec![sent_by_director(call, "ioctl")])
        },
    },
    Trigger {
        name: "call_text_patching",
        about: "a static key flipped: every CPU is called to take notice of the new code",
        act: |actor| actor.perform(|| actor.await_partner()),
        partner: Some(|scenario| {
            // A first flip, taken back at once: the count below is of the second.
            drop(Setting::change(SCHEDSTATS, "1")?);
            Ok(Box::new(FlipKey {
                scenario,
                flipped: None,
            }))
        }),
        expect: |scenario| {
            let count = usize::try_from(scenario.fact(Fact::Count)?)?;
            anyhow::ensure!(count > 0, "/proc/interrupts saw no call");
            let call = called(
                scenario,
                one_of(&["call_function", "call_function_single"]),
                "do_sync_core",
            );
            Ok(vec![sent_by_director(call, "write").times(count)])
        },
    },
    Trigger {
        name: "call_then_irq_work",
        about: "a perf event that fires once: enabled by a call, fired by its timer, ended by irq_work",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner())
        },
        partner: Some(|scenario| {
            let event = EnablePerf::open(
                scenario.guest.cpu(),
                sys::PERF_COUNT_SW_CPU_CLOCK,
                20_000_000,
            )?;
            Ok(Box::new(event))
        }),
        expect: |scenario| {
            let raised = one("irq_work");
            Ok(vec![
                sent_by_director(
                    called(scenario, one("call_function_single"), "remote_function"),
                    "ioctl",
                ),
                one("local_timer").does("hrtimer", &["perf_swevent_hrtimer"]),
                // Who raises it is told from 6.4 on (include/trace/events/ipi.h, `ipi_send_cpu`).
                if scenario.guest.version < (6, 4) {
                    raised
                } else {
                    raised.raised_in("perf_swevent_hrtimer")
                },
                timer::early(),
            ])
        },
    },
];

/// A setting with a static key.
pub(super) const SCHEDSTATS: &str = "/proc/sys/kernel/sched_schedstats";

/// Asks for a barrier, or registers for it.
pub(super) fn membarrier(command: i32) -> Result<()> {
    // SAFETY: plain numbers.
    sys::check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
        .context("membarrier")?;
    Ok(())
}

fn called(scenario: &Scenario<'_>, expect: Expect, function: &str) -> Expect {
    let expect = expect.end("return");
    if scenario.guest.names_calls() {
        expect.does("csd", &[function])
    } else {
        expect
    }
}

/// A perf event of a CPU, which is enabled.
#[derive(Debug)]
pub(super) struct EnablePerf {
    event: OwnedFd,
}

impl EnablePerf {
    pub(super) fn open(cpu: u32, config: u64, period: u64) -> Result<Self> {
        let attr = PerfAttr {
            kind: sys::PERF_TYPE_SOFTWARE,
            config,
            sample_period: period,
            flags: 1,
            wakeup_events: 1,
            ..PerfAttr::default()
        };
        let cpu = i32::try_from(cpu)?;
        let event = sys::perf_event(&attr, -1, cpu).context("perf_event_open")?;
        Ok(Self { event })
    }
}

impl Partner for EnablePerf {
    fn act(&mut self) -> Result<()> {
        // Enables the event for one overflow; an event without a period has none.
        match sys::ioctl(&self.event, sys::PERF_REFRESH, 1) {
            Ok(()) => Ok(()),
            Err(_) => Ok(sys::ioctl(&self.event, sys::PERF_ENABLE, 0)?),
        }
    }
}

#[derive(Debug)]
struct FlipKey<'a> {
    scenario: &'a Scenario<'a>,
    flipped: Option<Setting>,
}

impl Partner for FlipKey<'_> {
    fn act(&mut self) -> Result<()> {
        let cpu = self.scenario.guest.cpu();
        let before = Interrupts::read()?;
        self.flipped = Some(Setting::change(SCHEDSTATS, "1")?);
        let calls = before.delta(&Interrupts::read()?, "CAL", cpu);
        self.scenario.shared_page.set(Fact::Count, calls);
        Ok(())
    }
}

impl Drop for FlipKey<'_> {
    fn drop(&mut self) {
        if self.flipped.is_some() {
            let _ = fs::write(SCHEDSTATS, "0");
        }
    }
}
