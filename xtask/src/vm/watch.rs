//! The watch over a running guest: what it has said so far, and whether it is time to end it.
//!
//! Pure: it is told of lines and of the time, and answers with a verdict.

use std::time::{Duration, Instant};

use isol_trace_guest::boot::{INIT_FAILED, Report, Stage};

/// How long a guest may take for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The whole run; none where a person ends it.
    pub(crate) total: Option<Duration>,
    /// From the emulator's start to init's first word.
    pub(crate) boot: Duration,
    /// Between two signs of life of init.
    pub(crate) silence: Duration,
    /// From the command's end to the emulator's.
    pub(crate) farewell: Duration,
}

/// How long the console is read on after a fault, for the rest of its report.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Console texts that mean that the guest's kernel has failed.
const FAULTS: [&str; 7] = [
    "Kernel panic",
    "Oops:",
    "BUG:",
    "kernel BUG at",
    "soft lockup",
    "hard LOCKUP",
    "blocked for more than",
];

/// Whether the line says that the kernel has failed.
fn is_fault(line: &str) -> bool {
    let stall = line.contains("rcu: INFO:") && line.contains("stall");
    stall
        || FAULTS.iter().any(|text| {
            line.match_indices(text).any(|(at, _)| {
                // A word of its own: `DEBUG:` is none.
                !line[..at].ends_with(|before: char| before.is_ascii_alphanumeric())
            })
        })
}

/// The breakpoint instruction: while the kernel patches its text, one stands where it patches
/// (arch/x86/kernel/alternative.c, `smp_text_poke_batch_finish`, v6.18).
const BREAKPOINT: u8 = 0xcc;

/// The instruction before the one that an oops shows in angle brackets: after a breakpoint, the one
/// that trapped. Where memory holds another one, no breakpoint was there to trap at: the emulator ran a
/// translation that is older than its text.
fn trapped_byte(line: &str) -> Option<u8> {
    let (_, code) = line.split_once("Code: ")?;
    let (before, _) = code.split_once(" <")?;
    u8::from_str_radix(before.rsplit(' ').next()?, 16).ok()
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The kernel said so, in these words.
    Kernel(String),
    /// The emulator's own: text patching under emulation.
    Emulator(String),
    /// Init could not go on, for this reason.
    Init(String),
    /// Init never spoke.
    Boot(Duration),
    /// Init spoke and then fell silent.
    Silence(Duration),
    /// The command did not end in time.
    TimeLimit(Duration),
    /// The emulator ended before the command had, in this way.
    Ended(String),
    /// Some of the command's output did not arrive.
    Output {
        /// Bytes that the guest sent.
        sent: u64,
        /// Bytes that came.
        came: u64,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kernel(line) => write!(formatter, "the guest's kernel failed: {line}"),
            Self::Emulator(line) => write!(
                formatter,
                "the emulator failed, not the kernel (text patching under emulation): {line}"
            ),
            Self::Init(line) => write!(formatter, "the guest's init failed: {line}"),
            Self::Boot(limit) => write!(
                formatter,
                "the guest did not reach its init in {} s",
                limit.as_secs()
            ),
            Self::Silence(limit) => write!(
                formatter,
                "the guest hangs: no sign of life for {} s",
                limit.as_secs()
            ),
            Self::TimeLimit(limit) => write!(
                formatter,
                "the command did not end in {} s (--time-limit sets another limit)",
                limit.as_secs()
            ),
            Self::Ended(how) => write!(
                formatter,
                "the guest ended before its command had; the emulator: {how}"
            ),
            Self::Output { sent, came } => write!(
                formatter,
                "of {sent} bytes that the command wrote, {came} arrived"
            ),
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on watching, at the latest until then.
    Watch(Instant),
    /// Everything has arrived: tell the guest, and go on watching.
    SayGoodbye,
    /// The run is over with the command's status.
    Done(u8),
    /// The run has failed.
    Failed(Fault),
}

/// What is known about the run.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    started: Instant,
    heard: Option<Instant>,
    fault: Option<(Fault, Instant)>,
    came: u64,
    exit: Option<Exit>,
    ended: Option<String>,
    /// The code at which the kernel failed has been shown.
    code_seen: bool,
}

