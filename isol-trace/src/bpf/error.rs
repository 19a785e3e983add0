//! What keeps the tracer from working.

use aya::{EbpfError, maps::MapError};

use super::btf::BtfError;

/// What keeps the tracer from working at all. A single probe that fails is a verdict instead.
#[derive(Debug, thiserror::Error)]
pub enum TracerError {
    /// The kernel's type information is missing or malformed.
    #[error(transparent)]
    Types(#[from] BtfError),
    /// Aya could not read the type information that it attaches by.
    #[error("cannot use the kernel's type information: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object was refused as a whole.
    #[error("the kernel refused the BPF object: {}{}", chain(.0), hint(.0))]
    Load(#[from] EbpfError),
    /// A map was refused.
    #[error("the kernel refused the map {name}: {}{}", chain(.source), hint(.source))]
    Map {
        /// Which.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// The object lacks a map that this program expects.
    #[error("the BPF object has no map {0}: it does not belong to this program")]
    NoMap(&'static str),
    /// The ring of senders was not mapped.
    #[error("cannot map the ring in which other CPUs tell what they ask for: {0}")]
    Senders(std::io::Error),
    /// The kernel does not measure programs.
    #[error("--bpf-stats: the kernel does not measure BPF programs for us: {0}")]
    Statistics(std::io::Error),
    /// Whoever attaches was asked to stop.
    #[error("attaching the probes was broken off")]
    BrokenOff,
    /// A probe that nothing works without.
    #[error("cannot trace {}: the probe {probe} is not attached: {why}", crate::host::cpu_list::in_words(.cpus))]
    Essential {
        /// Which CPUs would be blind.
        cpus: String,
        /// Which probe.
        probe: &'static str,
        /// Why.
        why: String,
    },
}

/// What helps where the kernel refuses what the rights of this process allow, or has no room.
fn hint(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let number = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        match number {
            Some(libc::EPERM) => {
                return "; the capabilities are there, so something else forbids bpf(2): most often the seccomp filter of a container or of a systemd unit (SystemCallFilter=): run isol-trace on the host itself, or allow bpf and perf_event_open";
            }
            Some(libc::EMFILE | libc::ENFILE) => {
                return "; there are too few file descriptors: raise `ulimit -n`";
            }
            Some(libc::ENOMEM) => {
                return "; there is too little memory for the rings: see `ulimit -v`, `ulimit -l` and the limit of the control group, or make the rings smaller with --ring-size";
            }
            _ => {}
        }
        cause = error.source();
    }
    ""
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    // A verifier log has many lines; its first non-empty one says what was refused.
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("unknown error")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_may_forbid_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let of = |number| hint(&Outer(std::io::Error::from_raw_os_error(number)));
        assert!(of(libc::EPERM).contains("seccomp"));
        assert!(of(libc::EMFILE).contains("ulimit -n"));
        assert_eq!(of(libc::EINVAL), "");
    }
}
