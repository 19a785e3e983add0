//! A valid `doctor`: which CPUs it looks at.

use super::PlanError;
use crate::{
    cli::DoctorArgs,
    host::{
        Host,
        cpu_list::CpuSet,
        identity::Identity,
        watched::{Watched, WatchedError},
    },
};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The report for people.
    Text,
    /// The report for machines.
    Json,
    /// The script alone.
    Script,
}

/// A valid `doctor`.
#[derive(Clone, Debug)]
pub struct DoctorPlan {
    /// Who is watched.
    pub watched: Watched,
    /// CPUs that are there, online or not.
    pub present: CpuSet,
    /// Names of host and kernel.
    pub identity: Identity,
    /// What is printed.
    pub form: Form,
}

impl DoctorPlan {
    /// Validates a `doctor`. Neither rights nor probes are asked for: whether they are there is
    /// part of the report.
    pub fn new(args: &DoctorArgs, host: &Host) -> Result<Self, PlanError> {
        let present = host.present()?;
        let watched = match host.watched(args.cpus.as_ref()) {
            // The kernel isolates nothing. Where it was told to, that is what has to be reported.
            Err(WatchedError::None) => {
                let asked = &asked_by_boot(host) & &host.online()?;
                if asked.is_empty() {
                    return Err(WatchedError::None.into());
                }
                host.watched(Some(&asked))?
            }
            watched => watched?,
        };
        Ok(Self {
            watched,
            present,
            identity: host.identity()?,
            form: match (args.json, args.script) {
                (true, _) => Form::Json,
                (false, true) => Form::Script,
                (false, false) => Form::Text,
            },
        })
    }
}

/// CPUs that the kernel was told to isolate, whether it did so or not.
fn asked_by_boot(host: &Host) -> CpuSet {
    let boot = host.boot_arguments();
    let Some(boot) = boot.known() else {
        return CpuSet::new();
    };
    let tickless = boot.cpus("nohz_full").unwrap_or_default();
    let isolated = boot.isolcpus().and_then(|isolcpus| isolcpus.cpus);
    &tickless | &isolated.unwrap_or_default()
}