/// The command's end.
#[derive(Debug)]
struct Exit {
    status: u8,
    bytes: u64,
    at: Instant,
    goodbye: bool,
}

impl Watch {
    /// A run that starts now.
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            started: now,
            heard: None,
            fault: None,
            came: 0,
            exit: None,
            ended: None,
            code_seen: false,
        }
    }

    /// Whether init has ever spoken.
    pub(crate) fn booted(&self) -> bool {
        self.heard.is_some()
    }

    /// The console said this line.
    pub(crate) fn console(&mut self, line: &str, now: Instant) {
        if let Some((Fault::Kernel(first), since)) = &self.fault
            && first.contains("Oops: int3")
            && !self.code_seen
            && let Some(trap) = trapped_byte(line)
        {
            // The first code of an oops is that where it happened; what follows is who called.
            self.code_seen = true;
            if trap != BREAKPOINT {
                self.fault = Some((Fault::Emulator(first.clone()), *since));
            }
        }
        if self.fault.is_some() {
            return;
        }
        if let Some((_, words)) = line.split_once(INIT_FAILED) {
            self.fault = Some((Fault::Init(words.trim().to_owned()), now));
        } else if is_fault(line) {
            self.fault = Some((Fault::Kernel(line.trim().to_owned()), now));
        }
    }

    /// The results port said this line; gives it back if it is not init's own.
    pub(crate) fn result<'line>(&mut self, line: &'line str, now: Instant) -> Option<&'line str> {
        self.heard = Some(now);
        match serde_json::from_str(line) {
            Ok(Report::Init {
                init: Stage::Up | Stage::Alive,
            }) => None,
            Ok(Report::Exit {
                exit,
                stdout,
                stderr,
            }) => {
                self.exit = Some(Exit {
                    status: exit,
                    bytes: stdout + stderr,
                    at: now,
                    goodbye: false,
                });
                None
            }
            Err(_) => Some(line),
        }
    }

    /// So many more bytes of the command's output came.
    pub(crate) fn output(&mut self, bytes: u64) {
        self.came += bytes;
    }

    /// The emulator has ended in this way, and all its streams are read.
    pub(crate) fn ended(&mut self, how: String) {
        self.ended = Some(how);
    }

    /// What to do now.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        if let Some((fault, since)) = &self.fault {
            let until = *since + AFTERMATH;
            return if self.ended.is_some() || now >= until {
                Step::Failed(fault.clone())
            } else {
                Step::Watch(until)
            };
        }
        if let Some(exit) = &mut self.exit {
            let all_came = self.came >= exit.bytes;
            if all_came && !exit.goodbye {
                exit.goodbye = true;
                return Step::SayGoodbye;
            }
            let until = exit.at + self.limits.farewell;
            return match (self.ended.is_some() || now >= until, all_came) {
                (true, true) => Step::Done(exit.status),
                (true, false) => Step::Failed(Fault::Output {
                    sent: exit.bytes,
                    came: self.came,
                }),
                (false, _) => Step::Watch(until),
            };
        }
        if let Some(how) = &self.ended {
            return Step::Failed(Fault::Ended(how.clone()));
        }
        self.deadlines()
            .into_iter()
            .min_by_key(|(until, _)| *until)
            .map_or(
                Step::Watch(now + Duration::from_secs(1)),
                |(until, fault)| {
                    if now >= until {
                        Step::Failed(fault)
                    } else {
                        Step::Watch(until)
                    }
                },
            )
    }

    /// What would fail when, if nothing more were heard.
    fn deadlines(&self) -> Vec<(Instant, Fault)> {
        let life = match self.heard {
            None => (
                self.started + self.limits.boot,
                Fault::Boot(self.limits.boot),
            ),
            Some(heard) => (
                heard + self.limits.silence,
                Fault::Silence(self.limits.silence),
            ),
        };
        let total = self
            .limits
            .total
            .map(|total| (self.started + total, Fault::TimeLimit(total)));
        std::iter::once(life).chain(total).collect()
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
