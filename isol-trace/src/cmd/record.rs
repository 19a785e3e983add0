//! `record`: the log. And what every command does that records while a command of its own runs.

mod asked;
mod closing;
mod command;
mod guarded;
mod limits;
mod log;
mod manner;

use std::{
    cell::Cell,
    io::{self, IsTerminal as _},
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use tokio::time::sleep;

use self::{
    asked::AskedTasks,
    closing::{Closing, Filters, Tally},
    command::{Running, passed_on, start},
    limits::{End, Limits, Stopping},
    log::{Ending, Log},
    manner::Manner,
};
use super::{
    progress::{Attaching, Detaching, Progress},
    signals::{self, Signals},
    stderr::{self, say, say_lines},
    verdicts,
};
use crate::{
    consume::{Consumer, FanOut},
    error::Error,
    event::{
        ids::Pid,
        model::{Event, ProgramRuns},
    },
    host::{Host, affinity::HugePages},
    plan::{
        RecordPlan,
        command::CommandPlan,
        output::{Output, OutputFile},
    },
    trace::{self, Session},
};

/// How often a pipe with a name is looked at until somebody reads it.
const LOOK: Duration = Duration::from_millis(50);

/// What a recording leaves besides its log.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// How the command ended; `None` without one, and where it was not started.
    pub(super) status: Option<ExitStatus>,
    /// The command's process.
    pub(super) pid: Option<Pid>,
    /// Whether it was recorded which processes the command has started.
    pub(super) sees_children: bool,
}

/// The command that was recorded, for what is said of it at the end.
#[derive(Clone, Copy, Debug)]
struct Command<'a> {
    /// As it was typed.
    name: &'a str,
    /// Its process.
    pid: Option<Pid>,
    /// A signal ended it.
    was_killed: bool,
    /// The option that was to watch its isolated section.
    section_option: Option<&'static str>,
}

impl Recorded {
    /// The command's own exit status, or 128 and its signal; success without a command.
    pub(super) fn exit_code(&self) -> ExitCode {
        self.status.map_or(ExitCode::SUCCESS, |status| {
            ExitCode::from(passed_on(status))
        })
    }
}

/// Runs a valid `record`.
pub fn run(plan: RecordPlan) -> Result<ExitCode, Error> {
    let recorded = listen(plan, true, &mut FanOut::new())?;
    Ok(recorded.exit_code())
}

/// Records; `listener` hears what the log hears, also what no file takes any more. At the end a person is told what there
/// was, if `sums_up`.
pub(super) fn listen(
    plan: RecordPlan,
    sums_up: bool,
    listener: &mut dyn Consumer,
) -> Result<Recorded, Error> {
    signals::require_none()?;
    let huge_pages = Session::prepare(&plan.trace)?;
    super::runtime()?.block_on(record(plan, huge_pages, sums_up, listener))
}

async fn record(
    mut plan: RecordPlan,
    huge_pages: HugePages,
    sums_up: bool,
    listener: &mut dyn Consumer,
) -> Result<Recorded, Error> {
    let signals = Signals::new()?;
    if let Output::File(file) = &mut plan.output {
        reader(file).await?;
    }
    let is_terminal = io::stderr().is_terminal();
    let mut session = attach(&plan, is_terminal)?;
    if plan.dry_run {
        verdicts::print(&session.header())?;
        return Ok(Recorded::default());
    }
    signals::require_none()?;
    let tasks = AskedTasks::of(&plan.trace.pids);
    session.arm()?;
    let is_strict = plan.trace.strict.is_some();
    let manner = Manner {
        huge_pages,
        is_strict,
        has_log_on_stdout: matches!(plan.output, Output::Stdout),
    };
    let start = || {
        let Some(command) = plan.command.as_ref() else {
            return Ok(None);
        };
        signals::command_starts();
        start(command, &plan.trace.watched, manner).map(Some)
    };
    // A command that cannot be executed after all leaves the file as it was.
    let started = match plan.output {
        Output::File(_) => Some(start()?),
        _ => None,
    };
    let is_people = matches!(plan.output, Output::People);
    let log_ending = Cell::new(None);
    let mut tally = Tally::new(sums_up && plan.command.is_some());
    let mut log = Log::begin(plan.output, &log_ending)?;
    // Lines for people say enough by themselves. A command, or who reads the log, may write to the same terminal, and the
    // line would be in the way of theirs.
    let is_alone = plan.command.is_none() && !is_people && !log.is_read_by_another();
    let mut progress = Progress::new(plan.duration, is_terminal && is_alone);
    let mut all = FanOut::new()
        .with(&mut tally)
        .with(listener)
        .with(&mut log)
        .with(&mut progress);
    all.event(&Event::Header(session.header()));
    let child = match started {
        Some(child) => child,
        // Whoever reads stdout finds the header before what the command prints there.
        None => start()?,
    };
    let pid = child.as_ref().and_then(Running::number);
    let sees_children = session.follow_command(pid);
    let limits = Limits::new(plan.duration, tasks, child, signals);
    let (end, status) = until_end(&mut session, &mut all, limits).await?;
    // A command that was handed one ends by it, as a rule, and whoever sent it waits.
    let by_signal = match end {
        End::Signal => true,
        End::Child(_) => signals::count() > 0,
        End::Asked | End::Tasks => false,
    };
    let ending = Ending::begin(by_signal);
    log_ending.set(Some(ending));
    let detaching = Detaching::begin(is_terminal);
    let summary = session.finish(
        |event| all.event(&event),
        |waited| names_wait(&end, &ending, waited),
    )?;
    all.event(&Event::Summary(summary.clone()));
    drop(all);
    let file = log.file().map(str::to_owned);
    let has_name = log.has_name();
    let verdict = log.finish();
    drop(detaching);
    let name = plan.command.as_ref().map(CommandPlan::name);
    let command = name.as_deref().map(|name| Command {
        name,
        pid,
        was_killed: status.is_some_and(|status| status.signal().is_some()),
        section_option: section_option(plan.from_prctl, is_strict),
    });
    let closing = Closing {
        summary: &summary,
        log: file.as_deref().filter(|_| sums_up),
        command,
        filters: Filters {
            tasks: !(plan.trace.pids.is_empty() && plan.trace.comms.is_empty()),
            section: plan.from_prctl,
        },
    };
    say_all(&tally.lines(&closing, sums_up && (is_terminal || has_name)));
    let run_times = summary.tracer.programs.iter().flatten().map(run_time);
    run_times.for_each(|line| say(&line));
    match verdict {
        // Whoever reads no more still gets the status of a command that ended by itself.
        Err(error) if error.is_closed_stdout() && matches!(end, End::Child(_)) => {}
        verdict => verdict?,
    }
    Ok(Recorded {
        status,
        pid,
        sees_children,
    })
}

