//! The lines of a log to the letter, and the documentation's examples among them.

use crate::samples;
use isol_trace::event::model::{Breach, Event};

fn breach_lines(breaches: impl IntoIterator<Item = Breach>) -> String {
    let lines: Vec<_> = breaches
        .into_iter()
        .map(|breach| samples::line(&Event::Breach(Box::new(breach))))
        .collect();
    lines.join("\n")
}

#[test]
fn header() {
    insta::assert_snapshot!(samples::line(&Event::Header(samples::header())));
}

#[test]
fn breach_with_everything_known() {
    insta::assert_snapshot!(breach_lines([samples::known_breach()]));
}

#[test]
fn breach_of_which_little_is_known() {
    insta::assert_snapshot!(breach_lines([samples::bare_breach()]));
}

#[test]
fn every_cause() {
    insta::assert_snapshot!(breach_lines(samples::causes()));
}

#[test]
fn every_activity() {
    insta::assert_snapshot!(breach_lines([samples::busy_breach()]));
}

#[test]
fn back() {
    insta::assert_snapshot!(samples::line(&samples::back()));
}

#[test]
fn lost() {
    insta::assert_snapshot!(samples::line(&samples::lost()));
}

#[test]
fn kill() {
    let lines = [samples::kill(), samples::remote_kill()]
        .map(|kill| samples::line(&Event::Kill(Box::new(kill))));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn summary() {
    insta::assert_snapshot!(samples::line(&Event::Summary(samples::summary())));
}

/// The examples of docs/json.md are lines that the sink writes, letter by letter.
#[test]
fn the_documentations_examples_are_real() {
    let text = include_str!("../../../docs/json.md");
    let lines: Vec<_> = samples::every_event().iter().map(samples::line).collect();
    let examples: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("{\"type\""))
        .collect();
    assert!(examples.len() >= 6, "there is one for every record");
    for example in examples {
        assert!(
            lines.iter().any(|line| line == example),
            "docs/json.md shows a line that the sink does not write:\n{example}\nIt writes:\n{}",
            lines.join("\n")
        );
    }
}

/// Every field that the schema describes is told in docs/json.md.
#[test]
fn the_documentation_tells_every_field() {
    let text = include_str!("../../../docs/json.md");
    let schema: serde_json::Value =
        serde_json::from_str(isol_trace::sink::SCHEMA).expect("the schema is JSON");
    for (definition, body) in schema["$defs"].as_object().expect("definitions") {
        let Some(properties) = body["properties"].as_object() else {
            continue;
        };
        for name in properties.keys() {
            assert!(text.contains(&format!("`{name}`")), "{definition}.{name}");
        }
    }
}
