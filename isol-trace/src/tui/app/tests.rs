//! What keys and updates do to the state.

use isol_trace_common::cause::Cause;

use super::*;
use crate::{
    event::{
        ids::{Cpu, Nanos, Seq, Tid},
        model::{CpuChange, Detection, Event, Totals, WatchedSet},
    },
    tui::{
        model::KEPT,
        rows::{Column as _, CpuColumn, Order},
        sample::{Story, after_ms, breach, cpu_summary, header},
    },
};

fn breached(seq: u64, cpu: u32, pattern: u64) -> Update {
    let breach = breach(seq, cpu, after_ms(seq), pattern);
    Update::Event(Event::Breach(Box::new(breach)))
}

fn totals(at: u64, counts: &[(u32, u64)]) -> Update {
    let cpu = |&(cpu, count)| cpu_summary(Cpu(cpu), &[(Cause::Syscall, count, count * 100, 100)]);
    Update::Totals(Totals {
        at: after_ms(at),
        cpus: counts.iter().map(cpu).collect(),
    })
}

fn started() -> App {
    let mut app = App::new();
    app.apply(Update::Header(header([1, 2])));
    app
}

fn listed(app: &App) -> Vec<u64> {
    let rows = app.breaches();
    rows.iter().map(|kept| kept.breach.seq.0).collect()
}

fn shown(app: &App) -> Option<u64> {
    app.shown_breach().map(|kept| kept.breach.seq.0)
}

#[test]
fn escape_closes_one_thing_after_the_other_and_then_leaves() {
    let mut app = started();
    app.apply(breached(1, 1, 0));
    for key in [
        Key::Enter,
        Key::PreviousPane,
        Key::PreviousPane,
        Key::ProbesTab,
        Key::Help,
    ] {
        assert_eq!(app.key(key), Action::Continue);
    }
    assert_eq!(app.key(Key::Escape), Action::Continue);
    assert!(!app.ui().help);
    assert_eq!(app.key(Key::Escape), Action::Continue);
    assert_eq!(app.ui().tab, Tab::Live);
    assert_eq!(app.key(Key::Escape), Action::Continue);
    assert!(!app.ui().detail);
    assert_eq!(app.key(Key::Escape), Action::Quit);
    app.key(Key::Help);
    assert_eq!(app.key(Key::Quit), Action::Quit, "from anywhere");
}

#[test]
fn a_held_view_counts_on() {
    let mut app = started();
    app.apply(totals(1_000, &[(1, 10), (2, 0)]));
    app.apply(breached(1, 1, 0));
    app.key(Key::Pause);
    assert_eq!(app.meanwhile().map(|since| since.entries), Some(0));
    app.apply(totals(2_000, &[(1, 20), (2, 5)]));
    app.apply(breached(2, 1, 0));
    assert_eq!(app.meanwhile().map(|since| since.entries), Some(15));
    assert_eq!(app.model().entries(), 10);
    assert_eq!(listed(&app), [1]);
    app.key(Key::Pause);
    assert_eq!(app.meanwhile(), None);
    assert_eq!(app.model().entries(), 25);
    assert_eq!(listed(&app), [2, 1]);
    assert_eq!(app.model().rates.entries(Cpu(1)), Some(10.0));
}

#[test]
fn the_list_keeps_the_newest() {
    let mut app = started();
    for seq in 1..=KEPT as u64 + 5 {
        app.apply(breached(seq, 1, seq));
    }
    let listed = listed(&app);
    assert_eq!(listed.len(), KEPT);
    assert_eq!(listed.first(), Some(&(KEPT as u64 + 5)));
    assert_eq!(listed.last(), Some(&6));
}

#[test]
fn a_selected_breach_stays_selected_and_the_first_row_follows_the_newest() {
    let mut app = started();
    for seq in 1..=3 {
        app.apply(breached(seq, 1, 0));
    }
    assert_eq!(shown(&app), Some(3));
    app.key(Key::Down);
    assert_eq!(shown(&app), Some(2));
    app.apply(breached(4, 1, 0));
    assert_eq!(shown(&app), Some(2), "new rows do not move the selection");
    app.key(Key::First);
    assert_eq!(shown(&app), Some(4));
    app.apply(breached(5, 1, 0));
    assert_eq!(shown(&app), Some(5), "the first row is the newest");
    app.key(Key::Enter);
    app.apply(breached(6, 1, 0));
    assert_eq!(
        shown(&app),
        Some(5),
        "an open detail does not change by itself"
    );
}

