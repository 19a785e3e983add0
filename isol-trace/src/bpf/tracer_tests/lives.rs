//! Tasks die, and their numbers are used again: nothing is kept under them.

use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use isol_trace_common::{
    config::SECTIONS_TOGETHER,
    kill::{Section, Signalled, Strike},
    span::away::Away,
};

use super::*;
use crate::bpf::watch::AwayWords;

/// A map's value as bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Bytes<const N: usize>([u8; N]);

// SAFETY: plain bytes.
unsafe impl<const N: usize> aya::Pod for Bytes<N> {}

/// A value of `SECTIONS`.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Sections([u16; SECTIONS_TOGETHER as usize]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for Sections {}

impl Bench {
    fn keyed<const N: usize>(&mut self, name: &str) -> BpfHashMap<&mut MapData, u32, Bytes<N>> {
        BpfHashMap::try_from(self.tracer.ebpf.map_mut(name).unwrap()).unwrap()
    }

    fn keep<const N: usize>(&mut self, name: &str, key: u32, value: [u8; N]) {
        self.keyed(name).insert(key, Bytes(value), 0).unwrap();
    }

    fn keep_away(&mut self, tid: u32, opened_ns: u64) {
        let map = &mut self.tracer.watch.away;
        map.insert(tid, away(opened_ns), 0).unwrap();
    }

    fn keeps_away(&self, tid: u32) -> bool {
        self.tracer.watch.away.get(&tid, 0).is_ok()
    }

    /// The sections of threads with neighbouring numbers.
    fn sections(&mut self) -> Array<&mut MapData, Sections> {
        Array::try_from(self.tracer.ebpf.map_mut("SECTIONS").unwrap()).unwrap()
    }

    fn keep_section(&mut self, tid: u32, section: u16) {
        let mut map = self.sections();
        let mut together = map.get(&(tid / SECTIONS_TOGETHER), 0).unwrap();
        together.0[(tid % SECTIONS_TOGETHER) as usize] = section;
        map.set(tid / SECTIONS_TOGETHER, together, 0).unwrap();
    }

    fn keeps_section(&mut self, tid: u32) -> bool {
        let together = self.sections().get(&(tid / SECTIONS_TOGETHER), 0).unwrap();
        together.0[(tid % SECTIONS_TOGETHER) as usize] != 0
    }

    fn keeps<const N: usize>(&mut self, name: &str, key: u32) -> bool {
        self.keyed::<N>(name).get(&key, 0).is_ok()
    }
}

/// An entry that was opened at a time, and lasted no time, as `AWAY` has it.
fn away(opened_ns: u64) -> AwayWords {
    let mut words = [0; size_of::<Away>() / 4];
    let [lower, upper] = [opened_ns, opened_ns >> 32].map(|half| (half & 0xffff_ffff) as u32);
    words[..4].copy_from_slice(&[lower, upper, lower, upper]);
    AwayWords(words)
}

fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Whatever is kept under a thread's number goes when it dies, on whichever CPU that is.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn nothing_is_kept_of_a_thread_that_dies() {
    for watched in [CPU, CPU + 1] {
        let mut bench = Bench::new(|request| {
            request.watched = vec![(Cpu(watched), Detection::Vectors)];
            request.possible_cpus = CPU + 2;
            request.strict = crate::event::signal::Signal::new(9);
            request.pids = vec![this_thread()];
        });
        let tid = this_thread();
        let (pid, other) = (this_process(), tid + 1);
        assert_ne!(tid, pid, "tests have threads of their own");
        bench.tracer.arm().unwrap();
        for key in [tid, other] {
            bench.keep_away(key, now());
            bench.keep_section(key, Section::PLAIN.0);
            bench.keep("STRICT", key, [1, 0, 0, 0]);
            bench.keep("STRIKES", key, [0; size_of::<Strike>()]);
            bench.keep("PIDS", key, [1, 0, 0, 0]);
        }
        let signalled = BpfHashMap::<_, u32, Bytes<{ size_of::<Signalled>() }>>::try_from(
            bench.tracer.ebpf.map_mut("SIGNALLED").unwrap(),
        );
        let zeros = Bytes([0; size_of::<Signalled>()]);
        signalled.unwrap().insert(pid, zeros, 0).unwrap();
        bench.run("raw_sched_process_exit", &[]);
        for (key, expected) in [(tid, false), (other, true)] {
            let kept = [
                bench.keeps_away(key),
                bench.keeps_section(key),
                bench.keeps::<4>("STRICT", key),
                bench.keeps::<{ size_of::<Strike>() }>("STRIKES", key),
                bench.keeps::<4>("PIDS", key),
            ];
            assert_eq!(kept, [expected; 5], "{key} of {tid}, watched {watched}");
        }
        assert!(
            bench.keeps::<{ size_of::<Signalled>() }>("SIGNALLED", pid),
            "its process lives"
        );
    }
}

/// What was kept before a thread was born is another one's: it is dropped, and counted as a defect.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_thread_does_not_return_from_an_entry_of_before_its_birth() {
    let mut bench = Bench::new(|_| ());
    let tid = this_thread();
    bench.tracer.arm().unwrap();
    bench.keep_away(tid, now());
    bench.run("raw_user_enter", &[]);
    let events = bench.events();
    let [RawEvent::Complete(Event::Back { away: lasted, .. })] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(bench.snapshot().ledger.away_ns, lasted.0);
    bench.keep_away(tid, 1);
    bench.run("raw_user_enter", &[]);
    assert_eq!(bench.events(), []);
    let ledger = bench.snapshot().ledger;
    assert_eq!((ledger.away_ns, ledger.tainted), (lasted.0, 1));
    assert!(!bench.keeps_away(tid));
}
