//! What the developer typed, and which module answers.

use std::{io, num::NonZeroUsize, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    bench::{self, Bench},
    build,
    demo::{self, Demo},
    kernel, lint,
    say::{print, say},
    setup::{LINES, Setup},
    test::{self, Places, Selection},
    vm::{
        self, CPUS, Guest, Host, LIMIT, MEMORY, Output,
        initramfs::Extra,
        qemu::{Accel, QUIET},
    },
};

/// The kernel line of a guest unless another is named.
const DEFAULT_KERNEL: &str = "6.12";

/// Chooses what runs guests.
const ACCEL_VARIABLE: &str = "ISOL_TRACE_ACCEL";

/// A kernel line's name.
fn line_name(text: &str) -> Result<String, String> {
    if LINES.iter().any(|line| line.name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = LINES.iter().map(|line| line.name).collect();
    Err(format!("the kernel lines are {}", names.join(", ")))
}

/// A base of the kernel series.
fn base(text: &str) -> Result<kernel::Base, String> {
    let found = kernel::BASES.into_iter().find(|base| base.name == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = kernel::BASES.iter().map(|base| base.name).collect();
        format!("the series is for {}", names.join(", "))
    })
}

/// The developer's commands of isol-trace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot a guest with isolated CPUs and a noisy neighbour, and show the dashboard there
    #[command(after_help = "Example: cargo xtask demo --record | head")]
    Demo {
        /// Print the log as JSON Lines instead; needs no terminal
        #[arg(long)]
        record: bool,
        /// A kernel line, an image, or a built kernel tree
        #[arg(long, value_name = "LINE-OR-PATH", default_value = DEFAULT_KERNEL)]
        kernel: String,
        /// What runs the guest
        #[arg(long, env = ACCEL_VARIABLE, value_enum, default_value_t)]
        accel: Accel,
    },
    /// Run every test: this machine's, and the ground truth in a guest of every kernel line
    #[command(after_help = "Example: cargo xtask test --kernel 6.12")]
    Test(TestArgs),
    /// Check formatting, clippy (host and BPF), documentation and licences
    Lint,
    /// Do what `lint` and `test` do, beside each other: what continuous integration runs
    Ci(GuestArgs),
    /// Get everything that the other commands need
    Setup,
    /// Build the release binary: target/dist/isol-trace, its line tables in isol-trace.debug beside it
    Build {
        /// One static file, without libraries
        #[arg(long = "static")]
        statically: bool,
    },
    /// Measure what tracing costs, beside the peers installed, and keep a dated copy in docs/bench
    #[command(after_help = "Example: cargo xtask bench --rounds 3")]
    Bench {
        /// The CPU to watch; the last one by default
        #[arg(long, value_name = "CPU")]
        cpu: Option<u32>,
        /// Times that every contender is attached
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Leave the guest and its counted instructions out
        #[arg(long)]
        no_guest: bool,
        /// Only print: keep no copy
        #[arg(long)]
        no_copy: bool,
    },
    /// Build the kernel with the task-isolation series, or run the series' selftests
    #[command(after_help = "Example: cargo xtask kernel test")]
    Kernel {
        /// What to do
        #[arg(value_enum)]
        task: KernelTask,
        /// The kernel that the series is for
        #[arg(long, value_name = "BASE", default_value = kernel::BASES[0].name, value_parser = base)]
        base: kernel::Base,
        /// With everything that checks locks, RCU and entry code (of `build` and `test`)
        #[arg(long)]
        debug: bool,
        /// Without the series, to compare with (of `build`)
        #[arg(long)]
        stock: bool,
    },
    /// Run a command in a guest, show its output and exit with its status
    #[command(after_help = "Example: cargo xtask vm --kernel 6.1 -- uname -a")]
    Vm(VmArgs),
}

/// What to do with the kernel.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KernelTask {
    /// Fetch the source into a git tree with the series on a branch, and print where it is
    Fetch,
    /// Write the patches anew from that branch
    Series,
    /// Fetch the source, apply the series, build, and print where the image is
    Build,
    /// Build it if need be, and run the selftests in a guest
    Test,
    /// Count the instructions of a system call on it and on a stock build of the same configuration
    Cost,
}

/// What to test.
#[derive(Debug, Args)]
struct TestArgs {
    /// Leave the guests out
    #[arg(long, conflicts_with_all = ["kernel", "guests_only", "bless"])]
    fast: bool,
    /// Leave this machine's own tests out
    #[arg(long)]
    guests_only: bool,
    /// Only this kernel line; can be repeated
    #[arg(long, value_name = "LINE", value_parser = line_name)]
    kernel: Vec<String>,
    /// Keep the guests' probe verdicts as the tables to compare with
    #[arg(long)]
    bless: bool,
    #[command(flatten)]
    guests: GuestArgs,
}

