//! Every test: on this machine, the ground truth in a guest of every kernel line, and the selftests
//! of the task-isolation series in a guest of each of its kernels.
//!
//! A run of everything begins with the guests. They leave a part of the machine alone, and the
//! compiler takes what is left: it checks, compiles the tests of this machine and builds the kernels
//! of the series, all at idle priority. The tests of this machine run when the guests have ended.

mod beside;
mod golden;
mod host;
mod reboot;
mod results;
mod side_by_side;
mod times;
mod truth;

use std::{
    process::ExitCode,
    thread::{self, ScopedJoinHandle},
    time::Instant,
};

use anyhow::{Result, bail};
use isol_trace_guest::truth::plan::{self, Part};

use self::{beside::Beside, truth::Job};
pub(crate) use self::{
    times::Times,
    truth::{by_name, some},
};
use crate::{
    exec::Pace,
    kernel::{self, Kernel},
    lint,
    phases::Phases,
    say::say,
    setup::{BuildTools, LINES, Setup},
    tally::{Tally, Verdict},
    verdicts,
    vm::{Host, qemu::Accel},
};

/// Where to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// On this machine and in guests.
    All,
    /// On this machine.
    Machine,
    /// In guests.
    Guests,
}

/// What to test.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The checks of `lint` as well, beside the guests.
    pub(crate) lint: bool,
    /// Where.
    pub(crate) places: Places,
    /// Only these kernel lines; all, and the kernels of the series, if none is named.
    pub(crate) kernels: Vec<String>,
    /// Write the tables of probe verdicts instead of comparing.
    pub(crate) bless: bool,
    /// How many guests run at once; as many as the machine has room for, if none is named.
    pub(crate) side_by_side: Option<usize>,
    /// What runs the guests.
    pub(crate) accel: Accel,
}

/// Runs the tests, says where the time went and prints the closing line.
pub(crate) fn run(setup: &Setup, selection: &Selection) -> Result<ExitCode> {
    let mut run = Run {
        setup,
        selection,
        tools: setup.build_tools()?,
        tally: Tally::default(),
        times: Times::default(),
        phase: Phases::begin(),
    };
    // Who names lines means those alone; `cargo xtask kernel test` is for the kernels of the series.
    if selection.places == Places::Machine || !selection.kernels.is_empty() {
        run.some()?;
    } else {
        run.everything()?;
    }
    say(format!("test: {}", run.times));
    Ok(run.tally.close())
}

/// A run so far.
struct Run<'run> {
    setup: &'run Setup,
    selection: &'run Selection,
    tools: BuildTools,
    tally: Tally,
    times: Times,
    phase: Phases,
}

