//! Whatever happens, in whatever order, at whatever size: nothing panics.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Key(Key),
    Pass(u64),
    Tick(u64),
    Size(u16, u16),
    Header(u32, bool),
    Ended,
    Skipped,
    Lost,
    Watched(u32, u32),
    Moved,
    Wild(Box<crate::event::model::CpuSummary>),
}

fn step() -> impl Strategy<Value = Step> {
    use Key::{
        Clear, Down, Enter, Escape, First, Help, Last, LiveTab, NextPane, PageDown, PageUp, Pause,
        PreviousPane, ProbesTab, Repaint, Reverse, Sort, Up,
    };
    let key = prop::sample::select(vec![
        Clear,
        Down,
        Enter,
        Escape,
        First,
        Help,
        Last,
        LiveTab,
        NextPane,
        PageDown,
        PageUp,
        Pause,
        PreviousPane,
        ProbesTab,
        Repaint,
        Reverse,
        Sort,
        Up,
    ]);
    let wild = (any::<u32>(), any::<[u64; 4]>()).prop_map(|(cpu, [a, b, c, d])| {
        let mut summary = cpu_summary(Cpu(cpu), &[]);
        (summary.entries, summary.unattributed) = (a >> 16, b >> 16);
        (summary.kernel, summary.max) = (Some(Nanos(c >> 16)), Some(Nanos(d >> 16)));
        (summary.lost, summary.open) = (a % 3, b % 2);
        Box::new(summary)
    });
    prop_oneof![
        12 => key.prop_map(Step::Key),
        3 => (0_u64..40).prop_map(Step::Pass),
        1 => any::<u64>().prop_map(Step::Tick),
        3 => (0_u16..150, 0_u16..50).prop_map(|(width, height)| Step::Size(width, height)),
        1 => (0_u32..20, any::<bool>()).prop_map(|(cpus, by)| Step::Header(cpus, by)),
        1 => Just(Step::Ended),
        1 => Just(Step::Skipped),
        1 => Just(Step::Lost),
        1 => (0_u32..20, 0_u32..20).prop_map(|(released, isolated)| Step::Watched(released, isolated)),
        1 => Just(Step::Moved),
        1 => wild.prop_map(Step::Wild),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_can_happen_panics(steps in prop::collection::vec(step(), 1..60)) {
        let (mut app, mut story) = (App::new(), Story::new(1..5, 3));
        let (mut width, mut height) = (80, 24);
        for step in steps {
            match step {
                Step::Key(key) => { app.key(key); }
                Step::Pass(breaches) => for update in story.pass(100, breaches) {
                    app.apply(update);
                },
                Step::Tick(at) => app.tick(crate::event::ids::MonoNanos(at)),
                Step::Size(columns, rows) => (width, height) = (columns, rows),
                Step::Header(cpus, vectors) => {
                    let mut header = header(0..cpus);
                    if let (true, Some(cpu)) = (vectors, header.cpus.first_mut()) {
                        cpu.1 = Detection::Vectors;
                    }
                    app.apply(Update::Header(header));
                }
                Step::Ended => app.apply(Update::Ended(story.summary())),
                Step::Skipped => app.apply(Update::Skipped(12)),
                Step::Lost => app.apply(Update::Event(Event::Lost {
                    cpu: Cpu(1), records: 3, at: after_ms(5),
                })),
                Step::Watched(released, isolated) => app.apply(Update::Event(Event::Watched(WatchedSet {
                    at: after_ms(6),
                    changes: vec![
                        (Cpu(released), CpuChange::Released),
                        (Cpu(isolated), CpuChange::Isolated),
                    ],
                    cpus: vec![(Cpu(isolated), Detection::Vectors)],
                    blind_spots: Vec::new(),
                    housekeeping: vec![Cpu(released)],
                    probes: Vec::new(),
                }))),
                Step::Moved => app.apply(Update::Event(Event::Moved {
                    task: breach(1, 1, after_ms(0), 0).task,
                    from: Cpu(1),
                    to: Cpu(0),
                    at: after_ms(7),
                })),
                Step::Wild(summary) => app.apply(Update::Totals(Totals {
                    at: after_ms(summary.entries % 10_000), cpus: vec![*summary],
                })),
            }
            show(&mut app, width, height);
            prop_assert!(app.model().breaches.len() <= crate::tui::model::KEPT);
        }
    }
}
