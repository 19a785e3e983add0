//! Waits until a guest that has just booted has come to rest, and says what keeps it from it.
//!
//! A small kernel is in user mode within a second, while it is still at work on itself: it measures
//! its clock anew, and the change interrupts every CPU. How long that takes depends on the machine.
//! So a test waits for the condition that it needs, never for a time.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, Write as _},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::truth::{clock::LIMIT, guest::Guest, interrupts::Interrupts, process::status, sys};

/// Between two looks.
const STEP: Duration = Duration::from_millis(50);

/// How long nothing may come to a watched CPU that computes before it counts as quiet.
const STILL: Duration = Duration::from_secs(1);

/// `settle`: waits until a task that only computes on a watched CPU is left alone. Where that does
/// not happen it says why as the Test Anything Protocol does, on standard output.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [] => everything(),
        [word, cpu] if word == SPIN => spin(cpu),
        _ => Err(anyhow::anyhow!("usage: settle")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard output is gone nobody reads the verdict either.
            let _ = writeln!(
                io::stdout(),
                "Bail out! the guest does not settle: {error:#}"
            );
            ExitCode::FAILURE
        }
    }
}

/// Waits for every condition.
fn everything() -> Result<()> {
    // Waits for the clock as well.
    let guest = Guest::detect()?;
    let spinners: Vec<Spinner> = guest
        .watched
        .iter()
        .map(|&cpu| Spinner::start(cpu))
        .collect::<Result<_>>()?;
    undisturbed(LIMIT, STILL, || {
        let interrupts = Interrupts::read()?;
        let switches = spinners.iter().map(Spinner::switches);
        Ok(Look {
            interrupts,
            switches: switches.collect::<Result<_>>()?,
        })
    })
}

/// What has come to the watched CPUs so far.
#[derive(Clone, Debug, Default)]
struct Look {
    /// The kernel's counts of interrupts.
    interrupts: Interrupts,
    /// How often the spinner of a CPU has been switched out.
    switches: BTreeMap<u32, u64>,
}

/// What came to a watched CPU between two looks.
#[derive(Debug)]
struct Disturbance {
    cpu: u32,
    interrupts: BTreeMap<String, u64>,
    switches: u64,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CPU {}:", self.cpu)?;
        for (line, count) in &self.interrupts {
            write!(formatter, " {line} {count}")?;
        }
        if self.switches > 0 {
            write!(formatter, " task switches {}", self.switches)?;
        }
        Ok(())
    }
}

impl Look {
    /// What has come since an earlier one, a CPU each.
    fn since(&self, earlier: &Self) -> Vec<Disturbance> {
        let of = |(&cpu, &switches): (&u32, &u64)| {
            let before = earlier.switches.get(&cpu).copied().unwrap_or(0);
            Disturbance {
                cpu,
                interrupts: earlier.interrupts.changes(&self.interrupts, cpu),
                switches: switches.saturating_sub(before),
            }
        };
        self.switches
            .iter()
            .map(of)
            .filter(|it| it.switches > 0 || !it.interrupts.is_empty())
            .collect()
    }
}

/// Looks until nothing has come for `still`.
fn undisturbed(
    limit: Duration,
    still: Duration,
    mut look: impl FnMut() -> Result<Look>,
) -> Result<()> {
    let start = Instant::now();
    let mut last = look()?;
    let mut quiet_since = Instant::now();
    let mut came = Vec::new();
    while quiet_since.elapsed() < still {
        if start.elapsed() > limit {
            let came: Vec<String> = came.iter().map(Disturbance::to_string).collect();
            bail!(
                "after {} s the watched CPUs are still not left alone for {} ms; the last that came: {}",
                limit.as_secs(),
                still.as_millis(),
                came.join(", ")
            );
        }
        thread::sleep(STEP);
        let now = look()?;
        let more = now.since(&last);
        if !more.is_empty() {
            came = more;
            quiet_since = Instant::now();
        }
        last = now;
    }
    Ok(())
}

/// The word that makes this program a spinner.
const SPIN: &str = "spin";

/// A task that computes on a CPU and does nothing else; it ends when dropped.
///
/// A process of its own: what this one does to its memory disturbs no other.
#[derive(Debug)]
struct Spinner {
    cpu: u32,
    child: Child,
}

impl Spinner {
    fn start(cpu: u32) -> Result<Self> {
        let child = Command::new("/proc/self/exe")
            .args([SPIN, &cpu.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a task that computes")?;
        Ok(Self { cpu, child })
    }

    /// Its CPU, and how often it has been switched out.
    fn switches(&self) -> Result<(u32, u64)> {
        let path = format!("/proc/{}/status", self.child.id());
        let count = |field| -> Result<u64> {
            let value = status(&path, field)?;
            value.parse().with_context(|| format!("{field} {value}"))
        };
        let forced = count("nonvoluntary_ctxt_switches")?;
        Ok((self.cpu, forced + count("voluntary_ctxt_switches")?))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Computes on a CPU until it is killed.
fn spin(cpu: &str) -> Result<()> {
    let cpu = cpu.parse().with_context(|| format!("no CPU `{cpu}`"))?;
    sys::pin(0, &[cpu])?;
    loop {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn look(interrupts: u64, switches: u64) -> Look {
        let text = format!(
            "     CPU0 CPU1\nRES: 7 {interrupts} Rescheduling interrupts\nLOC: {interrupts} 0 Local\n"
        );
        Look {
            interrupts: Interrupts::parse(&text),
            switches: [(1, switches)].into(),
        }
    }

    #[test]
    fn only_what_comes_to_a_watched_cpu_counts() {
        assert!(look(3, 1).since(&look(3, 1)).is_empty());
        let came: Vec<_> = look(5, 2).since(&look(3, 1));
        assert_eq!(came.len(), 1);
        assert_eq!(came[0].to_string(), "CPU 1: RES 2 task switches 1");
        let mut elsewhere = look(3, 1);
        elsewhere.interrupts =
            Interrupts::parse("     CPU0 CPU1\nRES: 9 3 Rescheduling interrupts\nLOC: 9 0 Local\n");
        assert!(elsewhere.since(&look(3, 1)).is_empty());
    }

    #[test]
    fn a_guest_is_settled_when_nothing_has_come_for_a_while() {
        let still = Duration::from_millis(120);
        let looks = Cell::new(0);
        undisturbed(Duration::from_mins(1), still, || {
            looks.set(looks.get() + 1);
            Ok(look(looks.get().min(4), 1))
        })
        .unwrap();
        assert!(
            looks.get() > 4,
            "it looked {} times and settled",
            looks.get()
        );

        let mut count = 0;
        let error = undisturbed(Duration::from_millis(300), still, || {
            count += 1;
            Ok(look(0, count))
        })
        .unwrap_err()
        .to_string();
        assert!(error.contains("CPU 1: task switches 1"), "{error}");
    }

    #[test]
    fn a_task_that_computes_is_watched_by_its_switches() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let spinner = Spinner { cpu: 3, child };
        let (cpu, _) = spinner.switches().unwrap();
        assert_eq!(cpu, 3);
    }
}
