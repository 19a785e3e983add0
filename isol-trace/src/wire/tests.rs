//! What the sink writes reads back, and what it does not write is told.

use proptest::prelude::*;

use super::{model::Record, *};
use crate::{
    clock::calendar::Calendar,
    consume::{Consumer as _, json::JsonLines},
    event::{ids::Seq, model::Event},
};

pub(crate) mod any;

fn written(events: &[Event]) -> String {
    let mut text = Vec::new();
    let mut log = JsonLines::with_anchor(&mut text, any::ANCHOR);
    for event in events {
        log.event(event);
    }
    assert!(log.take_error().is_none());
    drop(log);
    String::from_utf8(text).unwrap()
}

fn read(text: &str) -> Result<Vec<Event>, LogError> {
    LogReader::new(text.as_bytes()).collect()
}

/// A header and one line.
fn after_header(line: &str) -> Result<Vec<Event>, LogError> {
    let header = written(&[Event::Header(any::plain_header())]);
    read(&format!("{header}{line}\n")).map(|mut events| events.split_off(1))
}

/// A breach as a value to spoil.
fn spoiled(spoil: impl FnOnce(&mut serde_json::Value)) -> String {
    let line = written(&[Event::Breach(Box::new(any::plain_breach()))]);
    let mut value = serde_json::from_str(&line).unwrap();
    spoil(&mut value);
    value.to_string()
}

fn complaint(line: &str) -> String {
    after_header(line).unwrap_err().to_string()
}

proptest! {
    /// Whatever the log holds of an event comes back: it is written again letter by letter.
    #[test]
    fn a_log_reads_back(
        header in any::header(),
        events in proptest::collection::vec(any::event(), 0..6),
    ) {
        let mut all = vec![Event::Header(header)];
        all.extend(events);
        let text = written(&all);
        let mut reader = LogReader::new(text.as_bytes());
        let back: Result<Vec<_>, _> = reader.by_ref().collect();
        let back = back.map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(written(&back), text);
        // What has been read once holds no more than the log does, and stays the same.
        prop_assert_eq!(read(&written(&back)).unwrap(), back);
    }

    /// The writer is a serializer as any other: what text has escaped beyond JSON's own is tested beside it.
    #[test]
    fn a_record_is_what_serde_makes_of_it(event in any::event()) {
        let mut calendar = Calendar::new(any::ANCHOR);
        let record = Record::of(&event, &mut calendar);
        let mut line = Vec::new();
        writer::write(&mut line, &record).unwrap();
        prop_assert_eq!(String::from_utf8(line), Ok(serde_json::to_string(&record).unwrap()));
    }

    #[test]
    fn no_line_panics(line in "\\{?(\"type\":\"(breach|back|lost|summary)\",?)?[\"a-z0-9:{},\\[\\]é-]{0,40}") {
        let _ = after_header(&line);
    }
}

#[test]
fn a_log_that_was_cut_short_is_read_to_its_last_whole_line() {
    let whole = written(&[
        Event::Header(any::plain_header()),
        Event::Breach(Box::new(any::plain_breach())),
        Event::Summary(any::plain_summary()),
    ]);
    let events = |text: &str| {
        let mut reader = LogReader::new(text.as_bytes());
        let events: Result<Vec<_>, _> = reader.by_ref().collect();
        (events.unwrap().len(), reader.is_complete())
    };
    assert_eq!(events(&whole), (3, true));
    let second = whole.match_indices('\n').nth(1).unwrap().0 + 1;
    assert_eq!(events(&whole[..second]), (2, false));
    assert_eq!(events(&whole[..second + 40]), (2, false));
    // In the middle of a log the same is an error.
    let error = read(&format!("{}\n", &whole[..second + 40])).unwrap_err();
    assert!(matches!(error, LogError::Record { line: 3, .. }), "{error}");
}

#[test]
fn what_is_no_log_is_refused() {
    for text in [
        "",
        "\n",
        "nonsense\n",
        "[1]\n",
        "{\"type\":\"breach\"}\n",
        "{\"type\":\"header\"}\n",
        "{\"type\":\"header\",\"schema\":\"other/9\"}\n",
        "{\"type\":\"doctor\",\"schema\":\"isol-trace-doctor/1\"}\n",
    ] {
        assert!(matches!(read(text), Err(LogError::NoHeader)), "{text:?}");
    }
    let newer = "{\"type\":\"header\",\"schema\":\"isol-trace/2\",\"other\":\"form\"}\n";
    let error = read(newer).unwrap_err();
    assert!(matches!(&error, LogError::Newer { schema } if schema == "isol-trace/2"));
    let header = written(&[Event::Header(any::plain_header())]);
    let timeless = header.replace("000Z", "Z");
    let error = read(&timeless).unwrap_err().to_string();
    assert_eq!(
        error,
        "line 1, column 0: its 'time' is no time in UTC with nanoseconds"
    );
}

#[test]
fn types_and_fields_of_later_versions_are_skipped() {
    assert_eq!(
        after_header("{\"type\":\"omen\",\"signal\":9}").unwrap(),
        []
    );
    assert_eq!(after_header("").unwrap(), []);
    let grown = spoiled(|value| {
        value["a_later_field"] = serde_json::json!({"deep": [1, "\u{e9}"]});
        value["cause"]["another"] = 1.into();
    });
    let plain = Event::Breach(Box::new(any::plain_breach()));
    assert_eq!(after_header(&grown).unwrap(), [plain]);
}

