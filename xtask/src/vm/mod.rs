//! Runs one command in one guest.
//!
//! - [`cpio`], [`initramfs`]: the guest's root;
//! - [`qemu`]: the emulator's command line;
//! - [`streams`]: what comes out of the guest, as one sequence of events;
//! - [`watch`]: when the run is over, and whether it failed;
//! - [`terminal`]: the developer's terminal, where a person talks to the guest.

mod cpio;
pub(crate) mod initramfs;
pub(crate) mod qemu;
mod streams;
mod terminal;
mod watch;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use isol_trace_guest::boot::Plan;

use self::{
    initramfs::Extra,
    qemu::{Accel, Boot, Stream},
    streams::{Event, Streams},
    watch::{Limits, Step, Watch},
};
pub(crate) use self::{terminal::present as terminal_present, watch::Fault};
use crate::{
    build::{self, Programs},
    exec,
    progress::Progress,
    say::{Lines, say},
    setup::{Busybox, KernelImage, Qemu, Setup},
};

/// Processors of a guest: two isolated ones, so that one interrupt can have several targets.
pub(crate) const CPUS: u32 = 4;

/// Its memory in MiB.
pub(crate) const MEMORY: u32 = 1024;

/// The time limit of a run.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// From the emulator's start to init's first word, on a machine that does much else.
const BOOT_LIMIT: Duration = Duration::from_mins(1);

/// The same where instructions are counted.
const COUNTED_BOOT_LIMIT: Duration = Duration::from_mins(3);

/// With virtualization a guest boots in a second or never.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(15);

/// Between two signs of life.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// How long the emulator may take to end once the command has: faults on the way are found.
const FAREWELL: Duration = Duration::from_secs(15);

/// The same where a person waits for it.
const PERSONS_FAREWELL: Duration = Duration::from_secs(1);

/// Between two signs that a guest boots, where a person waits for it.
const GLANCE: Duration = Duration::from_millis(500);

/// Lines of the console that a failure shows.
const CONSOLE_TAIL: usize = 40;

/// How often a run is repeated that the emulator itself has spoiled. Attaching patches the kernel's
/// text hundreds of times a run; about one run in ten meets a stale translation.
const REPEATS: u32 = 2;

/// Everything that guests need, got once.
#[derive(Debug)]
pub(crate) struct Host {
    /// The emulator.
    pub(crate) qemu: Qemu,
    /// The shell and tools.
    pub(crate) busybox: Busybox,
    /// Our own programs.
    pub(crate) programs: Programs,
}

/// A guest to boot and the command to run in it.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Its kernel.
    pub(crate) kernel: KernelImage,
    /// Processors.
    pub(crate) cpus: u32,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// Whether it has a disk, for which not every kernel has a driver built in.
    pub(crate) disk: bool,
    /// Whether it is booted with the arguments that isolate CPUs.
    pub(crate) isolated: bool,
    /// More boot arguments.
    pub(crate) append: String,
    /// Files to add.
    pub(crate) extras: Vec<Extra>,
    /// The command and its arguments.
    pub(crate) command: Vec<String>,
    /// Whether the command talks to the developer's terminal.
    pub(crate) terminal: bool,
    /// The time limit of the whole run; none with a terminal.
    pub(crate) limit: Duration,
    /// What runs it.
    pub(crate) accel: Accel,
    /// What the emulator is told when the console says a line.
    pub(crate) injects: fn(&str) -> Option<String>,
}

impl Guest {
    /// A guest of the usual size.
    pub(crate) fn new(kernel: KernelImage, command: Vec<String>) -> Self {
        Self {
            kernel,
            cpus: CPUS,
            memory: MEMORY,
            disk: false,
            isolated: true,
            append: String::new(),
            extras: Vec::new(),
            command,
            terminal: false,
            limit: LIMIT,
            accel: Accel::default(),
            injects: |_| None,
        }
    }
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The command's status, or why there is none.
    pub(crate) end: Result<u8, Fault>,
    /// The result lines of the guest's programs.
    pub(crate) results: Vec<String>,
    /// What the kernel said.
    pub(crate) console: String,
    /// Whether the run was repeated because the emulator failed the first time.
    pub(crate) repeated: bool,
}

