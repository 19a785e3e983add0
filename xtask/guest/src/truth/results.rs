//! The result channel: one JSON object a line, apart from whatever is printed for people.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Write},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::guest::Skip;

/// Names the file that results are appended to; without it they go to stdout.
pub const VARIABLE: &str = "ISOL_TRACE_RESULTS";

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be; with a remark, where there is one.
    Pass(String),
    /// Not as it should be, and how.
    Fail(String),
    /// Not to be had here, and why.
    Skip(String),
}

impl Verdict {
    /// From the outcome of a test that answers with a remark.
    #[must_use]
    pub fn of(outcome: Result<String>) -> Self {
        match outcome {
            Ok(remark) => Self::Pass(remark),
            Err(error) if error.is::<Skip>() => Self::Skip(error.to_string()),
            Err(error) => Self::Fail(format!("{error:#}")),
        }
    }

    /// From a list of problems.
    #[must_use]
    pub fn of_problems(problems: &[String]) -> Self {
        if problems.is_empty() {
            Self::Pass(String::new())
        } else {
            Self::Fail(problems.join("; "))
        }
    }
}

/// Where results go, and how many went there.
#[derive(Debug)]
pub struct Results {
    file: Option<File>,
    done: u64,
    failed: u64,
    probes_told: bool,
}

impl Results {
    /// Opens the channel that the environment names.
    pub fn open() -> Result<Self> {
        let file = match env::var_os(VARIABLE) {
            Some(path) => Some(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&path)
                    .with_context(|| format!("{VARIABLE}={}", path.display()))?,
            ),
            None => None,
        };
        Ok(Self {
            file,
            done: 0,
            failed: 0,
            probes_told: false,
        })
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        match &mut self.file {
            Some(file) => writeln!(file, "{value}")?,
            None => writeln!(io::stdout(), "{value}")?,
        }
        Ok(())
    }

    /// Writes a verdict down.
    pub fn verdict(&mut self, test: &str, verdict: &Verdict) -> Result<()> {
        let (word, why) = match verdict {
            Verdict::Pass(why) => ("pass", why),
            Verdict::Fail(why) => ("fail", why),
            Verdict::Skip(why) => ("skip", why),
        };
        self.done += 1;
        if word == "fail" {
            self.failed += 1;
            tell(&format!("truth: {test}: {why}"));
        }
        let mut value = json!({ "test": test, "verdict": word });
        if !why.is_empty() {
            value["why"] = json!(why);
        }
        self.line(&value)
    }

    /// Copies the probes of a log's header, the first time.
    pub fn probes(&mut self, probes: &[super::log::Probe]) -> Result<()> {
        if std::mem::replace(&mut self.probes_told, true) {
            return Ok(());
        }
        self.line(&json!({ "probes": probes }))
    }

    /// Ends the channel; answers whether nothing failed.
    pub fn close(mut self) -> Result<bool> {
        let done = self.done;
        self.line(&json!({ "done": done }))?;
        Ok(self.failed == 0)
    }
}

/// Tells a person something, on stderr.
pub fn tell(text: &str) {
    // Nobody is left to be told where stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}