#[test]
fn what_is_wrong_with_a_line_is_told_with_its_number() {
    for (spoil, expected) in [
        (
            "/cause/kind",
            "'odd' is not a cause that this version of isol-trace knows",
        ),
        (
            "/activity/0/kind",
            "'odd' is not an activity that this version of isol-trace knows",
        ),
        (
            "/origins/0/kind",
            "'odd' is not an origin that this version of isol-trace knows",
        ),
        (
            "/end",
            "'odd' is not an end that this version of isol-trace knows",
        ),
        (
            "/ip",
            "'odd' is not an address that this version of isol-trace knows",
        ),
        ("/seq", "invalid type: string \"odd\", expected u64"),
    ] {
        let line = spoiled(|value| *value.pointer_mut(spoil).unwrap() = "odd".into());
        let error = complaint(&line);
        let (place, what) = error.split_once(": ").unwrap();
        assert!(place.starts_with("line 2, column "), "{error}");
        assert_eq!(what, expected);
    }
    let error = complaint(&spoiled(|value| {
        value.as_object_mut().unwrap().remove("ip");
    }));
    assert!(error.ends_with("missing field `ip`"), "{error}");
    let error = complaint(&spoiled(|value| {
        value["cause"] = serde_json::json!({"kind": "page_fault"});
    }));
    assert!(error.ends_with("a page_fault has no 'address'"), "{error}");
    let error = complaint(&spoiled(|value| {
        value["origins"] = serde_json::json!([{"kind": "remote", "cpu": 0, "mono_ns": 1}]);
    }));
    assert!(
        error.ends_with("an origin of another CPU has no 'via'"),
        "{error}"
    );
    assert!(complaint("[]").starts_with("line 2, column "));
}

#[test]
fn reading_ends_at_an_error() {
    let header = written(&[Event::Header(any::plain_header())]);
    let text = format!("{header}nonsense\n{header}");
    let mut reader = LogReader::new(text.as_bytes());
    assert!(reader.next().unwrap().is_ok());
    assert_eq!(reader.line(), 1);
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}

/// The examples of records that the contract has, with numbers for its ellipses.
const CONTRACT: &str = r#"{"type":"header","schema":"isol-trace/1","version":"0.1.0","host":"h","kernel":"6.12.0","arch":"x86_64","cpus":[{"cpu":1,"detection":"context-tracking"}],"housekeeping":[0],"probes":[{"name":"user_exit","state":"attached"},{"name":"csd_queue_cpu","state":"absent","why":"no"}],"time":"2026-01-31T12:00:00.000000000Z","mono_ns":0}
{"type":"breach","seq":1,"time":"2026-01-31T12:00:00.000000000Z","mono_ns":7,"cpu":1,"duration_ns":2104,"end":"return","task":{"pid":147,"tid":147,"comm":"spin"},"cause":{"kind":"syscall","nr":39,"name":"getpid"},"ip":"0x4016de","at":"main+0x2e","source":"spin.c:11","activity":[{"kind":"timer","name":"clocksource_watchdog","net_ns":812}],"origins":[{"kind":"remote","cpu":0,"pid":88,"tid":88,"comm":"insmod","via":"call_function","callback":"do_sync_core","callsite":"smp_call_function_many_cond+0x1f","stack":["a+0x1"],"inferred":false}],"remedy":"text-patching"}
{"type":"lost","cpu":1,"records":12,"mono_ns":0}
{"type":"kill","mono_ns":9,"cpu":1,"task":{"pid":147,"tid":147,"comm":"spin"},"signal":9,"by":"strict-mode","breach":1,"history":[1]}
"#;

#[test]
fn what_a_log_need_not_say_is_not_asked_for() {
    let events = read(CONTRACT).unwrap();
    let [
        _,
        Event::Breach(breach),
        Event::Lost { .. },
        Event::Kill(kill),
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert!(kill.fatal, "a kill that does not say that it was handled");
    let [origin] = breach.origins.as_slice() else {
        panic!("{:?}", breach.origins);
    };
    let sender = origin.sender().unwrap();
    assert_eq!(sender.at, None, "not said");
}

#[test]
fn a_line_without_end_is_not_kept() {
    let endless = std::io::repeat(b'x');
    let mut log = LogReader::new(std::io::BufReader::new(endless));
    assert!(matches!(log.next(), Some(Err(LogError::NoHeader))));
}

#[test]
fn what_a_record_lists_is_bounded() {
    const LOG: &str = include_str!("../../tests/explain/killed.jsonl");
    let header = LOG.lines().next().unwrap();
    let numbers: Vec<_> = (0..500_000).map(|number| number.to_string()).collect();
    let name = "x".repeat(100_000);
    let kill = format!(
        "{{\"type\":\"kill\",\"mono_ns\":1,\"cpu\":1,\"task\":{{\"tid\":1,\"comm\":\"{name}\"}},\"signal\":9,\
         \"by\":\"kernel\",\"history\":[{}]}}",
        numbers.join(",")
    );
    let text = format!("{header}\n{kill}\n");
    let events: Vec<_> = LogReader::new(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let Some(Event::Kill(kill)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(kill.history.len(), 64);
    assert_eq!(kill.history.last(), Some(&Seq(499_999)), "the last ones");
    assert_eq!(kill.task.comm.as_deref().map(str::len), Some(16 << 10));
}
