//! scratch
use isol_trace::{
    bpf::tracer::*,
    event::{assemble::Assembler, ids::*, model::*},
};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let det = if args[1] == "ct" {
        Detection::ContextTracking
    } else {
        Detection::Vectors
    };
    let cpus: Vec<u32> = args[2].split(',').map(|c| c.parse().unwrap()).collect();
    let secs: f64 = args[3].parse().unwrap();
    let possible = std::thread::available_parallelism()
        .map_or(4, |n| n.get() as u32)
        .max(4);
    let request = Request {
        watched: cpus.iter().map(|&c| (Cpu(c), det)).collect(),
        possible_cpus: possible,
        pids: vec![],
        comms: vec![],
        section_only: false,
        ring_bytes: 1 << 20,
    };
    let mut t = match Tracer::attach(&request, std::path::Path::new("/sys/kernel/btf/vmlinux")) {
        Ok(t) => t,
        Err(e) => {
            println!("ERR {e}");
            return;
        }
    };
    for v in t.verdicts() {
        if v.state != ProbeState::Attached {
            println!("{} {:?}", v.name, v.state);
        }
    }
    t.arm().unwrap();
    let start = std::time::Instant::now();
    let mut a = Assembler::new();
    let mut shown = 0;
    let mut n = 0usize;
    let mut errs = 0;
    let verbose = args.len() > 4;
    while start.elapsed().as_secs_f64() < secs {
        n += t.drain(1 << 20, |cpu, b| match a.record(cpu, b) {
            Ok(Some(e)) => {
                if verbose && shown < 60 {
                    shown += 1;
                    if let Event::Breach(b) = &e {
                        println!(
                            "{} cpu{} {:?} tid {} {:?} dur {:?} idle {:?} end {:?} ip {} act {:?}",
                            b.seq,
                            b.cpu,
                            b.at,
                            b.task.tid,
                            b.cause,
                            b.duration,
                            b.idle,
                            b.end,
                            b.ip,
                            b.activities
                                .iter()
                                .map(|a| (
                                    a.kind.word(),
                                    a.number,
                                    a.address.map(|x| x.to_string()),
                                    a.comm.clone(),
                                    a.net.map(|n| n.0)
                                ))
                                .collect::<Vec<_>>()
                        );
                    } else {
                        println!("{e:?}");
                    }
                }
            }
            Ok(None) => {}
            Err(e) => {
                errs += 1;
                println!("{e}")
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    t.disarm().unwrap();
    n += t.drain(usize::MAX, |cpu, b| {
        let _ = a.record(cpu, b);
    });
    println!("records {n} breaches {} errs {errs}", a.breaches());
    for (cpu, s) in t.snapshots().unwrap() {
        let l = &s.ledger;
        println!(
            "cpu{cpu} phase {:?} entries {} unattr {} filtered {} lost {} notes {} kernel {} idle {} away {} max {} dropped {} tainted {} own {}",
            s.phase,
            l.entries,
            l.unattributed,
            l.filtered,
            l.lost,
            l.lost_notes,
            l.kernel_ns,
            l.idle_ns,
            l.away_ns,
            l.max_ns,
            l.dropped_activities,
            l.tainted,
            l.own_entries
        );
        for c in Cause::ALL {
            let k = &l.causes[*c as usize];
            if k.count > 0 {
                println!(
                    "   {} {} total {} max {}",
                    c.word(),
                    k.count,
                    k.total_ns,
                    k.max_ns
                );
            }
        }
    }
    println!(
        "missed {:?} own {}",
        t.missed_runs(),
        t.own_sends().unwrap()
    );
}
