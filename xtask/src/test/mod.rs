//! Every test: on this machine, the ground truth in a guest of every kernel line, and the selftests
//! of the task-isolation series in a guest of each of its kernels.
//!
//! A run of everything begins with the guests. They leave a part of the machine alone, and the
//! compiler takes what is left: it checks, compiles the tests of this machine and builds the kernels
//! of the series, all at idle priority. The tests of this machine run when the guests have ended.

mod beside;
mod golden;
mod host;
mod line;
mod reboot;
mod side_by_side;

use std::{
    process::ExitCode,
    thread::{self, ScopedJoinHandle},
    time::Instant,
};

use anyhow::{Result, bail};
use isol_trace_guest::truth::plan::{self, Part};

use self::{beside::Beside, line::Job};
use crate::{
    exec::Pace,
    kernel::{self, Kernel},
    lint,
    phases::Phases,
    say::say,
    setup::{BuildTools, LINES, Setup},
    tally::{Tally, Verdict},
    truth::Times,
    verdicts::{FirstRun, Verdicts},
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
        let mut failed = Vec::new();
        self.side_by_side(room, jobs(Part::Alone), &host, &mut failed);
        self.phase_ends("the kernel lines");
        // Each of these keeps one core busy, and no test of theirs minds another guest.
        self.side_by_side(2 * room, jobs(Part::Beside), &host, &mut failed);
        self.phase_ends("guests that have others beside them");
        if let Some((kernels, began)) = series {
            let Ok(built) = kernels.join() else {
                bail!("building the kernels of the series panicked");
            };
            self.phase_ends("waiting for the first kernel of the series");
            let tally = kernel::tally(setup, &host, built, began, &mut self.times)?;
            self.tally.merge(tally);
            self.phase_ends("the kernels of the series");
        }
        self.again(failed, &host, beside);
        Ok(())
    }

    /// Tests in guests, so many at once. Those that failed are left for a second run.
    fn side_by_side<'line>(
        &mut self,
        at_once: usize,
        jobs: impl Iterator<Item = Job<'line>>,
        host: &Host,
        failed: &mut Vec<Failed<'line>>,
    ) {
        let (setup, selection) = (self.setup, self.selection);
        let jobs: Vec<_> = jobs.collect();
        let tested = side_by_side::all(at_once, jobs.iter().copied(), |job| {
            first_runs(setup, host, job, selection)
        });
        for (job, tested) in jobs.iter().zip(tested) {
            let why = match tested {
                Some(Ok((runs, times))) => {
                    self.times.merge(times);
                    for (what, first) in runs {
                        if first.failing().is_empty() {
                            self.tally.merge(first.alone());
                        } else {
                            let job = *job;
                            failed.push(Failed { job, what, first });
                        }
                    }
                    continue;
                }
                Some(Err(error)) => format!("{error:#}"),
                None => "its test panicked".to_owned(),
            };
            self.tally.add(&job.name(), &Verdict::Fail(why));
        }
    }

    /// Runs tests that failed once more, one guest after the other, on a machine that does nothing else: until
    /// then they had a compiler beside them.
    fn again(&mut self, failed: Vec<Failed<'_>>, host: &Host, beside: &Beside) {
        if failed.is_empty() {
            return;
        }
        beside.wait();
        for Failed { job, what, first } in failed {
            first.say_again();
            let failing = first.failing();
            let second = what.run(
                self.setup,
                host,
                job,
                self.selection,
                &failing,
                &mut self.times,
            );
            match second {
                Ok(second) => self.tally.merge(first.and(second)),
                Err(error) => {
                    self.tally.merge(first.alone());
                    let why = format!("its second run: {error:#}");
                    self.tally.add(&job.name(), &Verdict::Fail(why));
                }
            }
        }
        self.phase_ends("tests that failed, once more");
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

/// What guests of a kernel line are booted for.
#[derive(Clone, Copy, Debug)]
enum What {
    /// The tests of a job.
    Tests,
    /// What the doctor prints there.
    Doctor,
}

/// Tests that failed in a guest.
struct Failed<'line> {
    job: Job<'line>,
    what: What,
    first: FirstRun,
}

impl What {
    /// Runs it: all, or again what failed.
    fn run(
        self,
        setup: &Setup,
        host: &Host,
        job: Job<'_>,
        selection: &Selection,
        failed: &[String],
        times: &mut Times,
    ) -> Result<Verdicts> {
        match self {
            Self::Tests => line::boot(setup, host, job, selection, failed, times),
            Self::Doctor => {
                say(format!("test: what the doctor prints, on {}", job.name()));
                Ok(reboot::run(setup, host, job.line, selection.accel))
            }
        }
    }
}

/// A guest of a kernel line, and what the doctor prints there.
fn first_runs(
    setup: &Setup,
    host: &Host,
    job: Job<'_>,
    selection: &Selection,
) -> Result<(Vec<(What, FirstRun)>, Times)> {
    let (name, mut times) = (job.name(), Times::default());
    let mut phase = Phases::begin();
    let mut runs = Vec::new();
    let mut run = |what: What| -> Result<()> {
        let verdicts = what.run(setup, host, job, selection, &[], &mut times)?;
        runs.push((what, FirstRun::of(&name, verdicts)));
        Ok(())
    };
    run(What::Tests)?;
    phase.end(&name);
    if job.part == Part::Alone && reboot::belongs(job.line) {
        run(What::Doctor)?;
        phase.end(&format!("{name}: what the doctor prints, two boots"));
    }
    for (part, time) in phase.parts() {
        times.part(part, *time);
    }
    Ok((runs, times))
}