impl Run<'_> {
    /// This machine's tests, then the kernel lines that are named.
    fn some(&mut self) -> Result<()> {
        if self.selection.places != Places::Guests {
            host::compile(&self.tools, Pace::Full);
            self.phase_ends("compiling this machine's tests");
            self.host()?;
        }
        if self.selection.places == Places::Machine {
            say("test: the guests are left out (--fast)");
            return Ok(());
        }
        self.guests(None, &Beside::default())
    }

    /// The guests; beside them what only compiles; then this machine's tests.
    fn everything(&mut self) -> Result<()> {
        let (setup, selection) = (self.setup, self.selection);
        let began = Instant::now();
        let tools = self.tools.clone();
        let beside = Beside::default();
        thread::scope(|scope| {
            // Building takes longer than anything else, and guests leave some of a machine alone.
            let work = beside.begin();
            let kernels = scope.spawn(|| {
                let _work = work;
                kernel::build_idly(setup)
            });
            let work = beside.begin();
            let compiled = scope.spawn(|| {
                let _work = work;
                compiled_beside(&tools, selection)
            });
            self.guests(Some((kernels, began)), &beside)?;
            let Ok((tally, times)) = compiled.join() else {
                bail!("checking and compiling beside the guests panicked");
            };
            self.phase_ends("waiting for what is compiled beside the guests");
            self.tally.merge(tally);
            self.times.merge(times);
            if selection.places == Places::Guests {
                return Ok(());
            }
            self.host()
        })
    }

    /// This machine's tests.
    fn host(&mut self) -> Result<()> {
        self.tally.merge(host::run(&self.tools, &mut self.times)?);
        self.phase_ends("this machine's tests");
        Ok(())
    }

    /// A guest of each line, then those of the series' kernels in a run that began then.
    fn guests(
        &mut self,
        series: Option<(ScopedJoinHandle<'_, Vec<Kernel>>, Instant)>,
        beside: &Beside,
    ) -> Result<()> {
        let (setup, selection) = (self.setup, self.selection);
        let lines = selection.lines();
        let fetch = || {
            // One that cannot be had fails when its turn comes, and says why.
            let _ = lines
                .iter()
                .try_for_each(|line| setup.kernel(line).map(drop));
            Ok(())
        };
        let host = match Host::open_beside(setup, fetch) {
            Ok((host, ())) => host,
            Err(error) => {
                self.tally
                    .add("guests", &Verdict::Fail(format!("{error:#}")));
                return Ok(());
            }
        };
        self.phase_ends("the guests' programs");
        let jobs = |part: Part| {
            let lines = lines.iter().map(String::as_str);
            let lines = lines.filter(move |line| part != Part::Beside || plan::has_beside(line));
            lines.map(move |line| Job { line, part })
        };
        let room = selection.side_by_side.unwrap_or_else(side_by_side::room);
        self.side_by_side(room, jobs(Part::Alone), &host, beside);
        self.phase_ends("the kernel lines");
        // Each of these keeps one core busy, and no test of theirs minds another guest.
        self.side_by_side(2 * room, jobs(Part::Beside), &host, beside);
        self.phase_ends("guests that have others beside them");
        let Some((kernels, began)) = series else {
            return Ok(());
        };
        let Ok(built) = kernels.join() else {
            bail!("building the kernels of the series panicked");
        };
        self.phase_ends("waiting for the first kernel of the series");
        let tally = kernel::tally(setup, &host, built, began, &mut self.times)?;
        self.tally.merge(tally);
        self.phase_ends("the kernels of the series");
        Ok(())
    }

    /// Guests of kernel lines, so many at once.
    fn side_by_side<'line>(
        &mut self,
        at_once: usize,
        jobs: impl Iterator<Item = Job<'line>>,
        host: &Host,
        beside: &Beside,
    ) {
        let (setup, selection) = (self.setup, self.selection);
        let jobs: Vec<_> = jobs.collect();
        let tested = side_by_side::all(at_once, jobs.iter().copied(), |job| {
            job_tally(setup, host, job, selection, beside)
        });
        for (job, tested) in jobs.iter().zip(tested) {
            let why = match tested {
                Some(Ok((tally, times))) => {
                    self.tally.merge(tally);
                    self.times.merge(times);
                    continue;
                }
                Some(Err(error)) => format!("{error:#}"),
                None => "its test panicked".to_owned(),
            };
            self.tally.add(&job.name(), &Verdict::Fail(why));
        }
    }

    fn phase_ends(&mut self, name: &str) {
        self.phase.end(name);
        if let Some((name, time)) = self.phase.parts().last() {
            self.times.part(name, *time);
        }
    }
}

/// The checks of `lint`, if they are wanted, and compiling this machine's tests, at idle priority.
fn compiled_beside(tools: &BuildTools, selection: &Selection) -> (Tally, Times) {
    let (mut tally, mut times) = (Tally::default(), Times::default());
    if selection.lint {
        let (checked, phases) = lint::checks(tools, Pace::Idle);
        tally.merge(checked);
        for (name, time) in phases.parts() {
            times.part(&format!("lint, beside the guests: {name}"), *time);
        }
    }
    if selection.places != Places::Guests {
        let mut phase = Phases::begin();
        host::compile(tools, Pace::Idle);
        phase.end("compiling this machine's tests, beside the guests");
        for (name, time) in phase.parts() {
            times.part(name, *time);
        }
    }
    (tally, times)
}

impl Selection {
    fn lines(&self) -> Vec<String> {
        if self.kernels.is_empty() {
            LINES.iter().map(|line| line.name.to_owned()).collect()
        } else {
            self.kernels.clone()
        }
    }
}

/// A guest of a kernel line, and what the doctor prints there.
fn job_tally(
    setup: &Setup,
    host: &Host,
    job: Job<'_>,
    selection: &Selection,
    beside: &Beside,
) -> Result<(Tally, Times)> {
    let (name, mut times) = (job.name(), Times::default());
    let mut phase = Phases::begin();
    let mut tally = verdicts::of_two_runs(&name, |failed| {
        if !failed.is_empty() {
            // What failed beside a compiler is asked again without one.
            beside.wait();
        }
        truth::boot(setup, host, job, selection, failed, &mut times)
    })?;
    phase.end(&name);
    if job.part == Part::Alone && reboot::belongs(job.line) {
        say(format!("test: what the doctor prints, on {name}"));
        tally.merge(verdicts::of_two_runs(&name, |_| {
            Ok(reboot::run(setup, host, job.line, selection.accel))
        })?);
        phase.end(&format!("{name}: what the doctor prints, two boots"));
    }
    for (part, time) in phase.parts() {
        times.part(part, *time);
    }
    Ok((tally, times))
}