/// Traces until the end, and then until the command has ended: whatever ended it, the account is closed and summed up.
async fn until_end(
    session: &mut Session,
    consumers: &mut FanOut<'_>,
    mut limits: Limits,
) -> Result<(End, Option<ExitStatus>), Error> {
    let end = trace::run(session, consumers, &mut limits).await;
    stderr::clear();
    if matches!(end, Ok(End::Tasks)) {
        say("every task of --pid has ended");
    }
    let status = match (&end, limits.into_child()) {
        (_, None) => None,
        (Ok(End::Child(status)), _) => Some(*status),
        (_, Some(child)) => {
            let mut stopping = Stopping::begin(child);
            Some(trace::run(session, consumers, &mut stopping).await?)
        }
    };
    Ok((end?, status))
}

/// Attaches the probes, and says meanwhile what a person should know of that.
fn attach(plan: &RecordPlan, is_terminal: bool) -> Result<Session, Error> {
    super::say_elsewhere(&plan.trace);
    let mut attaching = Attaching::begin(&plan.trace.watched, is_terminal);
    let session = Session::attach(
        &plan.trace,
        plan.from_prctl,
        Host::of_this_process(),
        |step| attaching.step(step),
        signals::require_none,
    )?;
    drop(attaching);
    if !plan.trace.offline.is_empty() {
        say(&format!(
            "{} {} isolated and offline: watched when {} online",
            plan.trace.offline.in_words(),
            plan.trace.offline.of_one("is", "are"),
            plan.trace.offline.of_one("it comes", "they come"),
        ));
    }
    Ok(session)
}

/// The option that makes a command's isolated section matter.
const fn section_option(from_prctl: bool, is_strict: bool) -> Option<&'static str> {
    match (from_prctl, is_strict) {
        (_, true) => Some("--strict"),
        (true, false) => Some("--from-prctl"),
        (false, false) => None,
    }
}

/// The first line is ours, and the others belong to it.
fn say_all(lines: &[String]) {
    let Some((first, more)) = lines.split_first() else {
        return;
    };
    say(first);
    let more: Vec<_> = more.iter().map(|line| format!("  {line}")).collect();
    if !more.is_empty() {
        say_lines(more.iter().map(String::as_str));
    }
}

/// Whether names that are still looked up are waited for at the end, after so long.
fn names_wait(end: &End, ending: &Ending, waited: Duration) -> bool {
    let limit = match end {
        _ if ending.is_hurried() => Duration::from_millis(600),
        // Its last breaches are the ones that matter, and the debug information of a large program takes its time.
        End::Child(_) => Duration::from_secs(10),
        End::Asked | End::Tasks | End::Signal => Duration::from_secs(1),
    };
    waited < limit && !ending.is_over()
}

/// Waits for somebody to read a pipe with a name.
async fn reader(file: &mut OutputFile) -> Result<(), Error> {
    let mut is_said = false;
    while !file.is_ready()? {
        if !is_said {
            say(&format!(
                "waiting for somebody to read {}",
                file.path().display()
            ));
            is_said = true;
        }
        sleep(LOOK).await;
        signals::require_none()?;
    }
    Ok(())
}

/// A program's run time for a person.
fn run_time(program: &ProgramRuns) -> String {
    let each = program.run.0 as f64 / program.runs as f64;
    format!("{}: {} runs, {each:.0} ns each", program.name, program.runs)
}