/// How guests are run.
#[derive(Debug, Args)]
struct GuestArgs {
    /// Kernel lines that are tested at once; one for two of the machine's cores if not given
    #[arg(long, value_name = "N")]
    side_by_side: Option<NonZeroUsize>,
    /// What runs the guests
    #[arg(long, env = ACCEL_VARIABLE, value_enum, default_value_t)]
    accel: Accel,
}

/// How to run a guest.
#[derive(Debug, Args)]
struct VmArgs {
    /// A kernel line (6.1, 6.12, 6.12-rt, 6.18, 7.2), an image, or a built kernel tree
    #[arg(long, value_name = "LINE-OR-PATH", default_value = DEFAULT_KERNEL)]
    kernel: String,
    /// Processors; all but the first and the fourth are isolated
    #[arg(long, value_name = "N", default_value_t = CPUS, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY, value_parser = clap::value_parser!(u32).range(128..))]
    memory: u32,
    /// More kernel arguments; they come last
    #[arg(
        long,
        value_name = "STR",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
    /// Give the guest a disk, /dev/nvme0n1, which forgets what is written
    #[arg(long)]
    disk: bool,
    /// Leave the clocksource watchdog on: it visits isolated CPUs once a second
    #[arg(long)]
    noisy: bool,
    /// Give the guest a file; DEST is absolute, and /root/ by default
    #[arg(long, value_name = "FILE[:DEST]", value_parser = Extra::parse)]
    add: Vec<Extra>,
    /// Seconds that the whole run may take
    #[arg(long, value_name = "SECONDS", default_value_t = LIMIT.as_secs())]
    time_limit: u64,
    /// What runs the guest
    #[arg(long, env = ACCEL_VARIABLE, value_enum, default_value_t)]
    accel: Accel,
    /// Give the command this terminal (no time limit then)
    #[arg(long)]
    tty: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let setup = Setup::open()?;
        match self.command {
            Command::Demo {
                record,
                kernel,
                accel,
            } => demo::run(
                &setup,
                &Demo {
                    record,
                    kernel,
                    accel,
                },
            ),
            Command::Test(args) => args.run(&setup),
            Command::Lint => lint::run(&setup),
            Command::Ci(guests) => test::run(&setup, &guests.selection(true)),
            Command::Setup => {
                setup.everything()?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Build { statically } => {
                let path = build::release(&setup.build_tools()?, statically)?;
                print(path.display());
                Ok(ExitCode::SUCCESS)
            }
            Command::Bench {
                cpu,
                rounds,
                no_guest,
                no_copy,
            } => bench::run(
                &setup,
                &Bench {
                    cpu,
                    rounds,
                    no_guest,
                    no_copy,
                },
            ),
            Command::Kernel {
                task,
                base,
                debug,
                stock,
            } => {
                let recipe = kernel::Recipe { base, stock, debug };
                match task {
                    KernelTask::Fetch => kernel::fetch(&setup, base),
                    KernelTask::Series => kernel::refresh(base),
                    KernelTask::Build => kernel::build(&setup, recipe),
                    KernelTask::Test => kernel::test(&setup, recipe),
                    KernelTask::Cost => kernel::cost(&setup, base),
                }
            }
            Command::Vm(args) => args.run(&setup),
        }
    }
}

impl TestArgs {
    fn run(self, setup: &Setup) -> Result<ExitCode> {
        let places = match (self.fast, self.guests_only) {
            (true, _) => Places::Machine,
            (false, true) => Places::Guests,
            (false, false) => Places::All,
        };
        let selection = Selection {
            places,
            kernels: self.kernel,
            bless: self.bless,
            ..self.guests.selection(false)
        };
        test::run(setup, &selection)
    }
}

impl GuestArgs {
    /// Everything in guests that are run so.
    fn selection(&self, lint: bool) -> Selection {
        Selection {
            lint,
            places: Places::All,
            kernels: Vec::new(),
            bless: false,
            side_by_side: self.side_by_side.map(NonZeroUsize::get),
            accel: self.accel,
        }
    }
}

impl VmArgs {
    fn run(self, setup: &Setup) -> Result<ExitCode> {
        anyhow::ensure!(
            !self.tty || vm::terminal_present(),
            "--tty needs a terminal on standard input and output"
        );
        let (host, kernel) = Host::open_with(setup, &self.kernel)?;
        let quiet = if self.noisy { "" } else { QUIET };
        let guest = Guest {
            cpus: self.smp,
            memory: self.memory,
            disk: self.disk,
            append: format!("{quiet} {}", self.append),
            extras: self.add,
            terminal: self.tty,
            limit: Duration::from_secs(self.time_limit),
            accel: self.accel,
            ..Guest::new(kernel, self.command)
        };
        let mut output = Output {
            stdout: &mut io::stdout().lock(),
            stderr: &mut io::stderr(),
            result: &mut |line| say(format!("vm: result {line}")),
        };
        let outcome = host.run(&guest, &mut output)?;
        Ok(outcome.exit_code("vm"))
    }
}
