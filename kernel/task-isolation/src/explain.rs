//! From the kernel's answer, and what can be seen, to the rule that was broken.

use std::io;

use syscalls::Errno;

use crate::{
    Config, Cpus, Error, Features, Lack,
    facts::{self, Placement},
};

/// Why the kernel does not say what it can do.
pub(crate) fn features(errno: Errno, release: impl FnOnce() -> String) -> Error {
    match errno {
        // With arguments that are right, this is how prctl answers to what it does not know.
        Errno::EINVAL => Error::Unsupported { release: release() },
        errno => refused("to name its features", errno),
    }
}

/// Why a configuration was refused by a kernel with these features.
pub(crate) fn configure(errno: Errno, config: &Config, features: &Features) -> Error {
    let lacking = features.lacking(config);
    match errno {
        Errno::EBUSY => Error::AlreadyIsolated,
        Errno::ENOMEM => Error::NoMemory,
        // A Config holds no signal, and no sum of mode and signal, that would be refused.
        Errno::EINVAL if !lacking.is_empty() => Error::Unknown {
            release: facts::release(),
            lacking,
        },
        errno => refused("the configuration", errno),
    }
}

/// Why an activation was refused by a kernel with task isolation, save for `EAGAIN`.
pub(crate) fn enter(errno: Errno, placement: &Placement, isolable: Option<Cpus>) -> Error {
    match errno {
        Errno::EINVAL => misplaced(placement, isolable)
            .unwrap_or_else(|| refused("to isolate the thread", errno)),
        Errno::EBUSY => Error::AlreadyIsolated,
        Errno::ENOMEM => Error::NoMemory,
        errno => refused("to isolate the thread", errno),
    }
}

/// Which rule of placement is broken, if one is.
fn misplaced(placement: &Placement, isolable: Option<Cpus>) -> Option<Error> {
    let isolable = isolable.unwrap_or_else(|| placement.isolable());
    let Some(cpu) = placement.allowed.only() else {
        return Some(Error::NotOneCpu {
            allowed: placement.allowed.clone(),
            isolable,
        });
    };
    let lack = match (
        placement.nohz_full.contains(cpu),
        placement.domain.contains(cpu),
    ) {
        (true, true) => return None,
        (false, true) => Lack::NohzFull,
        (true, false) => Lack::Domain,
        (false, false) => Lack::Both,
    };
    Some(Error::CpuNotIsolated {
        cpu,
        lack,
        isolable,
    })
}

/// What nothing explains.
pub(crate) fn refused(operation: &'static str, errno: Errno) -> Error {
    Error::Refused {
        operation,
        source: io::Error::from_raw_os_error(errno.into_raw()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Obstacle, OnBreach, Quiesce, Signal, abi::Read};

    fn placement(allowed: &str, nohz_full: &str, domain: &str) -> Placement {
        let list = |text| Cpus::parse(text).unwrap();
        Placement {
            allowed: list(allowed),
            nohz_full: list(nohz_full),
            domain: list(domain),
        }
    }

    fn told(allowed: &str, nohz_full: &str, domain: &str) -> String {
        enter(
            Errno::EINVAL,
            &placement(allowed, nohz_full, domain),
            Cpus::parse("1-2"),
        )
        .to_string()
    }

    #[test]
    fn a_kernel_without_the_feature_is_named() {
        let error = features(Errno::EINVAL, || "6.12.1".into());
        let told = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }));
        assert!(told.starts_with("Linux 6.12.1 has no task isolation: boot a kernel with"));
        let filtered = features(Errno::EPERM, || "6.12.1".into());
        assert!(matches!(filtered, Error::Refused { .. }));
    }

    #[test]
    fn affinity_to_several_cpus_is_one_reason() {
        let told = told("0-3", "1-2", "1-2");
        assert!(told.contains("may run on the CPUs 0-3"), "{told}");
        assert!(told.ends_with("with one of 1-2"), "{told}");
    }

    #[test]
    fn a_cpu_that_is_not_isolated_is_told_what_it_lacks() {
        let both = told("0", "1-2", "1-2");
        assert!(both.contains("CPU 0 is not fully isolated"), "{both}");
        assert!(both.contains("nohz_full=, and neither isolcpus="), "{both}");
        let tick = told("3", "1-2", "1-3");
        assert!(
            tick.contains("nohz_full=") && !tick.contains("isolcpus="),
            "{tick}"
        );
        let domain = told("3", "1-3", "1-2");
        assert!(
            domain.contains("isolcpus=") && !domain.contains("nohz_full="),
            "{domain}"
        );
    }

    #[test]
    fn what_nothing_explains_is_passed_on() {
        let error = enter(Errno::EINVAL, &placement("1", "1-2", "1-2"), None);
        assert!(
            matches!(error, Error::Refused { source, .. } if source.raw_os_error() == Some(22))
        );
    }

    #[test]
    fn who_is_isolated_already_is_told_so() {
        let error = enter(Errno::EBUSY, &placement("1", "1-2", "1-2"), None);
        assert!(matches!(error, Error::AlreadyIsolated), "{error}");
    }

    #[test]
    fn where_the_kernel_has_no_list_the_facts_make_one() {
        let error = enter(Errno::EINVAL, &placement("0", "1-2", "2-3"), None);
        assert!(error.to_string().ends_with("those that are: 2"), "{error}");
    }

    #[test]
    fn a_configuration_that_the_kernel_does_not_know_is_named() {
        let features = Features::decode(Read {
            words: [1, 3, 7, 0],
            more: false,
        });
        let config = Config::new(OnBreach::Signal(Signal::USR1)).with_flags(Flags::NMI);
        let error = configure(Errno::EINVAL, &config, &features).to_string();
        assert!(
            error.ends_with("does not know the mode SIGNAL, the flags NMI"),
            "{error}"
        );
        let error = configure(Errno::EBUSY, &config, &features);
        assert!(matches!(error, Error::AlreadyIsolated));
        let error = configure(Errno::EINVAL, &Config::default(), &features);
        assert!(matches!(error, Error::Refused { .. }));
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        let error = |obstacles| Error::NotQuiet {
            quiesce: Quiesce::all(),
            obstacles,
            attempts: 3,
        };
        let thread = Obstacle::Thread {
            tid: 77,
            comm: "busy".into(),
        };
        assert_eq!(
            error(vec![thread, Obstacle::CpuTimer("RLIMIT_CPU")]).to_string(),
            "the CPU could not be put to rest (VMSTAT | LRU | TICK) in 3 attempts: the thread 77 \
             (busy) is runnable there; this process has a CPU-time timer (RLIMIT_CPU)"
        );
        let unseen = error(Vec::new()).to_string();
        assert!(unseen.contains("timer:tick_stop"), "{unseen}");
    }
}
