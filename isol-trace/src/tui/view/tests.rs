//! Every screen, as people see it. The snapshots are read before they are accepted.

use std::sync::Arc;

use isol_trace_common::cause::Cause;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Cell,
    style::{Color, Modifier},
};

use super::*;
use crate::{
    event::{
        ids::{Cpu, Nanos},
        model::{
            CpuChange, Detection, Event, Origin, ProbeState, ProbeVerdict, Summary, Totals,
            TracerSummary, WatchedSet,
        },
    },
    tui::{
        Update,
        app::Action,
        input::Key,
        sample::{Story, after_ms, breach, cpu_summary, header},
    },
};

const UNCOLORED: Theme = Theme {
    color: false,
    ascii: false,
};

fn terminal(width: u16, height: u16) -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(width, height)).expect("a test terminal takes any size")
}

fn show(app: &mut App, width: u16, height: u16) -> TestBackend {
    shown_in(app, width, height, Theme::FULL)
}

fn shown_in(app: &mut App, width: u16, height: u16, theme: Theme) -> TestBackend {
    let mut terminal = terminal(width, height);
    let mut extent = Extent::default();
    terminal
        .draw(|frame| extent = draw(frame, app, theme))
        .expect("a test terminal does not fail");
    app.drawn(extent);
    terminal.backend().clone()
}

fn keys(app: &mut App, keys: &[Key]) {
    for &key in keys {
        assert_eq!(app.key(key), Action::Continue, "{key:?}");
    }
}

