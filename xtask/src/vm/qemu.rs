//! The emulator's command line.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use isol_trace_guest::boot::{RESULTS_PORT, STDERR_PORT, STDOUT_PORT};

pub(crate) use crate::arch::QUIET;
use crate::{
    arch::{CONSOLE, EMULATED_CPU, MACHINE, NMI_EVERYWHERE},
    setup::Qemu,
};

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Accel {
    /// Emulation: runs everywhere, and is what the tests are tuned to.
    #[default]
    Tcg,
    /// Emulation that counts instructions, one CPU at a time: its clock advances by a nanosecond an
    /// instruction. For costs, never for tests.
    Counted,
    /// The machine's virtualization; a guest that it cannot boot is emulated instead.
    Kvm,
}

/// The boot arguments of every guest besides its console: an end to the emulator at a panic. Memory is
/// not cleared when it is allocated, as for the emulated CPU.
const ALWAYS: &str = "quiet panic=-1 oops=panic init_on_alloc=0";

/// A disk of which two CPUs share a queue: the first queue has an isolated CPU and one that is none, and
/// so has the second. It reads as zeroes, forgets what is written, and takes its time, in which a task that
/// has asked is back in user mode.
const DISK: [&str; 4] = [
    "-drive",
    "if=none,id=disk,format=raw,file.driver=null-co,file.size=64M,file.read-zeroes=on,file.latency-ns=10000000",
    "-device",
    "nvme,serial=isol-trace,drive=disk,max_ioqpairs=2",
];

/// The arguments that isolate up to two CPUs, leaving the first to housekeeping.
///
/// Two, so that one interrupt can have several targets. Not `isolcpus=nohz,…` beside `nohz_full=`:
/// kernels from 7.2 on then drop the whole `isolcpus=`.
pub(crate) fn isolation(cpus: u32) -> String {
    let list = match cpus {
        0 | 1 => return String::new(),
        2 => "1",
        _ => "1-2",
    };
    format!("nohz_full={list} isolcpus=domain,managed_irq,{list} rcu_nocbs={list}")
}

/// The whole kernel command line; what comes last wins. One that says which CPUs have no tick says all
/// about isolation: a kernel does not take `nohz_full=` twice (`housekeeping_setup()`,
/// kernel/sched/isolation.c, v6.12).
pub(crate) fn command_line(cpus: u32, isolated: bool, append: &str) -> String {
    let isolation = if !isolated || append.contains("nohz_full=") {
        String::new()
    } else {
        isolation(cpus)
    };
    let console = format!("console={CONSOLE}");
    [
        console.as_str(),
        ALWAYS,
        NMI_EVERYWHERE,
        isolation.as_str(),
        append.trim(),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join(" ")
}

/// One boot.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    /// The kernel's image.
    pub(crate) kernel: PathBuf,
    /// The initramfs.
    pub(crate) initramfs: PathBuf,
    /// The whole kernel command line.
    pub(crate) command_line: String,
    /// Processors.
    pub(crate) cpus: u32,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// Whether it has a disk.
    pub(crate) disk: bool,
    /// What runs it.
    pub(crate) accel: Accel,
    /// Whether the second serial port is the developer's terminal.
    pub(crate) terminal: bool,
}

/// The sockets that the emulator connects to, one a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The kernel's console.
    Console,
    /// Result lines.
    Results,
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// The emulator's own: what it says to the commands that it is given.
    Monitor,
}

impl Stream {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Console,
        Self::Results,
        Self::Stdout,
        Self::Stderr,
        Self::Monitor,
    ];

    /// Its name, as a device's and as a socket's.
    const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Results => "results",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Monitor => "monitor",
        }
    }

    /// The arguments of what the guest has at the other end, or the emulator itself.
    fn device(self) -> [String; 2] {
        let name = self.name();
        let port = |port| {
            let argument = format!("virtserialport,chardev={name},name={port}");
            ("-device", argument)
        };
        let (option, argument) = match self {
            Self::Console => ("-serial", format!("chardev:{name}")),
            Self::Monitor => ("-mon", format!("chardev={name},mode=readline")),
            Self::Results => port(RESULTS_PORT),
            Self::Stdout => port(STDOUT_PORT),
            Self::Stderr => port(STDERR_PORT),
        };
        [option.to_owned(), argument]
    }

    /// Its socket in `folder`.
    pub(crate) fn socket(self, folder: &Path) -> PathBuf {
        folder.join(self.name())
    }
}

/// The command that boots, with its streams' sockets in `sockets`.
pub(crate) fn command(qemu: &Qemu, boot: &Boot, sockets: &Path) -> Command {
    let mut command = qemu.command();
    command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    command.args(["-no-reboot", "-nic", "none", "-machine", MACHINE]);
    match boot.accel {
        Accel::Tcg => command.args(["-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU]),
        Accel::Counted => command
            .args(["-accel", "tcg,thread=single", "-cpu", "max"])
            .args(["-icount", "shift=0,sleep=off"]),
        Accel::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
    };
    command
        .arg("-smp")
        .arg(boot.cpus.to_string())
        .arg("-m")
        .arg(boot.memory.to_string())
        .arg("-kernel")
        .arg(&boot.kernel)
        .arg("-initrd")
        .arg(&boot.initramfs)
        .arg("-append")
        .arg(&boot.command_line)
        .args(["-device", "virtio-serial"]);
    for stream in Stream::ALL {
        let name = stream.name();
        let socket = stream.socket(sockets);
        command
            .arg("-chardev")
            .arg(format!("socket,id={name},path={}", socket.display()))
            .args(stream.device());
    }
    if boot.disk {
        command.args(DISK);
    }
    if boot.terminal {
        command.args(["-chardev", "stdio,id=terminal,signal=off"]);
        command.args(["-serial", "chardev:terminal"]);
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }
    command.stderr(Stdio::piped());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cpu_is_always_left() {
        assert_eq!(isolation(1), "");
        assert!(isolation(2).contains("nohz_full=1 "));
        assert!(
            isolation(4).contains("nohz_full=1-2 isolcpus=domain,managed_irq,1-2 rcu_nocbs=1-2")
        );
    }

    #[test]
    fn what_the_developer_appends_comes_last() {
        let line = command_line(4, true, " quiet tsc=nowatchdog ");
        assert!(line.ends_with("quiet tsc=nowatchdog"), "{line}");
        assert!(line.starts_with("console=ttyS0"), "{line}");
        assert!(!command_line(1, true, "").contains("  "));
        let own = command_line(4, true, "nohz_full=3");
        assert_eq!(own.matches("nohz_full=").count(), 1, "{own}");
        assert!(!own.contains("isolcpus="), "{own}");
        let none = command_line(4, false, "tsc=nowatchdog");
        assert!(!none.contains("nohz_full="), "{none}");
    }
}
