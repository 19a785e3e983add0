//! What the developer typed, and which module answers.

use std::{io, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{
    build,
    say::{print, say},
    setup::Setup,
    vm::{
        self, Guest, Host, Output,
        initramfs::Extra,
        qemu::{Accel, QUIET},
    },
};

/// The developer's commands of isol-trace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the release binary
    Build {
        /// One static file, at target/dist/isol-trace
        #[arg(long = "static")]
        statically: bool,
    },
    /// Run a command in a guest, show its output and exit with its status
    #[command(after_help = "Example: cargo xtask vm --kernel 6.1 -- uname -a")]
    Vm(VmArgs),
}

/// How to run a guest.
#[derive(Debug, Args)]
struct VmArgs {
    /// A kernel line (6.1, 6.12, 6.12-rt, 6.18, 7.2), an image, or a built kernel tree
    #[arg(long, value_name = "LINE-OR-PATH", default_value = "6.12")]
    kernel: String,
    /// Processors; all but the first and the fourth are isolated
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..))]
    memory: u32,
    /// More kernel arguments; they come last
    #[arg(
        long,
        value_name = "STR",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
    /// Leave the clocksource watchdog on: it visits isolated CPUs once a second
    #[arg(long)]
    noisy: bool,
    /// Give the guest a file; DEST is absolute, and /root/ by default
    #[arg(long, value_name = "FILE[:DEST]", value_parser = Extra::parse)]
    add: Vec<Extra>,
    /// Seconds that the whole run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    time_limit: u64,
    /// What runs the guest
    #[arg(long, env = "ISOL_TRACE_ACCEL", value_enum, default_value_t)]
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
            Command::Build { statically } => {
                let path = build::release(&setup.build_tools()?, statically)?;
                print(path.display());
                Ok(ExitCode::SUCCESS)
            }
            Command::Vm(args) => args.run(&setup),
        }
    }
}

impl VmArgs {
    fn run(self, setup: &Setup) -> Result<ExitCode> {
        anyhow::ensure!(
            !self.tty || vm::terminal_present(),
            "--tty needs a terminal on standard input and output"
        );
        let kernel = setup.kernel(&self.kernel)?;
        let host = Host::open(setup)?;
        let quiet = if self.noisy { "" } else { QUIET };
        let guest = Guest {
            kernel,
            cpus: self.smp,
            memory: self.memory,
            append: format!("{quiet} {}", self.append),
            extras: self.add,
            command: self.command,
            terminal: self.tty,
            limit: Duration::from_secs(self.time_limit),
            accel: self.accel,
        };
        let mut output = Output {
            stdout: &mut io::stdout().lock(),
            stderr: &mut io::stderr().lock(),
        };
        let outcome = host.run(&guest, &mut output)?;
        for line in &outcome.results {
            say(format!("vm: result {line}"));
        }
        match &outcome.end {
            Ok(status) => Ok(ExitCode::from(*status)),
            Err(_) => {
                say(format!("vm: {}", outcome.failure().unwrap_or_default()));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
