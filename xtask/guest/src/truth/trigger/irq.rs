//! A device's interrupt, moved onto the watched CPU.

use std::{fs, io::Write, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    super::{
        expect::{Expect, one, one_of},
        guest::{Setting, skip},
        interrupts::Interrupts,
        shared_page::Fact,
    },
    Partner, Scenario, Trigger, realtime_threads, timer,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "irq_device",
        about: "the serial port's interrupt, from a write on another CPU",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner())
        },
        partner: Some(|scenario| Ok(Box::new(Serial::aim(scenario)?))),
        expect: |scenario| interrupts(scenario),
    },
    Trigger {
        name: "irq_moved_away",
        about: "the serial port's interrupt leaves the CPU, which must clean its old vector up",
        act: |actor| {
            actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner())
        },
        partner: Some(|scenario| {
            if scenario.guest.version < (6, 8) {
                return skip(
                    "before 6.8 the old vector is cleaned up by an IPI without a tracepoint",
                );
            }
            Ok(Box::new(Leave(Serial::aim(scenario)?)))
        }),
        expect: |scenario| {
            let cleanup = one("local_timer")
                .does("softirq", &["TIMER"])
                .does("timer", &["vector_cleanup_callback"])
                .end("return");
            // The CPU is called so that it sets its timer.
            let kick = one_of(&["call_function_single", "reschedule"]).any_number();
            Ok([
                interrupts(scenario)?,
                vec![cleanup, kick],
                realtime_threads(scenario),
            ]
            .concat())
        },
    },
];

/// As many interrupts as the kernel counted, and what they bring with them.
fn interrupts(scenario: &Scenario<'_>) -> Result<Vec<Expect>> {
    let count = usize::try_from(scenario.fact(Fact::Count)?)?;
    ensure!(count > 0, "/proc/interrupts saw no interrupt");
    let interrupt = one("device_irq")
        .name(DEVICE)
        .irq(scenario.fact(Fact::Irq)?)
        .origin("device");
    // Where the handler is a thread of the CPU, the next interrupt may come before the task is
    // back, and is then an activity: at least the first one is a cause.
    let (caused, more) = if scenario.guest.realtime {
        (1, Some(interrupt.clone().any_number()))
    } else {
        (count, None)
    };
    let mut expected: Vec<Expect> = more.into_iter().collect();
    expected.extend([
        interrupt.times(caused),
        // Once a second an interrupt has its randomness mixed in by a timer of its
        // CPU, which is set by irq_work (drivers/char/random.c).
        one("irq_work").any_number(),
        one("local_timer")
            .does("timer", &["mix_interrupt_randomness"])
            .any_number(),
        timer::early(),
    ]);
    Ok(expected)
}

const DEVICE: &str = "ttyS0";

/// The first serial port, with its interrupt on the watched CPU.
#[derive(Debug)]
struct Serial<'a> {
    scenario: &'a Scenario<'a>,
    port: fs::File,
    irq: u64,
    affinity: Setting,
}

impl<'a> Serial<'a> {
    fn aim(scenario: &'a Scenario<'a>) -> Result<Self> {
        let path = format!("/dev/{DEVICE}");
        let Ok(port) = fs::OpenOptions::new().write(true).open(&path) else {
            return skip(format!("this machine has no {path}"));
        };
        let Some(irq) = Interrupts::read()?.irq_of(DEVICE) else {
            return skip(format!("{DEVICE} has no interrupt"));
        };
        let cpu = scenario.guest.cpu();
        let affinity = Setting::change(
            &format!("/proc/irq/{irq}/smp_affinity_list"),
            &cpu.to_string(),
        )?;
        let mut serial = Self {
            scenario,
            port,
            irq,
            affinity,
        };
        // An edge interrupt moves when it next arrives, on the old CPU still.
        for _ in 0..20 {
            if serial.ring()? > 0 {
                return Ok(serial);
            }
        }
        skip(format!(
            "the interrupt of {DEVICE} does not move to CPU {cpu}"
        ))
    }

    /// Writes to the port; answers how many interrupts the watched CPU got of it.
    fn ring(&mut self) -> Result<u64> {
        let label = self.irq.to_string();
        let cpu = self.scenario.guest.cpu();
        let before = Interrupts::read()?;
        self.port.write_all(b"\r").context(DEVICE)?;
        thread::sleep(Duration::from_millis(100));
        Ok(before.delta(&Interrupts::read()?, &label, cpu))
    }
}

impl Partner for Serial<'_> {
    fn act(&mut self) -> Result<()> {
        let count = self.ring()?;
        self.scenario.shared_page.set(Fact::Count, count);
        self.scenario.shared_page.set(Fact::Irq, self.irq);
        Ok(())
    }
}

/// The interrupt on its way off the watched CPU.
#[derive(Debug)]
struct Leave<'a>(Serial<'a>);

impl Partner for Leave<'_> {
    fn act(&mut self) -> Result<()> {
        let serial = &mut self.0;
        serial
            .affinity
            .set(&serial.scenario.guest.helper().to_string())?;
        // The next interrupt still arrives here and takes the move along; the one
        // after that, on the new CPU, has the old vector cleaned up.
        let mut count = 0;
        for _ in 0..20 {
            let here = serial.ring()?;
            count += here;
            if here == 0 && count > 0 {
                serial.ring()?;
                serial.scenario.shared_page.set(Fact::Count, count);
                serial.scenario.shared_page.set(Fact::Irq, serial.irq);
                return Ok(());
            }
        }
        skip(format!("the interrupt of {DEVICE} does not leave"))
    }
}
