//! `record`: the log. And what every command does that records while a command of its own runs.

mod ends;
mod log;

use std::{
    io::{self, IsTerminal as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use tokio::{process::Child, time::sleep};

use self::{ends::Ends, log::Log};
use super::{
    progress::Progress,
    session::{FOLLOW, Pace, Session},
    ticks, verdicts,
};
use crate::{
    error::Error,
    event::{
        ids::Pid,
        model::{Event, ProgramRuns, Summary},
    },
    host::{
        Host,
        affinity::{HugePages, pin_command},
    },
    plan::{RecordPlan, command::CommandPlan, output::Output},
};

/// How often totals are read, lost records reported and the log written out.
const EVERY: Duration = Duration::from_millis(500);

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// What a recording leaves besides its log.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// How the command ended; `None` without one, and where it was not started.
    pub(super) status: Option<ExitStatus>,
    /// The command's process.
    pub(super) pid: Option<Pid>,
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
    let recorded = listen(plan, |_| {})?;
    Ok(recorded.exit_code())
}

/// Records; `listener` hears every event of the log, also those that no file takes any more.
pub(super) fn listen(
    plan: RecordPlan,
    mut listener: impl FnMut(&Event),
) -> Result<Recorded, Error> {
    let huge_pages = Session::prepare(&plan.trace)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(record(plan, huge_pages, &mut listener))
}

async fn record(
    plan: RecordPlan,
    huge_pages: HugePages,
    listener: &mut dyn FnMut(&Event),
) -> Result<Recorded, Error> {
    let mut ends = Ends::new()?;
    let mut session = Session::attach(&plan.trace, plan.from_prctl, Host::of_this_process())?;
    if !plan.trace.offline.is_empty() {
        say(&format!(
            "CPUs {} are isolated and offline: watched when they come online",
            plan.trace.offline
        ));
    }
    if plan.dry_run {
        verdicts::print(&session.header())?;
        return Ok(Recorded::default());
    }
    // A signal in another poll of the runtime: let it arrive before anything is written.
    tokio::task::yield_now().await;
    if ends.pending().await {
        return Ok(Recorded::default());
    }
    session.arm()?;
    let header = Event::Header(session.header());
    let start = || {
        let command = plan.command.as_ref();
        let start = command.map(|it| start(it, &plan.trace.watched, huge_pages));
        start.transpose()
    };
    let (mut log, mut child) = if let Output::File(_) = plan.output {
        // A command that cannot be executed after all leaves the file as it was.
        let child = start()?;
        (Log::begin(plan.output, listener, &header)?, child)
    } else {
        // Whoever reads stdout finds the header before what the command prints there.
        let log = Log::begin(plan.output, listener, &header)?;
        (log, start()?)
    };
    if child.is_some() {
        ends.command_started();
    }
    let pid = child.as_ref().and_then(Child::id).map(Pid);
    let progress = Progress::new(plan.duration, io::stderr().is_terminal());
    let end = follow(
        &mut session,
        &mut log,
        &mut child,
        &mut ends,
        plan.duration,
        progress,
    )
    .await;
    // Whatever ended it, the account is closed and summed up.
    let status = match (&end, child) {
        (_, None) => None,
        (Ok(End::Child(status)), _) => Some(*status),
        (_, Some(child)) => Some(stop(child, &mut session, &mut log).await?),
    };
    let end = end?;
    let summary = session.finish(|event| log.take(&event))?;
    log.take(&Event::Summary(summary.clone()));
    log.flush();
    if io::stderr().is_terminal() {
        say(&in_words(&summary));
    }
    for line in summary.tracer.programs.iter().flatten().map(run_time) {
        say(&line);
    }
    match log.verdict() {
        // Whoever reads no more still gets the status of a command that ended by itself.
        Err(error) if error.is_closed_stdout() && matches!(end, End::Child(_)) => {}
        verdict => verdict?,
    }
    Ok(Recorded { status, pid })
}

/// What ended the trace.
enum End {
    /// The time, a signal, or the reader of stdout.
    Asked,
    /// The command.
    Child(ExitStatus),
}

async fn follow(
    session: &mut Session,
    log: &mut Log<'_>,
    child: &mut Option<Child>,
    ends: &mut Ends,
    duration: Option<Duration>,
    mut progress: Progress,
) -> Result<End, Error> {
    let deadline = duration.map(|duration| Instant::now() + duration);
    let mut report = ticks(EVERY);
    let mut look = ticks(FOLLOW);
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            came = ends.next() => {
                let Some(child) = child else { return Ok(End::Asked) };
                if !(came.is_of_group && is_in_our_group(child)) {
                    forward(child, came.signal);
                }
            }
            () = until(deadline) => return Ok(End::Asked),
            status = ended(child) => return status.map(End::Child).map_err(Error::Runtime),
            _ = look.tick() => {
                if let Some(change) = session.follow(|event| log.take(&event))? {
                    log.take(&change);
                }
            }
            _ = report.tick() => {
                let (totals, lost) = session.totals()?;
                for event in &lost {
                    log.take(event);
                }
                log.flush();
                if log.reader_is_gone() {
                    return Ok(End::Asked);
                }
                for complaint in session.complaints() {
                    progress.clear();
                    say(&complaint);
                }
                progress.show(&totals);
            }
            () = sleep(pause) => {
                pause = match session.drain(|event| log.take(&event)) {
                    Pace::Storm => Duration::ZERO,
                    Pace::Calm(pause) => pause,
                };
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn ended(child: &mut Option<Child>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

fn start(
    plan: &CommandPlan,
    watched: &crate::host::cpu_list::CpuSet,
    huge_pages: HugePages,
) -> Result<Child, Error> {
    let mut command = plan.command();
    pin_command(&mut command, watched, huge_pages);
    let mut command = tokio::process::Command::from(command);
    // Whatever fails before it is waited for, it does not outlive the trace.
    command.kill_on_drop(true);
    Ok(command.spawn().map_err(|source| plan.start_error(source))?)
}

/// Whether the command has stayed in this process's group.
fn is_in_our_group(child: &Child) -> bool {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let group = |pid| rustix::process::getpgid(pid).ok();
    pid.and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| group(Some(pid)) == group(None))
}

/// Hands a signal on to the command, whose end then ends the trace.
fn forward(child: &Child, signal: i32) {
    let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) else {
        return;
    };
    // SAFETY: no memory is involved; the child is ours and not yet waited for, so the number is its own.
    unsafe { libc::kill(pid, signal) };
}

/// Ends a command whose time is over, and goes on draining meanwhile.
async fn stop(
    mut child: Child,
    session: &mut Session,
    log: &mut Log<'_>,
) -> Result<ExitStatus, Error> {
    forward(&child, libc::SIGTERM);
    let deadline = Instant::now() + GRACE;
    let mut killed = false;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(Error::Runtime),
            () = sleep(Duration::from_millis(1)) => {
                session.drain(|event| log.take(&event));
                if !killed && Instant::now() >= deadline {
                    forward(&child, libc::SIGKILL);
                    killed = true;
                }
            }
        }
    }
}

/// The command's own status, or 128 and its signal.
fn passed_on(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// Says something on stderr, on a line of its own.
pub(super) fn say(sentence: &str) {
    // A closed stderr is no reason to stop.
    let _ = writeln!(io::stderr(), "isol-trace: {sentence}");
}

/// A program's run time for a person.
fn run_time(program: &ProgramRuns) -> String {
    let each = program.run.0 as f64 / program.runs as f64;
    format!("{}: {} runs, {each:.0} ns each", program.name, program.runs)
}

/// The summary for a person.
fn in_words(summary: &Summary) -> String {
    let sum = |figure: fn(&crate::event::model::CpuSummary) -> u64| {
        summary.cpus.iter().map(figure).sum::<u64>()
    };
    let entries = sum(|cpu| cpu.entries);
    if entries == 0 {
        return "no kernel entry: the watched CPUs were quiet".to_owned();
    }
    format!(
        "{entries} kernel entries, {} without a cause, {} filtered, {} records lost",
        sum(|cpu| cpu.unattributed),
        sum(|cpu| cpu.filtered),
        sum(|cpu| cpu.lost),
    )
}
