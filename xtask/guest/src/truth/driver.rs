//! Runs triggers one after the other under one tracer, and asks its log for each.

use std::{
    env,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    check,
    expect::Expect,
    guest::{Guest, skip},
    log::{Breach, Log},
    results::{Verdict, tell},
    shared_page::{MappedPage, Phase, SharedPage},
    sys,
    trigger::{Scenario, Trigger},
};

const PATIENCE: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(2);

/// A trigger that was performed: when, by whom, and what it must have left in the log.
#[derive(Debug)]
pub struct Performed {
    begin: u64,
    end: u64,
    actor: u32,
    succeeded: bool,
    expected: Vec<Expect>,
}

impl Performed {
    /// Beginning and end.
    #[must_use]
    pub const fn marks(&self) -> (u64, u64) {
        (self.begin, self.end)
    }

    /// The thread on the watched CPU.
    #[must_use]
    pub const fn actor(&self) -> u32 {
        self.actor
    }

    /// Whether the actor did all that it was to do.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// For an observer that sees no senders.
    #[must_use]
    pub fn by_anyone(mut self) -> Self {
        let expected = self.expected.into_iter();
        self.expected = expected.map(Expect::by_anyone).collect();
        self
    }
}

/// Performs a trigger. An error that is a [`super::guest::Skip`] says that it cannot be had.
pub fn perform(guest: &Guest, trigger: &Trigger) -> Result<Performed> {
    let shared_page = MappedPage::create()?;
    let scenario = Scenario {
        guest,
        shared_page: &shared_page,
    };
    let mut partner = match trigger.partner {
        Some(make) => Some(make(&scenario)?),
        None => None,
    };
    let mut actor = Actor::start(guest, trigger.name, &shared_page)?;
    actor.until(&shared_page, Phase::Ready)?;
    if let Some(partner) = &mut partner {
        partner.prepare()?;
    }
    guest.wait_quiet()?;
    shared_page.enter(Phase::Go);
    actor.until(&shared_page, Phase::Begun)?;
    if let Some(partner) = &mut partner {
        partner.act()?;
    }
    shared_page
        .partner
        .store(1, std::sync::atomic::Ordering::Release);
    if actor.until_acted(&shared_page)? {
        shared_page.mark_end(sys::now());
    }
    let expected = (trigger.expect)(&scenario)?;
    let (begin, end) = shared_page.marks();
    let (_, actor_tid) = shared_page.who();
    shared_page.enter(Phase::Leave);
    let succeeded = actor.wait()?.success();
    Ok(Performed {
        begin,
        end,
        actor: actor_tid,
        succeeded,
        expected,
    })
}

/// What a log says of a performed trigger.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    problems: Vec<String>,
    noise: bool,
}

impl Judgement {
    /// Nothing is wrong but breaches besides that the kernel may have caused on its own.
    #[must_use]
    pub fn only_noise(&self) -> bool {
        self.noise && !self.problems.is_empty()
    }

    /// As a verdict; `remark` is what a pass says.
    #[must_use]
    pub fn verdict(&self, remark: &str) -> Verdict {
        match Verdict::of_problems(&self.problems) {
            Verdict::Pass(_) => Verdict::Pass(remark.to_owned()),
            other => other,
        }
    }
}

/// Judges a performed trigger by a log. `whole` says that the log has `back` records.
#[must_use]
pub fn judge(guest: &Guest, performed: &Performed, log: &Log, whole: bool) -> Judgement {
    let mut judgement = Judgement {
        problems: Vec::new(),
        noise: true,
    };
    let mut seen: Vec<&Breach> = Vec::new();
    for &cpu in &guest.watched {
        let breaches = log.window(cpu, performed.begin, performed.end);
        let expected: Vec<Expect> = performed
            .expected
            .iter()
            .filter(|expect| expect.cpu.unwrap_or(guest.cpu()) == cpu)
            .cloned()
            .collect();
        let mut found = check::window(&expected, &breaches, performed.actor);
        if whole {
            found.missing.extend(
                breaches
                    .iter()
                    .filter(|one| one.end == "switched" && one.task.tid == performed.actor)
                    .filter(|one| !log.backs.iter().any(|back| back.breach == Some(one.seq)))
                    .map(|one| format!("breach {} was switched away and never back", one.seq)),
            );
        }
        judgement.noise &= found.missing.is_empty() && !found.triggered;
        let all = found.missing.into_iter().chain(found.stray);
        judgement
            .problems
            .extend(all.map(|one| format!("CPU {cpu}: {one}")));
        seen.extend(breaches);
    }
    if !judgement.problems.is_empty() {
        for breach in seen {
            tell(&serde_json::to_string(breach).unwrap_or_default());
        }
    }
    judgement
}

/// The process on the watched CPU.
#[derive(Debug)]
pub struct Actor {
    child: Child,
}

impl Actor {
    /// Starts the actor of a trigger.
    pub fn start(guest: &Guest, name: &str, shared_page: &MappedPage) -> Result<Self> {
        let second = guest.second();
        Self::start_on(guest, name, shared_page, guest.cpu(), second)
    }

    /// Starts the actor of a trigger on a CPU.
    pub fn start_on(
        guest: &Guest,
        name: &str,
        shared_page: &MappedPage,
        cpu: u32,
        second: Option<u32>,
    ) -> Result<Self> {
        let fd = shared_page.fd().context("the shared page has no file")?;
        let child = Command::new(env::current_exe()?)
            .args(["trigger", name])
            .args([fd.to_string(), cpu.to_string(), guest.helper().to_string()])
            .args(second.map(|cpu| cpu.to_string()))
            .spawn()
            .context("the actor cannot be started")?;
        Ok(Self { child })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a phase, or a later one.
    pub fn until(&mut self, shared_page: &SharedPage, phase: Phase) -> Result<()> {
        let start = Instant::now();
        loop {
            if shared_page.is(Phase::Skipped) {
                return skip(shared_page.reason());
            }
            let now = shared_page.phase.load(std::sync::atomic::Ordering::Acquire);
            if now >= phase as u32 {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the actor ended before {phase:?}: {status}");
            }
            if start.elapsed() > PATIENCE {
                bail!("the actor does not reach {phase:?}");
            }
            thread::sleep(STEP);
        }
    }

    /// Waits for the end of the act; answers whether the actor itself ended.
    fn until_acted(&mut self, shared_page: &SharedPage) -> Result<bool> {
        let start = Instant::now();
        while !shared_page.is(Phase::Acted) {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            if start.elapsed() > PATIENCE {
                bail!("the act does not end");
            }
            thread::sleep(STEP);
        }
        Ok(false)
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
