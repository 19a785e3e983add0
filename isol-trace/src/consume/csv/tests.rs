use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    consume::{Consumer as _, Demand, json::JsonLines},
    wire::{LogReader, tests::any},
};

/// What `report` makes of these events.
fn written<'a>(events: impl IntoIterator<Item = &'a Event>) -> String {
    let mut text = Vec::new();
    let mut csv = CsvLines::new(&mut text);
    for event in events {
        csv.event(event);
    }
    assert!(csv.take_error().is_none());
    drop(csv);
    String::from_utf8(text).unwrap()
}

/// The log of these events.
fn log<'a>(events: impl IntoIterator<Item = &'a Event>) -> String {
    let mut text = Vec::new();
    let mut log = JsonLines::new(&mut text);
    for event in events {
        log.event(event);
    }
    drop(log);
    String::from_utf8(text).unwrap()
}

/// The names of the columns, and the rows, as the crate `csv` reads them.
fn read(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let fields = |record: &::csv::StringRecord| -> Vec<String> {
        record.iter().map(str::to_owned).collect()
    };
    let names = fields(reader.headers().unwrap());
    let rows = reader.records().map(|row| fields(&row.unwrap())).collect();
    (names, rows)
}

/// What a cell has of a field of a record, which `path` leads to.
fn cell(value: &Value, path: &str) -> String {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let (name, index) = step.split_once('[').unwrap_or((step, ""));
    let inner = &value[name];
    match index {
        "" => {}
        "]" => {
            let all = inner.as_array().into_iter().flatten();
            let all: Vec<_> = all.map(|one| cell(one, rest)).collect();
            return all.join(" ");
        }
        "0]" => return cell(&inner[0], rest),
        other => panic!("{other}"),
    }
    match inner {
        Value::Null => String::new(),
        Value::Object(_) => cell(inner, rest),
        Value::String(text) => {
            let mut cell = Vec::new();
            let (out, calendar) = (&mut cell, None);
            Cell { out, calendar }.text(text);
            String::from_utf8(cell).unwrap()
        }
        other => other.to_string(),
    }
}

proptest! {
    /// A row read back has the fields that the log has of the same breach, under the same names.
    #[test]
    fn a_row_reads_back_as_the_fields_of_its_breach(breaches in proptest::collection::vec(any::breach(), 1..4)) {
        let header = Event::Header(any::plain_header());
        let events: Vec<_> = breaches.into_iter().map(|it| Event::Breach(Box::new(it))).collect();
        let events = || std::iter::once(&header).chain(&events);
        let text = written(events());
        let (names, rows) = read(&text);
        prop_assert_eq!(text.lines().count(), rows.len() + 1, "a row is a line: {}", text);
        let log = log(events());
        let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let records: Vec<_> = records.filter(|record| record["type"] == "breach").collect();
        prop_assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(&records) {
            for (name, field) in names.iter().zip(row) {
                prop_assert_eq!(field, &cell(record, name), "{}: {}", name, record);
            }
        }
    }

    /// A log is heard as the trace was that it is of.
    #[test]
    fn rows_of_a_log_are_those_of_its_trace(events in proptest::collection::vec(any::event(), 0..6)) {
        let header = Event::Header(any::plain_header());
        let events = || std::iter::once(&header).chain(&events);
        let log = log(events());
        let back: Result<Vec<_>, _> = LogReader::new(log.as_bytes()).collect();
        prop_assert_eq!(written(&back.unwrap()), written(events()));
    }

    /// No text of others begins a formula, breaks a row or is shown as what it is not; what `'` was put in front of is got back.
    #[test]
    fn no_name_is_a_formula(name in "[ =+@'－＝a\"\n,;\u{1b}-]{0,6}") {
        let mut breach = any::plain_breach();
        breach.task.comm = Some(name.as_str().into());
        let (names, rows) = read(&written([&Event::Breach(Box::new(breach))]));
        let comm = names.iter().position(|name| name == "task.comm").unwrap();
        let field = rows[0][comm].as_str();
        prop_assert!(!field.trim_start().starts_with(['=', '+', '-', '@', '－', '＝']), "{field:?}");
        let steers = field.contains(['\n', '\u{1b}']);
        prop_assert!(!steers, "{field:?}");
        prop_assert_eq!(field.strip_prefix('\'').unwrap_or(field), printable(&name));
    }
}

#[test]
fn what_is_not_known_is_an_empty_cell() {
    let mut breach = any::plain_breach();
    breach.duration = None;
    breach.task.comm = None;
    // Without a header there is no calendar.
    let (names, rows) = read(&written([&Event::Breach(Box::new(breach))]));
    for name in ["time", "duration_ns", "task.comm", "origins[0].pid"] {
        let column = names.iter().position(|it| it == name).unwrap();
        assert_eq!(rows[0][column], "", "{name}");
    }
}

#[test]
fn a_log_without_breaches_has_the_names_of_its_columns_once() {
    let header = Event::Header(any::plain_header());
    let text = written([&header, &header]);
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("seq,time,mono_ns,cpu,duration_ns,"));
}

#[test]
fn an_output_that_takes_no_more_ends_the_rows() {
    let mut room = [0; 16];
    let mut csv = CsvLines::new(room.as_mut_slice());
    csv.event(&Event::Header(any::plain_header()));
    assert_eq!(csv.demand(), Demand::Failed);
    assert_eq!(csv.take_error().unwrap().kind(), io::ErrorKind::WriteZero);
}

#[test]
fn the_documentation_has_every_column() {
    let text = include_str!("../../../../docs/report.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<_> = rows
        .flat_map(|row| {
            row.split(" | ")
                .next()
                .unwrap_or_default()
                .split('`')
                .skip(1)
                .step_by(2)
        })
        .collect();
    let columns: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, columns);
}

#[test]
fn a_place_that_is_not_known_is_an_empty_cell() {
    let cell = |function: Function| {
        let mut out = Vec::new();
        let mut cell = Cell {
            out: &mut out,
            calendar: None,
        };
        cell.function(&function);
        String::from_utf8(out).unwrap()
    };
    let place = |address, name: Option<&str>| Function {
        address,
        name: name.map(Into::into),
    };
    assert_eq!(cell(place(None, None)), "");
    assert_eq!(cell(place(Some(Address(16)), None)), "0x10");
    assert_eq!(cell(place(Some(Address(16)), Some("f"))), "f");
}
