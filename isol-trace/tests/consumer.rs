//! A consumer that knows no more than the library shows: the example of docs/adding-a-consumer.md.

use std::collections::BTreeMap;

use isol_trace::{
    consume::{Consumer, FanOut, json::JsonLines},
    event::{
        ids::{Cpu, Nanos},
        model::Event,
    },
    wire::LogReader,
};

/// The longest breach of each CPU.
#[derive(Debug, Default)]
struct Worst(BTreeMap<Cpu, Nanos>);

impl Consumer for Worst {
    fn event(&mut self, event: &Event) {
        if let Event::Breach(breach) = event
            // Absent means not known, and that is not zero.
            && let Some(duration) = breach.duration
        {
            let worst = self.0.entry(breach.cpu).or_default();
            *worst = duration.max(*worst);
        }
    }
}

#[test]
fn a_consumer_hears_a_log_beside_another() {
    let mut worst = Worst::default();
    let mut json = JsonLines::new(std::io::sink());
    let mut all = FanOut::new().with(&mut worst).with(&mut json);
    let log: &[u8] = include_bytes!("explain/killed.jsonl");
    for event in LogReader::new(log) {
        all.event(&event.unwrap());
    }
    all.flush();
    assert!(all.take_error().is_none());
    assert_eq!(worst.0[&Cpu(3)], Nanos(21_040));
}
