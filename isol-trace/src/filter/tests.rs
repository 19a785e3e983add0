use std::sync::Arc;

use isol_trace_common::{activity::Activity, cause::Cause, record::End, send::Via};
use proptest::{collection::vec, prelude::*};

use super::{error::Problem, *};
use crate::{
    clock::Anchor,
    consume::Consumer,
    event::{
        breach::{ActivityItem, Breach, tests::breach},
        ids::{Address, Cpu, MonoNanos, Nanos, Pid, RuleId, Seq, Tid},
        model::{CauseDetail, Event, Function, Origin, Sender},
        task::TaskId,
    },
    wire,
};

fn filter(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> FilterError {
    text.parse::<Filter>().expect_err(text)
}

fn function(name: &str) -> Function {
    Function {
        address: None,
        name: Some(name.into()),
    }
}

/// A sibling's `munmap` shoots down translations on CPU 2.
fn shootdown() -> Breach {
    let sender = Sender {
        via: Via::CrossCall,
        at: Some(MonoNanos(4)),
        cpu: Some(Cpu(0)),
        task: Some(TaskId {
            pid: Some(Pid(88)),
            tid: Tid(89),
            comm: Some("logger".into()),
        }),
        callback: Some(function("flush_tlb_func")),
        callsite: Some(function("smp_call_function_many_cond+0x1f")),
        stack: vec![function("unmap_region+0x10 [mm]")],
        user_stack: Arc::from([Arc::from("trim_arena+0x4 (arena.c:40)")]),
        inferred: true,
    };
    Breach {
        seq: Seq(812),
        cpu: Cpu(2),
        duration: Some(Nanos(5_001)),
        idle: Nanos(0),
        section: Some(true),
        task: TaskId {
            pid: Some(Pid(7)),
            tid: Tid(8),
            comm: Some("pricing".into()),
        },
        cause: CauseDetail::Plain(Cause::CallFunction),
        location: Some("quote+0x2e".into()),
        source: Some("src/spin.c:11".into()),
        activities: vec![ActivityItem {
            kind: Activity::Softirq,
            number: 1,
            address: Some(Address(1)),
            comm: None,
            net: None,
            name: Some("timer".into()),
            kin: None,
            origin: None,
        }],
        origins: vec![Origin::Remote(Box::new(sender))],
        remedy: RuleId::new("tlb-munmap"),
        ..breach()
    }
}

fn takes(text: &str, breach: &Breach) -> bool {
    let subject = Subject {
        breach,
        away: Some(Nanos(2_000_000)),
        // 12:04:30 on a day in 2026.
        wall: Some(1_769_861_070_000_000_000),
        is_new: Some(true),
    };
    filter(text).takes(&subject)
}

#[test]
fn each_term_of_the_language_takes_what_it_says() {
    let breach = shootdown();
    for text in [
        "",
        "cpu:2-3",
        "cpu:0,2",
        "cause:call_function",
        "cause:nmi,call_function",
        "task:pricing",
        "task:/^pri/",
        "pid:7",
        "tid:8",
        "sent:logger",
        "sent.cpu:0",
        "sent.pid:88",
        "fn:flush_tlb_func",
        "fn:smp_call_function_many_cond",
        "fn:unmap_region",
        "fn:trim_arena",
        "fn:/tlb/",
        "fn:timer",
        "at:quote",
        "at:quote+0x2e",
        "source:src/spin.c",
        "source:src/spin.c:11",
        "source:*/spin.c",
        "source:/spin\\.c:1/",
        "activity:softirq",
        "remedy:tlb-munmap",
        "end:return",
        "section",
        "inferred",
        "dur>5us",
        "dur>=5001ns",
        "dur<5.002us",
        "dur<=5001ns",
        "away>1ms",
        "-idle>0",
        "seq:812",
        "time:12:04:09..12:05",
        "time:12:04..",
        "time:..12:04:30.5",
        "time:23:00..12:05",
        "time:2026-01-31T12:00..2026-01-31T12:04:31",
        "new",
        "pricing",
        "MUNMAP",
        "\"spin.c:11\"",
        "/trim_.rena/",
        "call_func",
        "cpu:2 cause:call_function sent:logger dur>5us section -remedy:module-load",
    ] {
        assert!(takes(text, &breach), "{text}");
        if !text.contains(' ') && !text.is_empty() && !text.starts_with('-') {
            assert!(!takes(&format!("-{text}"), &breach), "-{text}");
        }
    }
    for text in [
        "cpu:0-1,3",
        "cause:nmi",
        "task:pric",
        "pid:8",
        "sent:pricing",
        "sent.cpu:2",
        "fn:flush_tlb",
        "at:quot",
        "source:spin.c",
        "activity:tick",
        "remedy:tlb",
        "end:switched",
        "dur>5001ns",
        "dur<5001ns",
        "idle>0",
        "seq:811",
        "time:12:05..12:06",
        "time:..12:04:30",
        "time:2026-02-01T00:00..",
        "time:13:00..12:00",
        "syscall:write",
        "cgroup:*",
        "guest",
        "vm:x",
        "vcpu:0",
        "exit:io",
        "elsewhere",
        "/^munmap/",
    ] {
        assert!(!takes(text, &breach), "{text}");
    }
}

#[test]
fn a_system_call_has_a_name_and_a_number() {
    let call = Breach {
        cause: CauseDetail::Syscall {
            number: Some(1),
            args: None,
        },
        cause_name: Some("write".into()),
        ..breach()
    };
    for text in [
        "syscall:write,futex",
        "syscall:1",
        "syscall:/^w/",
        "write",
        "cause:syscall",
    ] {
        assert!(takes(text, &call), "{text}");
    }
    assert!(!takes("syscall:futex", &call) && !takes("syscall:11", &call));
    assert!(!takes("syscall:write", &shootdown()));
}

#[test]
fn what_is_not_known_does_not_hold() {
    let breach = breach();
    let subject = Subject {
        breach: &breach,
        away: None,
        wall: None,
        is_new: None,
    };
    for text in [
        "dur>0",
        "dur<1s",
        "away<1s",
        "time:00:00..",
        "new",
        "section",
        "task:/./",
        "pid:0-9",
    ] {
        assert!(!filter(text).takes(&subject), "{text}");
        assert!(filter(&format!("-{text}")).takes(&subject), "-{text}");
    }
}

#[test]
fn errors_name_the_place_and_the_nearest_word() {
    for (text, expected) in [
        (
            "cpu:1 caus:nmi",
            "at character 7: no filter is called 'caus'; did you mean 'cause'?",
        ),
        (
            "cause:call_functoin",
            "at character 7: 'call_functoin' is no cause; did you mean 'call_function'?",
        ),
        ("end:zzz", "at character 5: 'zzz' is no end"),
        (
            "é cpu:x",
            "at character 7: 'x' is no number and no range of numbers, such as 2 or 2-5",
        ),
        (
            "cpu:3-2",
            "at character 5: '3-2' is no number and no range of numbers, such as 2 or 2-5",
        ),
        ("cpu:", "at character 5: a value is missing here"),
        ("cpu:1,", "at character 7: a value is missing here"),
        ("cpu:,1", "at character 5: a value is missing here"),
        (
            "task:\"a",
            "at character 6: the quote that begins here has no end",
        ),
        (
            "task:/a",
            "at character 6: the regular expression that begins here has no end; a slash in it is written \\/",
        ),
        (
            "task:\"a\"b",
            "at character 9: a blank or a comma has to follow here",
        ),
        (
            "task:/(/",
            "at character 6: this is no regular expression: found open group without closing ')'",
        ),
        (
            "cpu:1,/2/",
            "at character 7: no regular expression can stand here",
        ),
        (
            "-",
            "at character 1: a term has to follow the dash that negates it",
        ),
        (
            "dur>5",
            "at character 5: '5' is no length of time; one is a number with a unit (ns, us, ms, s), such as 5us or 1.5ms",
        ),
        ("dur>", "at character 5: a value is missing here"),
        ("dur:5us", "at character 1: 'dur' is written dur>5us"),
        ("cpu>2", "at character 1: 'cpu' is written cpu:2-3"),
        ("cpu=2", "at character 1: 'cpu' is written cpu:2-3"),
        (
            "section:yes",
            "at character 1: 'section' is written section",
        ),
        (
            "duration>5us",
            "at character 1: no filter is called 'duration'; did you mean 'dur'?",
        ),
        (
            "time:12",
            "at character 6: '12' is no span of time; one is two times of day (UTC) or dates, such as 12:04:09..12:05 or 2026-01-31T12:00..2026-01-31T13:00",
        ),
        (
            "source:[",
            "at character 8: this is no pattern of file names: Pattern syntax error near position 0: invalid range pattern",
        ),
    ] {
        assert_eq!(error(text).to_string(), expected, "{text}");
    }
    for text in [
        "time:..",
        "time:12:60..",
        "time:12:00..2026-01-31T12:00",
        "time:2026-02-30T00:00..",
    ] {
        assert!(matches!(error(text).problem, Problem::Time(_)), "{text}");
    }
    for text in [
        "dur>1.5ns",
        "dur>.5us",
        "dur>5m",
        "dur>99999999999s",
        "dur>-1us",
        "dur>1.us",
    ] {
        assert!(
            matches!(error(text).problem, Problem::Duration(_)),
            "{text}"
        );
    }
    let large = format!("task:/{}/", "(a{1000}){1000}");
    assert!(matches!(error(&large).problem, Problem::Regex(_)));
}

/// The page has every name, and its examples are filters.
#[test]
fn the_page_has_every_name() {
    let page = include_str!("../../../docs/filters.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut described = std::collections::BTreeSet::new();
    for row in rows {
        let cell = row.split(" | ").next().unwrap_or_default();
        for example in cell.trim_end_matches('`').split("`, `") {
            let written = example.replace(":N", ":1");
            assert!(written.parse::<Filter>().is_ok(), "{written}");
            let end = example.find([':', '>']).unwrap_or(example.len());
            described.insert(example[..end].to_owned());
        }
    }
    for (name, ..) in names::NAMES {
        assert!(described.contains(name), "{name}");
    }
}

#[test]
fn a_filter_prints_as_it_can_be_typed() {
    for (text, printed) in [
        ("  cpu:2-2,5   -section ", "cpu:2,5 -section"),
        (
            "dur>5000ns idle>=0 away<1500us",
            "dur>5us idle>=0 away<1500us",
        ),
        ("task:\"a b\",c", "task:\"a b\",c"),
        ("task:\"a\\\"b\\\\\"", "task:\"a\\\"b\\\\\""),
        ("fn:/a\\/b\\d/", "fn:/a\\/b\\d/"),
        ("\"section\" x", "\"section\" x"),
        (
            "cgroup:/system.slice/*.service",
            "cgroup:\"/system.slice/*.service\"",
        ),
        ("time:12:04..12:05:00.250", "time:12:04:00..12:05:00.25"),
        ("time:2026-01-31T12:04Z..", "time:2026-01-31T12:04:00.."),
    ] {
        assert_eq!(filter(text).to_string(), printed, "{text}");
        assert_eq!(filter(printed), filter(text), "{text}");
    }
}

/// Texts that look like filters.
fn typed() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-z]{1,4}",
        "[0-9]{1,3}(-[0-9]{1,3})?",
        "[0-9]{1,3}(\\.[0-9])?(ns|us|ms|s)",
        "[\"/][a-z\\\\ ,:/\"*\\[(]{0,6}[\"/]",
        "[01][0-9]:[0-5][0-9]\\.\\.([01][0-9]:[0-5][0-9](:[0-5][0-9])?)?",
        Just("nmi".to_owned()),
        Just("softirq".to_owned()),
        Just("switched".to_owned()),
    ];
    let names = names::NAMES.map(|(name, ..)| name);
    let sign = prop_oneof![Just(":"), Just(">"), Just("<="), Just(""), Just(" ")];
    let term = (
        any::<bool>(),
        proptest::sample::select(names.to_vec()),
        sign,
        vec(value, 0..3),
    );
    let term = term.prop_map(|(is_negated, name, sign, values)| {
        let dash = if is_negated { "-" } else { "" };
        format!("{dash}{name}{sign}{}", values.join(","))
    });
    vec(prop_oneof![9 => term, 1 => "[ -~é]{0,8}"], 0..4).prop_map(|terms| terms.join(" "))
}