#[test]
fn a_detail_outlives_its_row() {
    let mut app = started();
    app.apply(breached(1, 1, 0));
    app.key(Key::Enter);
    for seq in 2..=KEPT as u64 + 10 {
        app.apply(breached(seq, 1, 0));
    }
    assert_eq!(shown(&app), Some(1));
}

#[test]
fn a_victim_that_is_back_is_noted_with_its_breach() {
    let mut app = started();
    app.apply(breached(1, 1, 7));
    app.key(Key::Enter);
    app.apply(Update::Event(Event::Back {
        breach: Some(Seq(1)),
        away: Nanos(5),
        at: after_ms(9),
        tid: Tid(147),
    }));
    let kept = app.shown_breach().expect("the detail is open");
    assert_eq!(kept.away, Some(Nanos(5)));
}

#[test]
fn tables_are_put_in_order() {
    let mut app = started();
    app.apply(totals(1_000, &[(1, 10), (2, 20), (3, 20)]));
    let cpus = |app: &App| -> Vec<u32> { app.cpus().iter().map(|row| row.cpu.0).collect() };
    assert_eq!(cpus(&app), [1, 2, 3]);
    app.key(Key::NextPane);
    assert_eq!(app.ui().pane, Pane::Cpus);
    app.key(Key::Sort);
    assert_eq!(cpus(&app), [2, 3, 1], "by rate, equal ones by number");
    app.key(Key::Reverse);
    assert_eq!(cpus(&app), [1, 2, 3]);
    for _ in 1..CpuColumn::ALL.len() {
        app.key(Key::Sort);
    }
    assert_eq!(app.ui().cpu_order, Order::by(CpuColumn::Cpu), "once round");
}

#[test]
fn breaches_are_put_in_order() {
    let mut app = started();
    for (seq, pattern) in [(1, 2), (2, 7), (3, 4)] {
        app.apply(breached(seq, 4 - u32::try_from(seq).unwrap(), pattern));
    }
    assert_eq!(listed(&app), [3, 2, 1], "the newest first");
    app.key(Key::Sort);
    assert_eq!(listed(&app), [2, 3, 1], "the longest first");
    app.key(Key::Sort);
    assert_eq!(listed(&app), [3, 2, 1], "by CPU");
    app.key(Key::Sort);
    assert_eq!(listed(&app), [3, 2, 1], "page_fault, reschedule, syscall");
    app.key(Key::Reverse);
    assert_eq!(listed(&app), [1, 2, 3]);
}

#[test]
fn lists_are_narrowed_to_a_cpu_and_a_cause_and_widened_again() {
    let mut app = started();
    app.apply(totals(1_000, &[(1, 2), (2, 1)]));
    for (seq, cpu, pattern) in [(1, 1, 2), (2, 2, 2), (3, 1, 4)] {
        app.apply(breached(seq, cpu, pattern));
    }
    app.key(Key::NextPane);
    app.key(Key::Enter);
    assert_eq!(app.ui().only.cpu, Some(Cpu(1)));
    assert_eq!(listed(&app), [3, 1]);
    assert_eq!(app.causes().first().map(|row| row.count), Some(2));
    app.key(Key::NextPane);
    app.key(Key::Enter);
    assert_eq!(app.ui().only.cause, Some(Cause::Syscall));
    assert_eq!(listed(&app), [1]);
    app.key(Key::Clear);
    assert_eq!(listed(&app), [3, 2, 1]);
}

#[test]
fn quiet_time_is_told_from_time_in_the_kernel() {
    let mut app = started();
    app.apply(totals(1_000, &[(1, 0), (2, 3)]));
    app.tick(after_ms(4_000));
    let quiet = |app: &App, cpu| app.model().quiet(Cpu(cpu));
    assert_eq!(quiet(&app, 1), Some(Nanos(4_000_000_000)));
    assert_eq!(quiet(&app, 2), Some(Nanos(3_000_000_000)));
    let mut open = cpu_summary(Cpu(1), &[]);
    open.open = 1;
    app.apply(Update::Totals(Totals {
        at: after_ms(5_000),
        cpus: vec![open],
    }));
    assert_eq!(quiet(&app, 1), None, "it is in the kernel");
    assert_eq!(quiet(&app, 9), None, "not watched");
}

