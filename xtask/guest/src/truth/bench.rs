//! What every test works with: the machine, the result channel, and what all logs together have shown.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Result, bail};

use super::{
    guest::Guest,
    hits::Hits,
    invariant,
    log::{Breach, Log},
    results::{Results, Verdict},
    tracer::{self, Ended, Tracer},
};

/// Tests that share a run of the tracer.
#[derive(Clone, Debug)]
pub struct Group {
    /// Names and descriptions.
    pub tests: Vec<(&'static str, &'static str)>,
    /// Runs them and gives each a verdict.
    pub run: fn(&mut Bench) -> Result<()>,
}

/// The context of a test.
#[derive(Debug)]
pub struct Bench {
    /// The machine.
    pub guest: Guest,
    /// What the logs have shown so far.
    pub hits: Hits,
    wanted: BTreeSet<String>,
    told: BTreeSet<&'static str>,
    results: Results,
}

impl Bench {
    /// A bench for these tests; for all where none is named.
    pub fn new(names: &[&str]) -> Result<Self> {
        let guest = Guest::detect()?;
        guest.silence();
        Ok(Self {
            guest,
            hits: Hits::default(),
            wanted: names.iter().map(|&name| name.to_owned()).collect(),
            told: BTreeSet::new(),
            results: Results::open()?,
        })
    }

    /// Whether a test is to be run.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.contains(name)
    }

    /// Whether every test is to be run.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Records a command of this program, on one CPU.
    pub fn record(&self, options: &[&str], command: &[&str]) -> Result<Ended> {
        let cpu = self.guest.cpu().to_string();
        let program = env::current_exe()?.display().to_string();
        let mut arguments = vec!["--cpus", cpu.as_str()];
        arguments.extend(options);
        arguments.extend(["--", program.as_str(), "command"]);
        arguments.extend(command);
        tracer::run(&arguments)
    }

    /// Gives a probe its verdict.
    pub fn probe(&mut self, name: &str, verdict: &Verdict) -> Result<()> {
        self.results
            .verdict(&format!("truth/probe/{name}"), verdict)
    }

    /// Gives a test its verdict, the first one stands.
    pub fn verdict(&mut self, name: &'static str, verdict: &Verdict) -> Result<()> {
        if self.wants(name) && self.told.insert(name) {
            self.results.verdict(&format!("truth/{name}"), verdict)?;
        }
        Ok(())
    }

    /// Gives a test its verdict by the outcome of a check.
    pub fn outcome(&mut self, name: &'static str, outcome: Result<String>) -> Result<()> {
        self.verdict(name, &Verdict::of(outcome))
    }

    /// Runs a group, where one of its tests is wanted. A test that the group leaves without a verdict fails.
    pub fn run(&mut self, group: &Group) -> Result<()> {
        if !group.tests.iter().any(|(name, _)| self.wants(name)) {
            return Ok(());
        }
        let verdict = match (group.run)(self) {
            Ok(()) => Verdict::Fail("the test came to no verdict".to_owned()),
            Err(error) => Verdict::of(Err(error)),
        };
        for (name, _) in &group.tests {
            self.verdict(name, &verdict)?;
        }
        Ok(())
    }

    /// Ends a tracer as Ctrl-C does and takes its log.
    pub fn finish(&mut self, tracer: Tracer) -> Result<Log> {
        self.finish_without(tracer, |_| false)
    }

    /// As [`Bench::finish`], with a log that leaves out some breaches once they are checked.
    pub fn finish_without(
        &mut self,
        tracer: Tracer,
        leave_out: impl FnMut(&Breach) -> bool,
    ) -> Result<Log> {
        let ended = tracer.end(libc::SIGINT)?;
        self.take(&ended, 0, leave_out)
    }

    /// Takes the log of a tracer that ended by itself, with this exit code.
    pub fn take(
        &mut self,
        ended: &Ended,
        code: i32,
        leave_out: impl FnMut(&Breach) -> bool,
    ) -> Result<Log> {
        if ended.code() != code {
            bail!(
                "isol-trace exits with {} instead of {code}.{}",
                ended.code(),
                ended.complaints()
            );
        }
        let log = self.check(&ended.log, leave_out);
        let _ = fs::remove_file(&ended.log);
        log
    }

    fn check(&mut self, path: &Path, mut leave_out: impl FnMut(&Breach) -> bool) -> Result<Log> {
        let problems = invariant::check(path)?;
        if !problems.is_empty() {
            bail!("the log breaks the contract: {}", problems.join("; "));
        }
        let hits = &mut self.hits;
        let log = Log::read_without(path, |breach| {
            hits.breach(breach);
            leave_out(breach)
        })?;
        let header = log.header()?;
        self.hits.log(&log);
        self.results.probes(&header.probes)?;
        Ok(log)
    }

    /// Ends the result channel; answers whether nothing failed.
    pub fn close(self) -> Result<bool> {
        self.results.close()
    }
}