proptest! {
    /// Whatever is a filter prints back as itself.
    #[test]
    fn a_filter_reads_back(text in typed()) {
        if let Ok(filter) = text.parse::<Filter>() {
            let printed = filter.to_string();
            prop_assert_eq!(printed.parse::<Filter>(), Ok(filter), "{}", printed);
        }
    }

    /// Nothing that is typed panics, nor does any breach.
    #[test]
    fn no_text_and_no_breach_panics(text in typed(), breach in wire::tests::any::breach()) {
        match text.parse::<Filter>() {
            Ok(filter) => {
                let subject = Subject { breach: &breach, away: None, wall: Some(0), is_new: None };
                let _ = filter.takes(&subject);
            }
            Err(error) => prop_assert!(error.position <= text.chars().count()),
        }
    }

    /// Two terms take what both take, and a dash takes the rest.
    #[test]
    fn terms_are_a_conjunction(one in typed(), other in typed(), breach in wire::tests::any::breach()) {
        let (Ok(first), Ok(second)) = (one.parse::<Filter>(), other.parse::<Filter>()) else {
            return Ok(());
        };
        let subject = Subject { breach: &breach, away: Some(Nanos(7)), wall: Some(9), is_new: Some(false) };
        let both = format!("{first} {second}").parse::<Filter>().expect("two filters");
        prop_assert_eq!(both.takes(&subject), first.takes(&subject) && second.takes(&subject));
    }
}

