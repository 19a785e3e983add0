//! A non-maskable interrupt.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::{
    super::{expect::one, interrupts::Interrupts, shared_page::Fact},
    Partner, Scenario, Trigger,
};

/// The rows.
pub const ALL: &[Trigger] = &[Trigger {
    name: "nmi",
    about: "the kernel asks every CPU for its backtrace (sysrq l)",
    act: |actor| actor.perform_after(|| (), Duration::from_millis(500), || actor.await_partner()),
    partner: Some(|scenario| Ok(Box::new(Backtrace(scenario)))),
    expect: |scenario| {
        let count = usize::try_from(scenario.fact(Fact::Count)?)?;
        anyhow::ensure!(count > 0, "/proc/interrupts saw no NMI");
        Ok(vec![
            one("nmi").name("nmi_cpu_backtrace_handler").times(count),
            // What is printed in an NMI is passed on by an irq_work of that CPU.
            one("irq_work").any_number(),
        ])
    },
}];

#[derive(Debug)]
struct Backtrace<'a>(&'a Scenario<'a>);

impl Partner for Backtrace<'_> {
    fn act(&mut self) -> Result<()> {
        let cpu = self.0.guest.cpu();
        let before = Interrupts::read()?;
        fs::write("/proc/sysrq-trigger", "l").context("sysrq")?;
        std::thread::sleep(Duration::from_millis(100));
        let count = before.delta(&Interrupts::read()?, "NMI", cpu);
        self.0.shared_page.set(Fact::Count, count);
        Ok(())
    }
}
