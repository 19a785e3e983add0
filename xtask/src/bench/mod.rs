//! The measured cost table: what tracing costs the traced, what the reader uses, beside the peers.
//!
//! - [`syscalls`], [`contender`]: a system call with each tool attached, in one run;
//! - [`reader`], [`recorder`], [`usage`]: our own process, idle and in a storm;
//! - [`guest`]: counted instructions where the kernel tracks context itself;
//! - [`cargo`]: what the workspace's own benches measure;
//! - [`report`], [`figures`], [`machine`]: the page.
//!
//! Everything is measured in one run and compared within it: on another machine, or on the same
//! one an hour later, only the ratios mean the same.

mod cargo;
mod contender;
mod figures;
mod guest;
mod machine;
mod reader;
mod recorder;
mod report;
mod syscalls;
mod tracefs;
mod usage;
mod verdict;

use std::{
    fs,
    path::PathBuf,
    process::{Child, ExitCode},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use self::{
    contender::Setting,
    machine::Machine,
    report::Page,
    syscalls::{Extent, Row},
    tracefs::Tracefs,
    verdict::Measured,
};
use crate::{
    build,
    say::{print, say},
    setup::{Setup, workspace},
};

/// Where dated copies are kept, below the workspace.
const KEPT: &str = "docs/bench";

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    /// The CPU to watch; the last one by default.
    pub(crate) cpu: Option<u32>,
    /// Times that every contender is attached.
    pub(crate) rounds: u32,
    /// Leave the guest out.
    pub(crate) no_guest: bool,
    /// Only print.
    pub(crate) no_copy: bool,
}

/// Asks a child to end in good order.
fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // One that has ended already is waited for all the same.
        let _ = kill_process(pid, Signal::INT);
    }
}

/// Measures, prints and keeps a copy.
pub(crate) fn run(setup: &Setup, bench: &Bench) -> Result<ExitCode> {
    anyhow::ensure!(
        geteuid().is_root(),
        "bench attaches probes to this machine's kernel: run it as root"
    );
    let machine = Machine::read()?;
    let (watched, housekeeping) = machine.pair(bench.cpu)?;
    let tools = setup.build_tools()?;
    let isol_trace = build::release(&tools, false)?;
    let _tracefs = Tracefs::open()?;
    let place = Setting {
        isol_trace,
        tracefs: Tracefs::path(),
        watched,
    };
    let extent = Extent {
        rounds: bench.rounds,
        batches: 60,
    };
    let rows = syscalls::measure(&place, housekeeping, extent)?;
    let programs = reader::programs(&place)?;
    let idle = reader::idle(&place)?;
    let storm = reader::storm(&place)?;
    let rates = reader::sustain(&place)?;
    let drained = cargo::drain(&tools, watched)?;
    let json = cargo::json(&tools)?;
    let counted = if bench.no_guest {
        None
    } else {
        Some(guest::count(setup)?)
    };
    let size = cargo::size(&place.isol_trace)?;
    let measured = Measured {
        rows,
        programs,
        idle,
        storm,
        rates,
        drained,
        json,
        counted,
        size,
    };
    let page = page(&machine, watched, housekeeping, &measured);
    print(page.text());
    if !bench.no_copy {
        let path = keep(&machine.date, page.text())?;
        say(format!("bench: a copy is in {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the dated copy.
fn keep(date: &str, text: &str) -> Result<PathBuf> {
    let folder = workspace().join(KEPT);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{date}.md"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn page(machine: &Machine, watched: u32, housekeeping: u32, measured: &Measured) -> Page {
    let mut page = Page::default();
    page.heading(1, &format!("Measured cost, {}", machine.date));
    page.line(&format!(
        "{}, {} CPUs online, Linux {}, load average {} at the start. Watched: CPU {watched}; \
         housekeeping: CPU {housekeeping}.",
        machine.model,
        machine.cpus.len(),
        machine.kernel,
        machine.load
    ));
    for peer in ["bpftrace", "perf"] {
        if let Some(version) = contender::version(peer) {
            page.line(&format!("Peer: {version}."));
        }
    }
    page.line("`cargo xtask bench` measured all of it in one run; compare within it.");

    page.heading(2, "A system call");
    page.line(
        "A getppid loop, nanoseconds a call by its thread's own clock, the best and the median of \
         all batches. The batches are short and their records fit the ring, so that every call of \
         the watched CPU leaves a full record. On the housekeeping CPU the same tools are attached \
         and should have nothing to do.",
    );
    page.line("");
    page.table(|table| syscalls::report(&measured.rows, watched, table));

    page.heading(2, "Instructions under context tracking");
    match &measured.counted {
        Some(counted) => {
            page.line(
                "A getppid call in an emulated guest whose kernel marks entries itself, counted by \
                 the emulator.",
            );
            page.line("");
            page.table(|table| guest::table(counted, table));
        }
        None => page.line("Not measured in this run."),
    }

    page.heading(2, "Each program");
    page.line(
        "By the kernel's own BPF statistics, which add some 20 to 40 ns to every run; 100,000 calls \
         a second on the watched CPU.",
    );
    page.line("");
    page.table(|table| verdict::programs(&measured.programs, table));

    page.heading(2, "The reader");
    page.table(|table| reader::table(&measured.idle, &measured.storm, table));

    page.heading(2, "Breaches a second without loss");
    page.line("`isol-trace record`, its JSON thrown away by whoever reads it.");
    page.line("");
    page.table(|table| reader::rates(&measured.rates, table));

    page.heading(2, "Reached, and what limits it");
    page.table(|table| verdict::table(measured, table));
    for line in verdict::limits(measured) {
        page.line("");
        page.line(&format!("- {line}"));
    }
    page
}

/// The row of a contender, and that of nothing.
fn ours_and_nothing(rows: &[Row]) -> Option<(&Row, &Row)> {
    Some((rows.get(1)?, rows.first()?))
}