impl Outcome {
    /// The command's status; a fault is said by `who` and is a failure.
    pub(crate) fn exit_code(&self, who: &str) -> ExitCode {
        if let Some(failure) = self.failure() {
            say(format!("{who}: {failure}"));
        }
        self.end
            .as_ref()
            .map_or(ExitCode::FAILURE, |status| ExitCode::from(*status))
    }

    /// The fault with the console's tail, for people.
    pub(crate) fn failure(&self) -> Option<String> {
        let fault = self.end.as_ref().err()?;
        let console = exec::tail(&self.console, CONSOLE_TAIL);
        Some(if console.is_empty() {
            format!("{fault}\n(the console said nothing)")
        } else {
            format!("{fault}\n--- the console's last lines ---\n{console}\n---")
        })
    }
}

/// Where what comes out of a guest goes.
pub(crate) struct Output<'out> {
    /// Its standard output.
    pub(crate) stdout: &'out mut dyn Write,
    /// Its standard error.
    pub(crate) stderr: &'out mut dyn Write,
    /// Told of each result line as it comes.
    pub(crate) result: &'out mut dyn FnMut(&str),
}

impl Host {
    /// Gets what is missing and builds our own programs.
    pub(crate) fn open(setup: &Setup) -> Result<Self> {
        Ok(Self::open_beside(setup, || Ok(()))?.0)
    }

    /// As [`Host::open`], with a kernel.
    pub(crate) fn open_with(setup: &Setup, kernel: &str) -> Result<(Self, KernelImage)> {
        if !Setup::is_line(kernel) {
            // A path: what is wrong with it is said before anything is built.
            let kernel = setup.kernel(kernel)?;
            return Ok((Self::open(setup)?, kernel));
        }
        Self::open_beside(setup, || setup.kernel(kernel))
    }

    /// Builds our own programs; what is fetched comes meanwhile, and something more.
    pub(crate) fn open_beside<T: Send>(
        setup: &Setup,
        more: impl FnOnce() -> Result<T> + Send,
    ) -> Result<(Self, T)> {
        thread::scope(|scope| {
            let fetching = scope.spawn(|| -> Result<_> {
                let more = more()?;
                Ok((setup.qemu()?, setup.busybox()?, more))
            });
            let built = setup
                .build_tools()
                .and_then(|tools| build::guest_programs(&tools));
            let Ok(fetched) = fetching.join() else {
                bail!("fetching what a guest needs panicked");
            };
            let (qemu, busybox, more) = fetched?;
            let host = Self {
                qemu,
                busybox,
                programs: built?,
            };
            Ok((host, more))
        })
    }

