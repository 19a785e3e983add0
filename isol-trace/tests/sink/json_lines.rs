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
    let mut lines: Vec<_> = samples::every_event().iter().map(samples::line).collect();
    lines.push(samples::remedy_line());
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
        serde_json::from_str(isol_trace::wire::SCHEMA).expect("the schema is JSON");
    for (definition, body) in schema["$defs"].as_object().expect("definitions") {
        let Some(properties) = body["properties"].as_object() else {
            continue;
        };
        for name in properties.keys() {
            assert!(text.contains(&format!("`{name}`")), "{definition}.{name}");
        }
    }
}

/// A remedy is spelled out once, and again where its commands have other numbers.
#[test]
fn a_remedy_is_spelled_out_once_with_this_hosts_numbers() {
    use isol_trace::event::model::{Cause, CauseDetail};
    let timer = || CauseDetail::Plain(Cause::LocalTimer);
    let irq = |irq| CauseDetail::DeviceIrq { irq, handler: None };
    let lines = samples::remedy_lines(&[
        samples::remedied(timer(), "fair-server"),
        samples::remedied(irq(24), "device-irq"),
        samples::remedied(irq(24), "device-irq"),
        samples::remedied(timer(), "fair-server"),
        samples::remedied(irq(25), "device-irq"),
        samples::remedied(timer(), "no-such-rule"),
    ]);
    let commands: Vec<String> = lines
        .iter()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
            record["run"][0].as_str().expect("a command").to_owned()
        })
        .collect();
    assert_eq!(
        commands,
        [
            "for cpu in 1 2; do echo 0 > /sys/kernel/debug/sched/fair_server/cpu$cpu/runtime; done",
            "echo 0,3 > /proc/irq/24/smp_affinity_list",
            "echo 0,3 > /proc/irq/25/smp_affinity_list",
        ]
    );
}

/// Whoever copies a command out of its words gets the CPU's number as well.
#[test]
fn a_remedy_has_the_cpu_of_its_breach_in_its_words() {
    use isol_trace::event::{
        ids::Cpu,
        model::{Breach, Cause, CauseDetail},
    };
    let on = |cpu| Breach {
        cpu: Cpu(cpu),
        ..samples::remedied(CauseDetail::Plain(Cause::Reschedule), "second-task")
    };
    let lines = samples::remedy_lines(&[on(1), on(2), on(1)]);
    assert_eq!(lines.len(), 2);
    for (line, cpu) in lines.iter().zip([1, 2]) {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let words = [&record["text"], &record["verify"][0]].map(|it| it.as_str().expect("text"));
        assert!(
            words[0].contains(&format!("pinned to CPU {cpu}.")),
            "{words:?}"
        );
        assert!(words[1].contains(&format!("'$1 == {cpu}'")), "{words:?}");
    }
}

/// A storm of processes does not make the log grow without end.
#[test]
fn remedies_have_an_end() {
    use isol_trace::event::model::CauseDetail;
    let breaches: Vec<_> = (1..3_000)
        .map(|irq| samples::remedied(CauseDetail::DeviceIrq { irq, handler: None }, "device-irq"))
        .collect();
    assert_eq!(samples::remedy_lines(&breaches).len(), 1024);
}
