//! One module a command, and the way from a command line to one of them.

pub mod artefact;
pub mod doctor;
pub mod explain;
pub mod progress;
pub mod record;
pub mod session;
pub mod top;
pub mod verdicts;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::{
    cli::{self, Cli, Command},
    error::Error,
    host::Host,
    plan::{RecordPlan, TopPlan, doctor::DoctorPlan, explain::ExplainPlan},
    printable::printable,
};

/// The request or the host is wrong.
const WRONG: u8 = 2;

/// Runs the command of a command line, whose first word is the program's name. What goes
/// wrong becomes one line on stderr.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    match Cli::try_parse_from(words) {
        Ok(cli) => conclude(dispatch(cli.command)),
        Err(error) if error.use_stderr() => wrong(&cli::usage_sentence(&error, words)),
        // Help or version.
        Err(error) => conclude(
            error
                .print()
                .and_then(|()| io::stdout().flush())
                .map(|()| ExitCode::SUCCESS)
                .map_err(Error::Stdout),
        ),
    }
}

/// Hands a command line to its command.
fn dispatch(command: Command) -> Result<ExitCode, Error> {
    let host = Host::of_this_process();
    match command {
        Command::Top(args) => {
            let terminal = io::stdout().is_terminal();
            top::run(TopPlan::new(args, &host, terminal)?)
        }
        Command::Record(args) => {
            let search_path = std::env::var_os("PATH");
            record::run(RecordPlan::new(args, &host, search_path.as_deref())?)
        }
        Command::Explain(args) => {
            let search_path = std::env::var_os("PATH");
            explain::run(ExplainPlan::new(args, &host, search_path.as_deref())?)
        }
        Command::Doctor(args) => doctor::run(DoctorPlan::new(&args, &host)?, &host),
        Command::Schema { format } => artefact::schema(format),
        Command::Completions { shell } => artefact::completions(shell),
        Command::Man { command } => artefact::manual(command.as_deref()),
    }
}

/// The exit status that a command's end stands for.
fn conclude(result: Result<ExitCode, Error>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if error.is_closed_stdout() => ExitCode::SUCCESS,
        Err(error) => wrong(&error.to_string()),
    }
}

/// Writes a whole text to stdout.
fn print(text: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(Error::Stdout)
}

/// Says on stderr what is wrong.
fn wrong(sentence: &str) -> ExitCode {
    // A closed stderr leaves the exit status to speak.
    let _ = writeln!(io::stderr(), "isol-trace: {}", printable(sentence));
    ExitCode::from(WRONG)
}

/// Ticks at once and then so often; a tick that comes late moves those after it.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
