//! Runs provocations one after the other under one tracer, and asks its log for each.

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
    provoke::{Provocation, Scene},
    results::{Verdict, tell},
    stage::{Phase, SharedStage, Stage},
    sys,
};

const PATIENCE: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(2);

/// A provocation that was performed: when, by whom, and what it must have left in the log.
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

/// Performs a provocation. An error that is a [`super::guest::Skip`] says that it cannot be had.
pub fn perform(guest: &Guest, provocation: &Provocation) -> Result<Performed> {
    let stage = SharedStage::create()?;
    let scene = Scene {
        guest,
        stage: &stage,
    };
    let mut partner = match provocation.partner {
        Some(make) => Some(make(&scene)?),
        None => None,
    };
    let mut actor = Actor::start(guest, provocation.name, &stage)?;
    actor.until(&stage, Phase::Ready)?;
    if let Some(partner) = &mut partner {
        partner.prepare()?;
    }
    guest.wait_quiet()?;
    stage.enter(Phase::Go);
    actor.until(&stage, Phase::Begun)?;
    if let Some(partner) = &mut partner {
        partner.act()?;
    }
    stage.partner.store(1, std::sync::atomic::Ordering::Release);
    if actor.until_acted(&stage)? {
        stage.mark_end(sys::now());
    }
    let expected = (provocation.expect)(&scene)?;
    let (begin, end) = stage.marks();
    let (_, actor_tid) = stage.who();
    stage.enter(Phase::Leave);
    let succeeded = actor.wait()?.success();
    Ok(Performed {
        begin,
        end,
        actor: actor_tid,
        succeeded,
        expected,
    })
}

/// What a log says of a performed provocation.
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

/// Judges a performed provocation by a log. `whole` says that the log has `back` records.
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
        judgement.noise &= found.missing.is_empty() && !found.provoked;
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
    /// Starts the actor of a provocation.
    pub fn start(guest: &Guest, name: &str, stage: &SharedStage) -> Result<Self> {
        let second = guest.second();
        Self::start_on(guest, name, stage, guest.cpu(), second)
    }

    /// Starts the actor of a provocation on a CPU.
    pub fn start_on(
        guest: &Guest,
        name: &str,
        stage: &SharedStage,
        cpu: u32,
        second: Option<u32>,
    ) -> Result<Self> {
        let fd = stage.fd().context("the stage has no file")?;
        let child = Command::new(env::current_exe()?)
            .args(["provoke", name])
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
    pub fn until(&mut self, stage: &Stage, phase: Phase) -> Result<()> {
        let start = Instant::now();
        loop {
            if stage.is(Phase::Skipped) {
                return skip(stage.reason());
            }
            let now = stage.phase.load(std::sync::atomic::Ordering::Acquire);
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
    fn until_acted(&mut self, stage: &Stage) -> Result<bool> {
        let start = Instant::now();
        while !stage.is(Phase::Acted) {
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
