//! What is asked for, as the programs read it: filters, offsets.

use aya::{Ebpf, maps::HashMap as BpfHashMap};
use isol_trace_common::config::{Config, FILTER_COMM, FILTER_PID, FILTER_SECTION, PreemptCount};

use super::{btf::KernelTypes, error::TracerError};
use crate::event::{
    ids::{Cpu, Pid},
    model::Detection,
    signal::Signal,
};

/// The function of the timers of perf events that count time (`kernel/events/core.c`, v6.1 to v7.2).
pub const PERF_TIMER_FUNCTION: &str = "perf_swevent_hrtimer";

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
    /// This process, as probes see it; see [`super::numbers`].
    pub own: Pid,
    /// Bytes of each watched CPU's ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// How the kernel runs programs.
    pub execution: Execution,
    /// How the programs know an interrupt's context; see [`super::preempt::locate`].
    pub preempt_count: PreemptCount,
    /// Address of the kernel's [`PERF_TIMER_FUNCTION`], as far as it shows it.
    pub perf_timer_function: Option<u64>,
    /// Have the kernel measure the programs. It measures every program of the machine then.
    pub statistics: bool,
    /// Have senders leave a copy of their user stack.
    pub user_stacks: bool,
    /// Answer a breach inside an isolated section with this signal.
    pub strict: Option<Signal>,
}

/// How the kernel runs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// As machine code.
    Compiled,
    /// One instruction after the other. They may call no function of the kernel then
    /// (`kernel/bpf/verifier.c:add_kfunc_call`, v6.12).
    Interpreted,
}

/// System calls that are no breach: the task ends, or comes back from a handler, whose signal was one.
const EXEMPT_CALLS: [libc::c_long; 3] =
    [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigreturn];

/// The read-only configuration of the programs.
pub(super) fn configure(request: &Request, types: &KernelTypes) -> Config {
    let mut config = Config {
        offsets: types.offsets(),
        ..Config::EMPTY
    };
    for (wanted, filter) in [
        (!request.pids.is_empty(), FILTER_PID),
        (!request.comms.is_empty(), FILTER_COMM),
        (request.section_only, FILTER_SECTION),
    ] {
        if wanted {
            config.filters |= filter;
        }
    }
    for (place, (cpu, _)) in config.first_watched.iter_mut().zip(&request.watched) {
        *place = cpu.0;
    }
    config.prctl_number = u32::try_from(libc::SYS_prctl).unwrap_or(config.prctl_number);
    config.own_pid = request.own.0;
    config.queues_seen = u32::from(types.has_tracepoint("csd_queue_cpu"));
    config.user_stacks = u32::from(request.user_stacks);
    config.strict_signal = request.strict.map_or(0, Signal::number);
    config.exempt_calls = EXEMPT_CALLS.map(|call| u32::try_from(call).unwrap_or(u32::MAX));
    config.knows_isolation = u32::from(types.has_tracepoint("task_isolation_enter"));
    config.preempt_count = request.preempt_count;
    config.perf_timer_function = request.perf_timer_function.unwrap_or(0);
    config
}

/// Fills the maps that the filters read. They stay with the object: programs are loaded
/// later, and name maps by their descriptors.
pub(super) fn fill_filters(ebpf: &mut Ebpf, request: &Request) -> Result<(), TracerError> {
    fill(ebpf, "PIDS", &request.pids)?;
    fill(ebpf, "COMMS", &request.comms)
}

fn fill<K: aya::Pod>(ebpf: &mut Ebpf, name: &'static str, keys: &[K]) -> Result<(), TracerError> {
    let failed = |source| TracerError::Map { name, source };
    let map = ebpf.map_mut(name).ok_or(TracerError::NoMap(name))?;
    let mut map: BpfHashMap<_, K, u32> = BpfHashMap::try_from(map).map_err(failed)?;
    for key in keys {
        map.insert(key, 1, 0).map_err(failed)?;
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
            own: Pid(std::process::id()),
            ring_bytes: 1 << 16,
            execution: Execution::Compiled,
            preempt_count: PreemptCount::UNKNOWN,
            perf_timer_function: None,
            statistics: false,
            user_stacks: false,
            strict: None,
        }
    }

    #[test]
    fn filters_follow_the_request() {
        let types = KernelTypes::none();
        let mut request = watching(65, Detection::Vectors);
        request.own = Pid(4_000_000);
        let config = configure(&request, &types);
        assert_eq!(config.filters, 0);
        assert_eq!(config.own_pid, 4_000_000);
        assert_eq!(config.user_stacks, 0);
        request.pids.push(1);
        request.section_only = true;
        request.user_stacks = true;
        let config = configure(&request, &types);
        assert_eq!(config.filters, FILTER_PID | FILTER_SECTION);
        assert_eq!(config.user_stacks, 1);
    }
}
