//! What is known of a host. Reading it is here; all that follows is pure.

use super::{finding::Remedy, shell::quoted};
use crate::host::{
    Host, HostError,
    boot::{BootArguments, Isolcpus},
    clocksource::Clock,
    cpu_list::CpuSet,
    cpuset::{Cpusets, Partition},
    device_irq::DeviceIrq,
    identity::Identity,
    kernel::KernelError,
    kernel_config::KernelConfig,
    memory::Memory,
    privilege::PrivilegeError,
    reading::Reading,
    release::Release,
    rights::Rights,
    scheduler::{LockupWatchdogs, Scheduler},
    topology::CpuSettings,
    watched::Watched,
    workqueue::Workqueues,
};

/// Why probes cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// The reason.
    pub why: String,
    /// What ends it.
    pub remedies: Vec<Remedy>,
}

impl Hindrance {
    /// The sentence of an error says what to do behind its colon: that is for the remedies.
    fn new(error: &impl ToString, remedies: Vec<Remedy>) -> Self {
        let text = error.to_string();
        let why = text.split_once(": ").map_or(text.as_str(), |(why, _)| why);
        Self {
            why: why.to_owned(),
            remedies,
        }
    }
}

/// How the program gets the rights that it makes use of. No command: whoever may run it then has them too.
fn setcap(program: Option<&str>) -> Remedy {
    let program = program.map_or_else(|| "isol-trace".to_owned(), quoted);
    Remedy::Change(format!(
        "Or let only a group run {program}, and give it cap_bpf,cap_perfmon,cap_syslog,cap_sys_ptrace+ep: docs/commands.md#privileges has the commands."
    ))
}

impl Hindrance {
    fn of_privilege(error: &PrivilegeError, program: Option<&str>) -> Self {
        let remedies = match error {
            PrivilegeError::Capabilities { .. } => vec![
                Remedy::Change("Run isol-trace as root.".to_owned()),
                setcap(program),
            ],
            PrivilegeError::UserNamespace => vec![Remedy::Change(
                "Run isol-trace on the host itself.".to_owned(),
            )],
            PrivilegeError::Host(_) => vec![Remedy::Change("Mount /proc.".to_owned())],
        };
        Self::new(error, remedies)
    }
}

impl From<KernelError> for Hindrance {
    fn from(error: KernelError) -> Self {
        let remedy = match error {
            KernelError::NoBtf => {
                "Boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are."
            }
            KernelError::LockedDown => "Boot without lockdown=confidentiality.",
            KernelError::Host(_) => "Mount /sys, and let isol-trace read it.",
        };
        Self::new(&error, vec![Remedy::Change(remedy.to_owned())])
    }
}

/// The facts that findings are made of.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Names of host and kernel.
    pub identity: Identity,
    /// Its kernel's version; `None` where its release is no version.
    pub release: Option<Release>,
    /// CPUs under watch.
    pub watched: CpuSet,
    /// Every other online CPU.
    pub housekeeping: CpuSet,
    /// Isolated CPUs that are offline, and not watched for that.
    pub offline: CpuSet,
    /// CPUs that are there.
    pub present: CpuSet,
    /// CPUs whose tick may stop while they run a task; absent where the kernel cannot do that.
    pub nohz_full: Reading<CpuSet>,
    /// CPUs that `isolcpus=` takes out of the scheduler's domains.
    pub isolated: Reading<CpuSet>,
    /// CPUs of isolated cpuset partitions, as far as they are known.
    pub partitions: CpuSet,
    /// Why there may be more of them.
    pub unread_partitions: Option<String>,
    /// Every cpuset partition, in force or not.
    pub groups: Vec<Partition>,
    /// Which version of cgroup has the cpusets.
    pub cpusets: Cpusets,
    /// The kernel's command line.
    pub boot: Reading<BootArguments>,
    /// How the kernel was built.
    pub config: Reading<KernelConfig>,
    /// Devices' interrupts.
    pub irqs: Vec<DeviceIrq>,
    /// CPUs that new interrupts go to.
    pub default_irq_affinity: Reading<CpuSet>,
    /// The program irqbalance runs.
    pub irqbalance: bool,
    /// Masks of unbound workqueues.
    pub workqueues: Workqueues,
    /// The lockup watchdogs.
    pub lockup_watchdogs: LockupWatchdogs,
    /// Seconds between two looks for silent machine checks; 0: never.
    pub machine_check_interval: Reading<i64>,
    /// Memory management.
    pub memory: Memory,
    /// Scheduler and timers.
    pub scheduler: Scheduler,
    /// The clock sources.
    pub clock: Clock,
    /// Settings of each watched CPU.
    pub cpus: Vec<CpuSettings>,
    /// Limits of this process.
    pub rights: Rights,
    /// Where its program is.
    pub program: Option<String>,
    /// Why probes cannot be loaded here.
    pub hindrances: Vec<Hindrance>,
}

