//! One module a command, and the way from a command line to one of them.

pub mod artefact;
pub mod doctor;
pub mod explain;
pub mod progress;
pub mod record;
mod replay;
pub mod report;
mod signals;
mod stderr;
pub mod top;
pub mod verdicts;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    os::unix::net::UnixStream,
    process::ExitCode,
};

use clap::Parser as _;
use tokio::runtime::Runtime;

use crate::{
    cli::{self, Cli, Command, ExplainArgs},
    error::Error,
    guard,
    host::{Host, descriptors, stack, streams},
    plan::{
        RecordPlan, TopPlan, TracePlan, doctor::DoctorPlan, explain::ExplainPlan, output::is_stdout,
    },
    sink::{LogFile, Queue, queue::Outcome},
    symbolize::child as symbolizer,
};

/// The request or the host is wrong.
const WRONG: u8 = 2;

/// Runs the command of a command line, whose first word is the program's name. What goes
/// wrong becomes one line on stderr.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    match stack::make_room() {
        Ok(()) => run_in_room(words),
        Err(error) => wrong(&error.to_string()),
    }
}

/// A function of its own, for what it needs of the stack.
#[inline(never)]
fn run_in_room(words: &[OsString]) -> ExitCode {
    match words.get(1) {
        Some(word) if word == symbolizer::WORD => return symbolizer::run(),
        Some(word) if word == guard::WORD => return guard::run(words),
        _ => {}
    }
    match Cli::try_parse_from(words) {
        Ok(cli) => match cli::missing_command(&cli.command, words) {
            Some(sentence) => wrong(&sentence),
            None => conclude(dispatch(cli.command)),
        },
        Err(error) if error.use_stderr() => wrong(&cli::usage_sentence(&error, words)),
        // Help or version.
        Err(error) => conclude(
            streams::stdout()
                .and_then(|_| error.print())
                .and_then(|()| io::stdout().flush())
                .map(|()| ExitCode::SUCCESS)
                .map_err(Error::Stdout),
        ),
    }
}

/// The event loop's runtime.
fn runtime() -> Result<Runtime, Error> {
    // Tokio makes such a pair for its signals, and panics where it gets none.
    UnixStream::pair().map_err(Error::Runtime)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)
}

/// Hands a command line to its command.
fn dispatch(command: Command) -> Result<ExitCode, Error> {
    let host = Host::of_this_process();
    if writes_to_stdout(&command) {
        // What cannot be written is not recorded first.
        streams::stdout().map_err(Error::Stdout)?;
    }
    if matches!(
        command,
        Command::Top(_) | Command::Record(_) | Command::Explain(ExplainArgs { log: None, .. })
    ) {
        signals::catch()?;
        descriptors::raise();
    }
    match command {
        Command::Top(args) => {
            let terminal = io::stdout().is_terminal();
            top::run(TopPlan::new(args, &host, terminal)?)
        }
        Command::Record(args) => {
            let search_path = std::env::var_os("PATH");
            let terminal = io::stdout().is_terminal();
            record::run(RecordPlan::new(
                args,
                &host,
                search_path.as_deref(),
                terminal,
            )?)
        }
        Command::Explain(args) => {
            let search_path = std::env::var_os("PATH");
            explain::run(ExplainPlan::new(args, &host, search_path.as_deref())?)
        }
        Command::Report(args) => report::run(&args),
        Command::Doctor(args) => doctor::run(DoctorPlan::new(&args, &host)?, &host),
        Command::Schema { format } => artefact::schema(format),
        Command::Completions { shell } => artefact::completions(shell),
        Command::Man { command } => artefact::manual(command.as_deref()),
    }
}

/// Whether a command writes to stdout. `top` asks for more of it, and says so itself.
fn writes_to_stdout(command: &Command) -> bool {
    match command {
        Command::Top(_) => false,
        Command::Record(args) => args.dry_run || args.output.as_deref().is_none_or(is_stdout),
        _ => true,
    }
}

/// The exit status that a command's end stands for.
fn conclude(result: Result<ExitCode, Error>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if error.is_closed_stdout() => ExitCode::SUCCESS,
        Err(error) => {
            wrong(&error.to_string());
            ExitCode::from(error.exit_status())
        }
    }
}

/// Writes a whole text to stdout. Where signals are caught, one of them ends that: nobody may be reading.
fn print(text: &[u8]) -> Result<(), Error> {
    let queue = LogFile::stdout()
        .and_then(Queue::start)
        .map_err(Error::Stdout)?;
    queue.writer().write_all(text).map_err(Error::Stdout)?;
    let before = signals::count();
    match queue.close(|_| signals::count() == before) {
        Outcome::Written | Outcome::NotSynced => Ok(()),
        Outcome::Failed { error, .. } => Err(Error::Stdout(error)),
        Outcome::Abandoned { lines } => Err(Error::NotRead {
            name: "stdout".to_owned(),
            lines,
        }),
    }
}

/// Says where the processes that are watched may run unwatched.
fn say_elsewhere(plan: &TracePlan) {
    if !plan.elsewhere.is_empty() {
        stderr::say(&format!(
            "--pid: the process may also run on {}, which {} not isolated and not watched: pin it, or name \
             the CPUs with --cpus LIST",
            plan.elsewhere.in_words(),
            plan.elsewhere.of_one("is", "are")
        ));
    }
}

/// Says on stderr what is wrong.
fn wrong(sentence: &str) -> ExitCode {
    stderr::say(sentence);
    ExitCode::from(WRONG)
}