#[test]
fn nothing_new_is_nothing_to_draw() {
    let mut app = started();
    app.apply(totals(1_000, &[(1, 3)]));
    for at in [3_000, 5_000, 7_000] {
        app.apply(totals(at, &[(1, 3)]));
    }
    app.tick(after_ms(7_100));
    assert!(app.take_dirty());
    app.apply(totals(7_200, &[(1, 3)]));
    app.tick(after_ms(7_300));
    assert!(!app.take_dirty(), "the same figures, the same second");
    app.tick(after_ms(8_000));
    assert!(app.take_dirty(), "the clock moved on");
    app.apply(totals(8_100, &[(1, 4)]));
    assert!(app.take_dirty(), "an entry");
    app.key(Key::Pause);
    app.take_dirty();
    app.tick(after_ms(11_000));
    assert!(!app.take_dirty(), "a held view has no clock");
}

#[test]
fn lost_records_are_counted_by_whichever_source_knows_more() {
    let mut app = started();
    app.apply(Update::Event(Event::Lost {
        cpu: Cpu(1),
        records: 12,
        at: after_ms(5),
    }));
    assert_eq!(app.model().lost(), 12);
    let Update::Totals(mut read) = totals(1_000, &[(1, 100)]) else {
        panic!("totals are totals");
    };
    read.cpus[0].lost = 40;
    app.apply(Update::Totals(read));
    assert_eq!(app.model().lost(), 40, "not 52: the same records");
}

#[test]
fn old_totals_are_called_old_until_the_end() {
    let mut app = started();
    app.apply(totals(1_000, &[(1, 1)]));
    app.tick(after_ms(3_000));
    assert_eq!(app.model().stale(), None);
    app.tick(after_ms(9_000));
    assert_eq!(app.model().stale(), Some(Nanos(8_000_000_000)));
    app.apply(Update::Ended(Story::new([1], 1).summary()));
    assert_eq!(app.model().stale(), None);
    assert!(app.ended());
}

fn watched(at: u64, changes: &[(u32, CpuChange)], cpus: &[u32]) -> Update {
    Update::Event(Event::Watched(WatchedSet {
        at: after_ms(at),
        changes: changes.iter().map(|&(cpu, it)| (Cpu(cpu), it)).collect(),
        cpus: cpus
            .iter()
            .map(|&cpu| (Cpu(cpu), Detection::Vectors))
            .collect(),
        blind_spots: Vec::new(),
        housekeeping: vec![Cpu(0)],
        probes: Vec::new(),
    }))
}

fn changes(app: &App) -> Vec<(u64, &str)> {
    let changes = app.model().recent_changes();
    changes
        .map(|(age, what)| (age.0 / 1_000_000, what))
        .collect()
}

#[test]
fn the_watched_set_follows_the_host() {
    let mut app = started();
    app.take_dirty();
    app.apply(watched(1_000, &[(5, CpuChange::Isolated)], &[1, 2, 5]));
    assert!(app.take_dirty());
    let cpus = |app: &App| -> Vec<u32> {
        let header = app.model().header.as_ref().expect("a header");
        header.cpus.iter().map(|(cpu, _)| cpu.0).collect()
    };
    assert_eq!(cpus(&app), [1, 2, 5]);
    app.apply(watched(2_000, &[(2, CpuChange::Offline)], &[1, 5]));
    assert_eq!(cpus(&app), [1, 2, 5], "one that is offline stays");
    app.apply(watched(3_000, &[(1, CpuChange::Released)], &[5]));
    assert_eq!(cpus(&app), [2, 5]);
    let header = app.model().header.as_ref().expect("a header");
    let detections: Vec<_> = header.cpus.iter().map(|(_, by)| *by).collect();
    assert_eq!(
        detections,
        [Detection::ContextTracking, Detection::Vectors],
        "what was known stays"
    );
}

#[test]
fn what_happened_to_cpus_and_tasks_is_told_for_a_while() {
    let mut app = started();
    app.apply(watched(1_000, &[(2, CpuChange::Offline)], &[1]));
    app.apply(Update::Event(Event::Moved {
        task: breach(1, 2, after_ms(0), 0).task,
        from: Cpu(2),
        to: Cpu(0),
        at: after_ms(1_500),
    }));
    app.tick(after_ms(2_000));
    let moved = "spin (147) moved from CPU 2 to CPU 0";
    assert_eq!(changes(&app), [(500, moved), (1_000, "CPU 2 offline")]);
    app.tick(after_ms(31_200));
    assert_eq!(changes(&app), [(29_700, moved)]);
    for at in 0..4 {
        app.apply(watched(31_000 + at, &[(2, CpuChange::Online)], &[1, 2]));
    }
    assert_eq!(changes(&app).len(), 3, "the last ones");
    app.tick(after_ms(90_000));
    assert_eq!(changes(&app), []);
}