/// What it was given.
#[derive(Default)]
struct Given(Vec<String>);

impl Consumer for Given {
    fn event(&mut self, event: &Event) {
        self.0.push(match event {
            Event::Breach(breach) => breach.seq.0.to_string(),
            Event::Back { .. } => "back".to_owned(),
            Event::Header(_) => "header".to_owned(),
            Event::Summary(_) => "summary".to_owned(),
            other => format!("{other:?}"),
        });
    }
}

fn given(text: &str, events: &[Event]) -> Vec<String> {
    let mut given = Given::default();
    let mut select = Select::new(filter(text), &mut given);
    for event in events {
        select.event(event);
    }
    select.flush();
    given.0
}

#[test]
fn breaches_are_selected_and_the_rest_goes_on() {
    let mut header = wire::tests::any::plain_header();
    header.anchor = Anchor::new(MonoNanos(0), 0);
    let at = |seq, cpu, end| {
        Event::Breach(Box::new(Breach {
            seq: Seq(seq),
            cpu: Cpu(cpu),
            at: MonoNanos(seq * 1_000_000_000),
            end,
            ..breach()
        }))
    };
    let back = |seq, away| Event::Back {
        breach: Some(Seq(seq)),
        away: Nanos(away),
        at: MonoNanos(0),
        tid: Tid(7),
    };
    let mut events = vec![
        Event::Header(header),
        at(1, 1, End::Switched),
        at(2, 2, End::Return),
        back(1, 5_000),
        at(3, 1, End::Switched),
        at(4, 1, End::Switched),
        back(4, 10),
        at(5, 1, End::Switched),
    ];
    assert_eq!(
        given("cpu:1", &events),
        ["header", "1", "back", "3", "4", "back", "5"]
    );
    assert_eq!(
        given("time:00:00:02..00:00:04", &events),
        ["header", "2", "back", "3", "back"]
    );
    // In their order, and those that nothing is known of are left out at the end.
    assert_eq!(given("away>1us", &events), ["header", "1", "back", "back"]);
    assert_eq!(
        given("-away>1us", &events),
        ["header", "2", "back", "3", "4", "back", "5"]
    );
    events.push(Event::Summary(wire::tests::any::plain_summary()));
    assert_eq!(
        given("away>0", &events),
        ["header", "1", "back", "4", "back", "summary"]
    );
}