/// What a screen must say, whatever its snapshot is accepted with.
fn assert_shows(screen: &TestBackend, words: &[&str]) {
    let text = screen.to_string();
    for words in words {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
}

fn quiet(milliseconds: u64) -> App {
    let mut app = App::new();
    app.apply(Update::Header(header([1, 2])));
    let cpus = [1, 2].map(|cpu| cpu_summary(Cpu(cpu), &[]));
    app.apply(Update::Totals(Totals {
        at: after_ms(milliseconds),
        cpus: cpus.to_vec(),
    }));
    app.apply(Update::Tracer(TracerSummary::default()));
    app.tick(after_ms(milliseconds));
    app
}

/// Some seconds of a story, one batch a quarter of a second.
fn tell(app: &mut App, story: &mut Story, quarters: u64, breaches: u64) {
    for _ in 0..quarters {
        for update in story.pass(250, breaches) {
            app.apply(update);
        }
    }
    app.tick(story.totals().at);
}

fn busy(cpus: u32) -> (App, Story) {
    let mut app = App::new();
    app.apply(Update::Header(header(1..=cpus)));
    app.apply(Update::Tracer(TracerSummary::default()));
    let mut story = Story::new(1..=cpus, 42);
    tell(&mut app, &mut story, 48, 5);
    (app, story)
}

mod any;
mod detail;
mod figures;

#[test]
fn before_anything_arrived() {
    let screen = show(&mut App::new(), 80, 24);
    assert_shows(&screen, &["Waiting for the tracer", "no totals yet"]);
    insta::assert_snapshot!(screen);
}

#[test]
fn quiet_is_good_news() {
    let screen = show(&mut quiet(12_300), 80, 24);
    let words = "No kernel entry yet: CPUs 1-2 have been quiet for 12 s.";
    assert_shows(&screen, &[words, "no kernel entry"]);
    insta::assert_snapshot!(screen);
}

#[test]
fn busy_80x24() {
    insta::assert_snapshot!(show(&mut busy(3).0, 80, 24));
}

#[test]
fn busy_120x40() {
    insta::assert_snapshot!(show(&mut busy(3).0, 120, 40));
}

#[test]
fn narrow_60x15() {
    insta::assert_snapshot!(show(&mut busy(3).0, 60, 15));
}

#[test]
fn tiny_30x8_shows_the_pane_that_has_the_keys() {
    let (mut app, _) = busy(3);
    let screen = show(&mut app, 30, 8);
    assert_shows(&screen, &["━ Breaches ━", "▸   2 call_function_s… 1.94 µs"]);
    insta::assert_snapshot!("tiny_breaches", screen);
    keys(&mut app, &[Key::NextPane]);
    let screen = show(&mut app, 30, 8);
    assert_shows(&screen, &["━ CPUs (3) ━", "▸   1 "]);
    assert!(!screen.to_string().contains("Breaches"), "{screen}");
    insta::assert_snapshot!("tiny_cpus", screen);
}

#[test]
fn paused() {
    let (mut app, mut story) = busy(3);
    keys(&mut app, &[Key::Pause]);
    let before = show(&mut app, 80, 24);
    tell(&mut app, &mut story, 12, 50);
    let held = show(&mut app, 80, 24);
    insta::assert_snapshot!(held);
    let body = |screen: &TestBackend| screen.to_string().lines().skip(1).collect::<String>();
    assert_eq!(
        body(&before),
        body(&held),
        "nothing below the first line moves"
    );
    keys(&mut app, &[Key::Pause]);
    let went_on = show(&mut app, 80, 24).to_string();
    assert!(
        went_on.contains("200/s"),
        "the rate is right at once:\n{went_on}"
    );
    assert!(went_on.contains("840 kernel entries"), "{went_on}");
}

#[test]
fn help() {
    let (mut app, _) = busy(3);
    keys(&mut app, &[Key::Help]);
    let screen = show(&mut app, 80, 24);
    assert_shows(
        &screen,
        &[
            "┌ Help ─",
            "q Ctrl-C  quit",
            "entries that no probe gave a cause",
        ],
    );
    insta::assert_snapshot!(screen);
}

/// What happened to the watched set and to a task, a line each, for a while.
#[test]
fn what_changed_is_told() {
    let mut app = quiet(1_000);
    app.apply(Update::Event(Event::Watched(WatchedSet {
        at: after_ms(2_000),
        changes: vec![
            (Cpu(1), CpuChange::Released),
            (Cpu(2), CpuChange::Offline),
            (Cpu(5), CpuChange::Isolated),
        ],
        cpus: vec![(Cpu(5), Detection::Vectors)],
        blind_spots: vec!["the end of a page fault".into()],
        housekeeping: vec![Cpu(0), Cpu(1)],
        probes: vec![ProbeVerdict {
            name: "sys_enter".into(),
            state: ProbeState::Attached,
        }],
    })));
    app.tick(after_ms(4_000));
    let screen = show(&mut app, 120, 24);
    let changes = [
        "CPU 1 released 2 s ago",
        "CPU 2 offline 2 s ago",
        "CPU 5 isolated 2 s ago",
    ];
    assert_shows(&screen, &changes);
    insta::assert_snapshot!("watched_120x24", screen);
    app.apply(Update::Event(Event::Moved {
        task: breach(1, 2, after_ms(0), 0).task,
        from: Cpu(2),
        to: Cpu(0),
        at: after_ms(33_000),
    }));
    app.tick(after_ms(35_000));
    let screen = show(&mut app, 80, 24);
    assert_shows(&screen, &["spin (147) moved from CPU 2 to CPU 0 2 s ago"]);
    assert!(
        !screen.to_string().contains("released"),
        "long ago:\n{screen}"
    );
    insta::assert_snapshot!("moved_80x24", screen);
    keys(&mut app, &[Key::ProbesTab]);
    let screen = show(&mut app, 80, 24);
    let words = [
        "CPU 2: the kernel's own marks",
        "CPU 5: derived from",
        "CPU 0-1: isol-trace runs only there",
        "attached   sys_enter",
    ];
    assert_shows(&screen, &words);
    insta::assert_snapshot!("watched_probes_80x24", screen);
}

#[test]
fn probes() {
    let (mut app, _) = busy(3);
    keys(&mut app, &[Key::ProbesTab]);
    let screen = show(&mut app, 80, 24);
    let why = "- absent     csd_function_entry  this kernel has no such tracepoint";
    assert_shows(
        &screen,
        &[why, "attached   user_exit", "0 breaches while armed"],
    );
    insta::assert_snapshot!(screen);
}

fn degraded() -> App {
    let mut app = App::new();
    let mut header = header([1, 2, 3]);
    header.cpus[2].1 = Detection::Vectors;
    header.blind_spots = vec![
        "exceptions that the kernel fixes up silently, and what a handler does after its tracepoint".into(),
    ];
    header.probes[2].state = ProbeState::Failed {
        why: "the verifier refused the program: R1 type=scalar expected=fp".to_owned(),
    };
    app.apply(Update::Header(header));
    let mut story = Story::new([1, 2, 3], 7);
    tell(&mut app, &mut story, 8, 3);
    app
}

#[test]
fn degraded_detection() {
    let mut app = degraded();
    let screen = show(&mut app, 80, 24);
    let words = [
        "! 1 probe failed (key 2)",
        "~ CPU 3: entries derived from vectors",
        "   3~ spin",
    ];
    assert_shows(&screen, &words);
    insta::assert_snapshot!("degraded_live", screen);
    keys(&mut app, &[Key::ProbesTab]);
    let screen = show(&mut app, 80, 24);
    let words = [
        "not seen          exceptions",
        "! failed     page_fault_user     the verifier refused",
    ];
    assert_shows(&screen, &words);
    insta::assert_snapshot!("degraded_probes", screen);
}

fn overflow() -> App {
    let (mut app, story) = busy(3);
    let mut totals = story.totals();
    totals.cpus[0].lost = 12_345;
    let unknown = cpu_summary(Cpu(2), &[(Cause::Unknown, 3, 9_000, 4_000)]);
    totals.cpus[1].causes.extend(unknown.causes);
    totals.cpus[1].unattributed = 3;
    totals.cpus[1].entries += 3;
    app.apply(Update::Totals(totals));
    app.apply(Update::Skipped(1_200_300));
    app.apply(Update::Tracer(TracerSummary {
        breaches: 1,
        missed_runs: vec![
            ("csd_queue_cpu".to_owned(), 9),
            ("ipi_send_cpu".to_owned(), 16),
        ],
        ..TracerSummary::default()
    }));
    app
}

#[test]
fn lost_and_unattributed() {
    let mut app = overflow();
    insta::assert_snapshot!("overflow_80x24", show(&mut app, 80, 24));
    insta::assert_snapshot!("overflow_120x40", show(&mut app, 120, 40));
}

#[test]
fn ended() {
    let (mut app, story) = busy(3);
    app.apply(Update::Ended(story.summary()));
    app.tick(after_ms(99_000));
    let screen = show(&mut app, 80, 24);
    assert_shows(&screen, &["ENDED   00:00:12", "240 kernel entries  20.0/s"]);
    insta::assert_snapshot!("ended_busy", screen);
    let mut app = quiet(60_000);
    app.apply(Update::Ended(Summary {
        at: after_ms(60_000),
        cpus: [1, 2].map(|cpu| cpu_summary(Cpu(cpu), &[])).to_vec(),
        tracer: TracerSummary::default(),
    }));
    let screen = show(&mut app, 80, 24);
    let words = "No kernel entry in 60 s: CPUs 1-2 stayed quiet to the end.";
    assert_shows(&screen, &[words, "ENDED   00:01:00"]);
    insta::assert_snapshot!("ended_quiet", screen);
}

#[test]
fn many_cpus() {
    let (mut app, mut story) = busy(384);
    tell(&mut app, &mut story, 8, 400);
    show(&mut app, 80, 24);
    keys(
        &mut app,
        &[
            Key::NextPane,
            Key::Sort,
            Key::Sort,
            Key::PageDown,
            Key::Down,
        ],
    );
    let screen = show(&mut app, 80, 24);
    assert_shows(&screen, &["━ CPUs (384) ━", " 5-9 of 384 ━", "▸  15 spin"]);
    insta::assert_snapshot!("many_cpus_80x24", screen);
    keys(&mut app, &[Key::Last, Key::Enter]);
    let screen = show(&mut app, 120, 40);
    let words = [
        "━ CPUs (384), below only 384 ━",
        " 365-384 of 384 ━",
        "▸ 384  -",
        "─ Causes on CPU 384 ─",
        "─ Breaches of CPU 384, the last 1,000 ─",
    ];
    assert_shows(&screen, &words);
    insta::assert_snapshot!("many_cpus_120x40", screen);
}

#[test]
fn ascii_where_the_locale_asks_for_it() {
    let (mut app, _) = busy(3);
    keys(&mut app, &[Key::Enter]);
    let theme = Theme {
        color: false,
        ascii: true,
    };
    let screen = shown_in(&mut app, 80, 24, theme);
    let usual = show(&mut app, 80, 24);
    for (cell, usual) in screen
        .buffer()
        .content()
        .iter()
        .zip(usual.buffer().content())
    {
        assert!(cell.symbol().is_ascii(), "{}", cell.symbol());
        assert!(
            cell.symbol() != "?" || usual.symbol() == "?",
            "{} has no sign in ASCII",
            usual.symbol()
        );
    }
}

#[test]
fn what_is_wrong_is_red_and_says_so_without_color_too() {
    let red = |screen: &TestBackend| -> String {
        let cells = screen.buffer().content().iter();
        let red = cells.filter(|cell| cell.fg == Color::Red);
        red.map(Cell::symbol).collect()
    };
    let colored = red(&show(&mut overflow(), 120, 40));
    for words in [
        "! lost 12,345 records",
        "! 3 unattributed",
        "! missed runs: csd_queue_cpu 9, ipi_send_cpu 16",
        "! 1 breach by isol-trace itself",
    ] {
        assert!(colored.contains(words), "{words:?} in {colored:?}");
    }
    assert_eq!(red(&show(&mut busy(3).0, 120, 40)), "", "all is well");
    let plain = shown_in(&mut overflow(), 120, 40, UNCOLORED);
    assert_eq!(red(&plain), "");
    assert_eq!(
        plain.to_string(),
        show(&mut overflow(), 120, 40).to_string(),
        "the same words in both"
    );
}

#[test]
fn no_cell_has_a_background_or_a_color_unfit_for_light_or_dark() {
    for app in [&mut overflow(), &mut degraded(), &mut quiet(5_000)] {
        for cell in show(app, 120, 40).buffer().content() {
            assert_eq!(cell.bg, Color::Reset);
            assert!(matches!(
                cell.fg,
                Color::Reset | Color::Red | Color::Magenta | Color::Green
            ));
        }
    }
}

#[test]
fn the_selected_row_is_marked_with_a_sign_too() {
    let (mut app, _) = busy(3);
    keys(&mut app, &[Key::Down]);
    let screen = show(&mut app, 80, 24);
    let cells = screen.buffer().content();
    let reversed = cells
        .iter()
        .filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    assert_eq!(reversed.count(), 80, "one whole row");
    assert_eq!(cells.iter().filter(|cell| cell.symbol() == "▸").count(), 1);
}

#[test]
fn a_name_with_escapes_cannot_reach_the_terminal() {
    let mut app = quiet(1_000);
    let mut evil = breach(1, 1, after_ms(500), 2);
    evil.task.comm = Some("a\u{1b}[2J\u{7}".into());
    evil.location = Some("f\u{202e}\n+0x1".into());
    app.apply(Update::Event(Event::Breach(Box::new(evil))));
    keys(&mut app, &[Key::Enter]);
    for cell in show(&mut app, 120, 40).buffer().content() {
        assert!(!cell.symbol().contains(char::is_control));
    }
}

#[test]
fn every_size_is_drawn() {
    let apps: [fn() -> App; 4] = [App::new, || quiet(3_000), overflow, degraded];
    for app in apps {
        for tab in [Key::LiveTab, Key::ProbesTab] {
            for opened in [&[][..], &[Key::Enter], &[Key::Help]] {
                let mut app = app();
                keys(&mut app, &[tab]);
                keys(&mut app, opened);
                for height in (0..20).chain([40]) {
                    for width in (0..6).chain([14, 39, 80, 140]) {
                        show(&mut app, width, height);
                    }
                }
            }
        }
    }
}

#[test]
fn names_steer_nothing() {
    let mut app = quiet(1_000);
    let name = "a\u{202e}b\u{1b}[2J\u{9b}c\u{200f}\n\u{2066}d";
    let mut hostile = breach(1, 1, after_ms(500), 0);
    hostile.task.comm = Some(name.into());
    hostile.location = Some(name.into());
    app.apply(Update::Event(Event::Breach(Box::new(hostile))));
    let shown = show(&mut app, 120, 40);
    let text: String = shown.buffer().content.iter().map(Cell::symbol).collect();
    assert!(text.contains('a') && !text.contains(misleads), "{text:?}");
}