impl Facts {
    /// Reads the facts of a host, without touching its watched CPUs.
    #[must_use]
    pub fn read(host: &Host, watched: Watched, present: CpuSet, identity: Identity) -> Self {
        let folder = "/sys/devices/system/cpu";
        let list = |name: &str| host.cpu_list(&format!("{folder}/{name}"));
        let online = &watched.watched | &watched.housekeeping;
        let program = host.program();
        let privilege = host.require_privilege().err();
        let privilege = privilege.map(|it| Hindrance::of_privilege(&it, program.as_deref()));
        let kernel = host.require_probes().err().map(Hindrance::from);
        let groups = host.partitions();
        let (partitions, unread_partitions) = partitioned(host.cpuset_isolated(), &groups);
        Self {
            release: Release::parse(&identity.kernel),
            nohz_full: list("nohz_full"),
            isolated: list("isolated"),
            partitions,
            unread_partitions,
            groups,
            cpusets: host.cpusets(),
            boot: host.boot_arguments(),
            config: host.kernel_config(&identity.kernel),
            irqs: host.device_irqs(Release::parse(&identity.kernel)),
            default_irq_affinity: host.default_irq_affinity(),
            irqbalance: host.runs("irqbalance"),
            workqueues: host.workqueues(),
            lockup_watchdogs: host.lockup_watchdogs(&watched.watched),
            machine_check_interval: host.machine_check_interval(),
            memory: host.memory(),
            scheduler: host.scheduler(&watched.watched),
            clock: host.clock(&online),
            cpus: host.cpu_settings(&watched.watched),
            rights: host.rights(),
            program,
            hindrances: privilege.into_iter().chain(kernel).collect(),
            watched: watched.watched,
            housekeeping: watched.housekeeping,
            offline: watched.offline,
            present,
            identity,
        }
    }

    /// CPUs whose tick may stop.
    pub(super) fn tickless(&self) -> CpuSet {
        self.nohz_full.known().cloned().unwrap_or_default()
    }

    /// CPUs that no scheduler domain spans, by argument or by partition.
    pub(super) fn out_of_domains(&self) -> CpuSet {
        let isolated = self.isolated.known().cloned().unwrap_or_default();
        &isolated | &self.partitions
    }

    /// CPUs that no scheduler domain spans because of the kernel's command line.
    pub(super) fn booted_out_of_domains(&self) -> CpuSet {
        let isolated = self.isolated.known().cloned().unwrap_or_default();
        let Some(boot) = self.boot.known() else {
            return isolated;
        };
        let argument = boot.isolcpus().filter(Isolcpus::is_domain);
        let asked = argument.and_then(|argument| argument.cpus);
        &isolated & &asked.unwrap_or_default()
    }

    /// Housekeeping CPUs that nothing isolates.
    pub(super) fn free(&self) -> CpuSet {
        &(&self.housekeeping - &self.tickless()) - &self.out_of_domains()
    }

    /// CPUs that interrupts and work may be sent to: with `--cpus`, others than the watched ones
    /// may be isolated too. Where every CPU is, somebody has to take them.
    pub(super) fn noise_takers(&self) -> CpuSet {
        let free = self.free();
        if free.is_empty() {
            self.housekeeping.clone()
        } else {
            free
        }
    }

    /// CPUs for the list of a boot argument that isolates: the watched ones, and those that are
    /// isolated already or were asked for, which a list without them would give up.
    pub(super) fn to_isolate(&self) -> CpuSet {
        let boot = self.boot.known();
        let asked = boot.and_then(|boot| boot.cpus("nohz_full"));
        let isolcpus = boot.and_then(BootArguments::isolcpus);
        let isolcpus = isolcpus.and_then(|isolcpus| isolcpus.cpus);
        let others = [
            self.tickless(),
            self.out_of_domains(),
            asked.unwrap_or_default(),
            isolcpus.unwrap_or_default(),
        ];
        let all = others
            .iter()
            .fold(self.watched.clone(), |all, some| &all | some);
        let all = &all & &self.present;
        // The kernel takes no list that leaves no CPU.
        if (&self.housekeeping - &all).is_empty() {
            self.watched.clone()
        } else {
            all
        }
    }

    /// The argument that takes CPUs out of the scheduler's domains.
    pub(super) fn isolcpus(&self) -> String {
        format!("isolcpus=domain,managed_irq,{}", self.to_isolate())
    }

    /// How this program gets the rights that it makes use of.
    pub(super) fn setcap(&self) -> Remedy {
        setcap(self.program.as_deref())
    }

    /// Whether the kernel is of this version or a later one; `None` where it is not known.
    pub(super) fn is_from(&self, major: u32, minor: u32) -> Option<bool> {
        Some(self.release? >= Release(major, minor))
    }

    /// The machine is an x86.
    pub(super) fn is_x86(&self) -> bool {
        self.identity.arch == "x86_64"
    }
}

/// CPUs of isolated partitions, and why there may be more. The root's own list came with 6.7; each
/// partition has one of its own since there are any, from 6.1 on
/// (Documentation/admin-guide/cgroup-v2.rst, 6.1 and 6.12).
fn partitioned(
    listed: Result<CpuSet, HostError>,
    groups: &[Partition],
) -> (CpuSet, Option<String>) {
    let (mut cpus, mut why) = match listed {
        Ok(cpus) => (cpus, None),
        Err(error) => (CpuSet::new(), Some(error.to_string())),
    };
    for group in groups {
        match &group.cpus {
            _ if !group.isolated || group.invalid.is_some() => {}
            Reading::Known(own) => cpus = &cpus | own,
            Reading::Absent => {}
            Reading::Unreadable(reason) => why = Some(reason.clone()),
        }
    }
    (cpus, why)
}
