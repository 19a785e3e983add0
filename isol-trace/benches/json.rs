//! How many breach records a second one core turns into JSON lines, how much attribution takes, and how much a filter.
//!
//! `cargo bench -p isol-trace --bench json`. The target is 1,000,000 records a second.
//!
//! It ends with what the log's own serializer wins over that of `serde_json` for the same records: both write them by
//! turns, and the best round of each counts.

#![expect(clippy::expect_used, reason = "a bench that cannot go on fails")]

#[path = "../tests/sink/samples.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod samples;

use std::{
    hint::black_box,
    io::{self, Seek, Write},
    path::Path,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use isol_trace::{
    attrib::{Attributor, Options},
    consume::{Consumer as _, json::JsonLines},
    event::{
        entry::{KernelActivity, KernelEntry},
        ids::{MonoNanos, Nanos, Seq},
        model::{Breach, Cause, CauseDetail, Event},
        origin::RawOrigin,
        raw::{ActivityOrigin, RawBreach},
    },
    filter::{Filter, Subject},
    sink::LogFile,
    symbolize::Starter,
    wire::{model, writer},
};

/// Records of one measured round.
const RECORDS: u64 = 10_000;

/// A storm's records: mostly system calls, a fault and a timer with activities among them, each at its own time.
fn storm() -> Vec<Event> {
    let fault = &samples::causes()[2];
    let timer = Breach {
        cause: CauseDetail::Plain(Cause::LocalTimer),
        activities: samples::activities()[4..7].to_vec(),
        ..samples::breach()
    };
    (0..RECORDS)
        .map(|number| {
            let kind = match number % 16 {
                7 => fault.clone(),
                15 => timer.clone(),
                _ => samples::breach(),
            };
            Event::Breach(Box::new(Breach {
                seq: Seq(number + 1),
                at: MonoNanos(samples::BEGIN.0 + number * 997),
                duration: Some(Nanos(200 + number % 5_000)),
                ..kind
            }))
        })
        .collect()
}

/// The same before names.
fn raw_storm() -> Vec<RawBreach> {
    let breaches = storm().into_iter().filter_map(|event| match event {
        Event::Breach(breach) => Some(*breach),
        _ => None,
    });
    let raw = |breach: Breach| RawBreach {
        seq: breach.seq,
        asked: vec![ActivityOrigin::default(); breach.activities.len()],
        origins: vec![RawOrigin::Task],
        entry: KernelEntry {
            at: breach.at,
            cpu: breach.cpu,
            duration: breach.duration,
            idle: breach.idle,
            end: breach.end,
            section: breach.section == Some(true),
            task: breach.task,
            cause: breach.cause,
            cause_net: breach.cause_net,
            cause_began: None,
            user_since: None,
            ip: breach.ip,
            activities: breach
                .activities
                .into_iter()
                .map(|item| KernelActivity {
                    kind: item.kind,
                    number: item.number,
                    address: item.address,
                    key: None,
                    began: None,
                    comm: item.comm,
                    net: item.net,
                    perf_event: None,
                })
                .collect(),
            dropped_activities: breach.dropped_activities,
        },
    };
    breaches.map(raw).collect()
}

fn write<W: Write>(log: &mut JsonLines<W>, events: &[Event]) {
    for event in events {
        log.event(black_box(event));
    }
    log.flush();
    assert!(log.take_error().is_none(), "there is room");
}

fn lines(criterion: &mut Criterion) {
    let events = storm();
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("breach records", |bencher| {
        let mut log = JsonLines::with_anchor(io::sink(), samples::anchor());
        bencher.iter(|| write(&mut log, &events));
    });
    group.bench_function("breach records to a file", |bencher| {
        let mut file = tempfile::tempfile().expect("a file");
        let same = file.try_clone().expect("a descriptor");
        let output = LogFile::from_file(same).expect("a file");
        let mut log = JsonLines::with_anchor(output, samples::anchor());
        bencher.iter(|| {
            write(&mut log, &events);
            // Over and over the same part of the file: the disk is not what is measured.
            file.rewind().expect("a file");
        });
    });
    group.finish();
}

fn attribution(criterion: &mut Criterion) {
    let defaults = Options::default();
    let options = Options {
        symbolizer: Starter {
            program: env!("CARGO_BIN_EXE_isol-trace").into(),
            ..defaults.symbolizer.clone()
        },
        ..defaults
    };
    let mut attributor = Attributor::new(Path::new("/"), &options).expect("a thread");
    let storm = raw_storm();
    let mut group = criterion.benchmark_group("attribution");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("breach records", |bencher| {
        bencher.iter_batched(
            || storm.clone(),
            |storm| {
                for raw in storm {
                    let lookup = attributor.look_up(Box::new(black_box(raw)));
                    black_box(attributor.breach(lookup));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// How many breaches are asked whether a filter takes them.
fn filters(criterion: &mut Criterion) {
    let events = storm();
    let mut group = criterion.benchmark_group("filter");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, text) in [
        (
            "terms",
            "cpu:0-3 -cause:nmi dur>1us -remedy:tlb-munmap section",
        ),
        ("regular expression", "fn:/^flush_tlb/"),
        ("word", "logger"),
    ] {
        let filter: Filter = text.parse().expect("a filter");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let breaches = events.iter().filter_map(|event| match event {
                    Event::Breach(breach) => Some(&**breach),
                    _ => None,
                });
                let taken = breaches.filter(|breach| {
                    filter.takes(&Subject {
                        breach: black_box(breach),
                        away: None,
                        wall: None,
                        is_new: None,
                    })
                });
                black_box(taken.count())
            });
        });
    }
    group.finish();
}

/// The records of the storm's lines.
fn records(lines: &str) -> Vec<model::Breach<'_>> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a breach"))
        .collect()
}

/// How long the records take.
fn round<'a>(
    records: &'a [model::Breach<'a>],
    out: &mut Vec<u8>,
    write: impl Fn(&mut Vec<u8>, &model::Breach<'a>) -> serde_json::Result<()>,
) -> Duration {
    let begin = Instant::now();
    for record in records {
        // As the log does: what is gathered stays in the cache.
        if out.len() > 64 * 1024 {
            out.clear();
        }
        write(out, black_box(record)).expect("a record");
    }
    begin.elapsed()
}

#[expect(clippy::print_stdout, reason = "a bench tells what it has measured")]
fn serializers(_: &mut Criterion) {
    let mut lines = Vec::new();
    write(
        &mut JsonLines::with_anchor(&mut lines, samples::anchor()),
        &storm(),
    );
    let lines = String::from_utf8(lines).expect("UTF-8");
    let breaches: String = lines
        .lines()
        .filter(|line| line.starts_with("{\"type\":\"breach\""))
        .flat_map(|line| [line, "\n"])
        .collect();
    let records = records(&breaches);
    let mut out = Vec::with_capacity(128 * 1024);
    let mut best = [Duration::MAX; 2];
    for _ in 0..200 {
        let ours = round(&records, &mut out, writer::write);
        let serde_json = round(&records, &mut out, |out, record| {
            serde_json::to_writer(out, record)
        });
        best = [best[0].min(ours), best[1].min(serde_json)];
    }
    let nanoseconds = best.map(|round| round.as_nanos() as f64 / records.len() as f64);
    let [ours, serde_json] = nanoseconds;
    println!(
        "a record: {ours:.0} ns by the log's serializer, {serde_json:.0} ns by serde_json: {:.2} times as long",
        serde_json / ours
    );
}

criterion_group!(benches, lines, attribution, filters, serializers);
criterion_main!(benches);
