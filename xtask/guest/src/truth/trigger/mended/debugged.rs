//! A debugger and its breakpoint.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};

use super::{
    super::{
        super::{
            process,
            shared_page::Fact,
            sys::{self, Code, Debugged},
        },
        Partner, Scenario, Trigger,
        actor::Actor,
    },
    row,
};

/// The rows.
pub(in super::super) const ROWS: &[Trigger] = &[
    row(
        "debugged",
        "code with a breakpoint of a debugger",
        run_code,
        Some(|scenario| Ok(Box::new(Debugger::new(scenario)))),
    ),
    row(
        "debugged_mended",
        "the same code, once the debugger has detached",
        run_code,
        Some(|scenario| Ok(Box::new(Gone(Debugger::new(scenario))))),
    ),
];

fn run_code(actor: &Actor) -> Result<()> {
    let code = Code::map()?;
    code.run();
    actor.shared_page.set(Fact::Address, code.address());
    actor.perform(|| {
        // Only then does the debugger wait for what follows.
        sys::spin_until(&actor.shared_page.cue, 1);
        code.run();
    })
}

/// A debugger that has a breakpoint in the actor.
#[derive(Debug)]
struct Debugger<'a> {
    scenario: &'a Scenario<'a>,
    debugged: Option<Debugged>,
}

impl<'a> Debugger<'a> {
    const fn new(scenario: &'a Scenario<'a>) -> Self {
        Self {
            scenario,
            debugged: None,
        }
    }

    fn pid(&self) -> u32 {
        self.scenario.shared_page.who().0
    }

    /// Attaches to it, and sets the breakpoint; answers what it took the place of.
    fn attach(&self) -> Result<(Debugged, u64, u8)> {
        let debugged = Debugged::attach(self.pid()).context("PTRACE_SEIZE")?;
        debugged.stop().context("PTRACE_INTERRUPT")?;
        let address = self.scenario.fact(Fact::Address)?;
        let before = debugged.put(address).context("a breakpoint")?;
        Ok((debugged, address, before))
    }

    fn cue(&self) {
        self.scenario.shared_page.cue.store(1, Ordering::Release);
    }
}

impl Partner for Debugger<'_> {
    fn prepare(&mut self) -> Result<()> {
        let (debugged, ..) = self.attach()?;
        debugged.go_on().context("PTRACE_CONT")?;
        self.debugged = Some(debugged);
        Ok(())
    }

    fn act(&mut self) -> Result<()> {
        let debugged = self.debugged.take().context("nobody is debugged")?;
        self.cue();
        let signal = debugged.wait()?;
        debugged.detach().context("PTRACE_DETACH")?;
        ensure!(signal == libc::SIGTRAP, "it stopped by signal {signal}");
        Ok(())
    }
}

/// A debugger that has taken its breakpoint away and is gone.
#[derive(Debug)]
struct Gone<'a>(Debugger<'a>);

impl Partner for Gone<'_> {
    fn prepare(&mut self) -> Result<()> {
        let (debugged, address, before) = self.0.attach()?;
        debugged.write(address, before)?;
        debugged.detach().context("PTRACE_DETACH")?;
        // What the rule has to look for.
        let tracer = process::status(&format!("/proc/{}/status", self.0.pid()), "TracerPid")?;
        ensure!(tracer == "0", "process {tracer} debugs it still");
        Ok(())
    }

    fn act(&mut self) -> Result<()> {
        self.0.cue();
        Ok(())
    }
}