    /// Runs the guest, and returns what its command said on standard output. A guest that fails is an
    /// error.
    pub(crate) fn said(&self, guest: &Guest) -> Result<String> {
        let mut said = Vec::new();
        let outcome = self.run(
            guest,
            &mut Output {
                stdout: &mut said,
                stderr: &mut Lines::of("guest"),
                result: &mut |_| {},
            },
        )?;
        if let Some(failure) = outcome.failure() {
            bail!("the guest failed: {failure}");
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs the guest; after a failure of the emulator's own it is repeated, and a guest that
    /// virtualization cannot boot is emulated.
    pub(crate) fn run(&self, guest: &Guest, output: &mut Output<'_>) -> Result<Outcome> {
        let mut guest = guest.clone();
        let (mut outcome, booted) = self.run_once(&guest, output)?;
        if guest.accel == Accel::Kvm && !booted {
            say("vm: the guest does not boot with KVM here; emulating it");
            guest.accel = Accel::Tcg;
            outcome = self.run_once(&guest, output)?.0;
        }
        for _ in 0..REPEATS {
            let Err(fault @ Fault::Emulator(_)) = &outcome.end else {
                break;
            };
            say(format!("vm: {fault}; repeating the run"));
            outcome = self.run_once(&guest, output)?.0;
            outcome.repeated = true;
        }
        Ok(outcome)
    }

    /// One boot; also says whether init was reached.
    fn run_once(&self, guest: &Guest, output: &mut Output<'_>) -> Result<(Outcome, bool)> {
        let scratch = tempfile::tempdir()?;
        let initramfs = scratch.path().join("initramfs");
        let plan = plan(guest);
        initramfs::write(
            &initramfs,
            &self.programs,
            &self.busybox,
            &guest.kernel.modules,
            &guest.extras,
            &plan,
        )?;
        let boot = Boot {
            kernel: guest.kernel.image.clone(),
            initramfs,
            command_line: qemu::command_line(guest.cpus, guest.isolated, &guest.append),
            cpus: guest.cpus,
            memory: guest.memory,
            disk: guest.disk,
            accel: guest.accel,
            terminal: guest.terminal,
        };
        let _terminal = guest.terminal.then(terminal::Guard::new);
        let mut streams = Streams::start(&self.qemu, &boot, scratch.path())?;
        let mut watch = Watch::new(limits(guest), Instant::now());
        let mut outcome = Outcome {
            end: Err(Fault::Ended(String::new())),
            results: Vec::new(),
            console: String::new(),
            repeated: false,
        };
        outcome.end = follow(guest, &mut streams, &mut watch, &mut outcome, output)?;
        Ok((outcome, watch.booted()))
    }
}

/// What init is told.
fn plan(guest: &Guest) -> Plan {
    let term = std::env::var("TERM").ok().filter(|_| guest.terminal);
    Plan {
        command: guest.command.clone(),
        environment: term
            .map(|term| ("TERM".to_owned(), term))
            .into_iter()
            .collect(),
        modules: guest
            .kernel
            .modules
            .iter()
            .map(|module| initramfs::module_path(module))
            .collect(),
        terminal: guest.terminal.then(terminal::size),
    }
}

fn limits(guest: &Guest) -> Limits {
    Limits {
        total: (!guest.terminal).then_some(guest.limit),
        boot: match guest.accel {
            Accel::Tcg => BOOT_LIMIT,
            Accel::Counted => COUNTED_BOOT_LIMIT,
            Accel::Kvm => KVM_BOOT_LIMIT,
        },
        silence: SILENCE_LIMIT,
        farewell: if guest.terminal {
            PERSONS_FAREWELL
        } else {
            FAREWELL
        },
    }
}

/// Passes on what comes out of the guest until the watch says that it is over.
fn follow(
    guest: &Guest,
    streams: &mut Streams,
    watch: &mut Watch,
    outcome: &mut Outcome,
    output: &mut Output<'_>,
) -> Result<Result<u8, Fault>> {
    // A person sees that it boots; what comes then is the command's.
    let mut booting = guest.terminal.then(|| Progress::begin("booting"));
    loop {
        if watch.booted() {
            booting = None;
        }
        let until = match watch.step(Instant::now()) {
            Step::Watch(until) => until,
            Step::SayGoodbye => {
                streams.say_goodbye();
                continue;
            }
            Step::Done(status) => return Ok(Ok(status)),
            Step::Failed(fault) => return Ok(Err(fault)),
        };
        let mut wait = until.saturating_duration_since(Instant::now());
        if let Some(booting) = &mut booting {
            booting.go_on(None);
            wait = wait.min(GLANCE);
        }
        match streams.events.recv_timeout(wait) {
            Ok(Event::Line(Stream::Results, line)) => {
                if let Some(line) = watch.result(&line, Instant::now()) {
                    (output.result)(line);
                    outcome.results.push(line.to_owned());
                }
            }
            Ok(Event::Line(_, line)) => {
                watch.console(&line, Instant::now());
                if let Some(command) = (guest.injects)(&line) {
                    streams.tell_emulator(&command);
                }
                outcome.console.push_str(&line);
                outcome.console.push('\n');
            }
            Ok(Event::Bytes(stream, bytes)) => {
                watch.output(bytes.len() as u64);
                let out = if stream == Stream::Stderr {
                    &mut output.stderr
                } else {
                    &mut output.stdout
                };
                out.write_all(&bytes)
                    .and_then(|()| out.flush())
                    .or_else(ignore_closed)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => watch.ended(streams.how_it_ended()),
        }
    }
}

/// A reader that has seen enough (`| head`) is no error.
fn ignore_closed(error: io::Error) -> Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(error).context("cannot pass the guest's output on")
}
