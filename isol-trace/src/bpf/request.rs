//! What is asked for, as the programs read it: masks, filters, offsets.

use aya::{Ebpf, maps::HashMap as BpfHashMap};
use isol_trace_common::config::{Config, FILTER_COMM, FILTER_PID, FILTER_SECTION};

use super::{
    btf::KernelTypes,
    tracer::{TracerError, typed},
};
use crate::event::{ids::Cpu, model::Detection};

/// What to watch.
#[derive(Clone, Debug)]
pub struct Request {
    /// The watched CPUs and how their entries are to be found.
    pub watched: Vec<(Cpu, Detection)>,
    /// Number of possible CPUs: every CPU number is below it.
    pub possible_cpus: u32,
    /// Only these processes or threads; empty: all.
    pub pids: Vec<u32>,
    /// Only threads of these names, padded with zeros; empty: all.
    pub comms: Vec<[u8; 16]>,
    /// Only entries inside an isolated section.
    pub section_only: bool,
    /// Bytes of each watched CPU's ring: a power of two, at least a page.
    pub ring_bytes: u32,
}

/// The read-only configuration of the programs.
pub(super) fn configure(request: &Request, types: &KernelTypes) -> Config {
    let mut config = Config {
        offsets: types.offsets(),
        ..Config::EMPTY
    };
    for &(cpu, detection) in &request.watched {
        let (word, bit) = ((cpu.0 / 64) as usize, 1 << (cpu.0 % 64));
        if let Some(mask) = config.watched.get_mut(word) {
            *mask |= bit;
        }
        if detection == Detection::Vectors
            && let Some(mask) = config.vectors.get_mut(word)
        {
            *mask |= bit;
        }
    }
    for (wanted, filter) in [
        (!request.pids.is_empty(), FILTER_PID),
        (!request.comms.is_empty(), FILTER_COMM),
        (request.section_only, FILTER_SECTION),
    ] {
        if wanted {
            config.filters |= filter;
        }
    }
    config.prctl_number = u32::try_from(libc::SYS_prctl).unwrap_or(config.prctl_number);
    config.own_pid = std::process::id();
    config
}

/// Fills the maps that the filters read.
pub(super) fn fill_filters(ebpf: &mut Ebpf, request: &Request) -> Result<(), TracerError> {
    let mut pids: BpfHashMap<_, u32, u32> = typed(ebpf, "PIDS")?;
    for pid in &request.pids {
        pids.insert(pid, 1, 0).map_err(|source| TracerError::Map {
            name: "PIDS",
            source,
        })?;
    }
    let mut comms: BpfHashMap<_, [u8; 16], u32> = typed(ebpf, "COMMS")?;
    for comm in &request.comms {
        comms
            .insert(comm, 1, 0)
            .map_err(|source| TracerError::Map {
                name: "COMMS",
                source,
            })?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the tests ask for: one CPU, everything on it.
    pub(crate) fn watching(cpu: u32, detection: Detection) -> Request {
        Request {
            watched: vec![(Cpu(cpu), detection)],
            possible_cpus: cpu + 1,
            pids: Vec::new(),
            comms: Vec::new(),
            section_only: false,
            ring_bytes: 1 << 16,
        }
    }

    #[test]
    fn masks_and_filters_follow_the_request() {
        let types = KernelTypes::none();
        let mut request = watching(65, Detection::Vectors);
        request.watched.push((Cpu(2), Detection::ContextTracking));
        let config = configure(&request, &types);
        assert_eq!((config.watched[0], config.watched[1]), (1 << 2, 1 << 1));
        assert_eq!((config.vectors[0], config.vectors[1]), (0, 1 << 1));
        assert_eq!(config.filters, 0);
        assert_eq!(config.own_pid, std::process::id());
        request.pids.push(1);
        request.section_only = true;
        assert_eq!(
            configure(&request, &types).filters,
            FILTER_PID | FILTER_SECTION
        );
    }
}
