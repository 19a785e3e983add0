//! The schema: every line that the sink writes satisfies it, and what is wrong does not.

use crate::samples;
use isol_trace::{
    event::model::{Activity, Cause, End, KilledBy},
    wire::{SCHEMA, SCHEMA_NAME},
};
use jsonschema::Validator;
use serde_json::{Value, json};

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

fn validator() -> Validator {
    let schema = schema();
    jsonschema::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::validator_for(&schema).expect("the schema compiles")
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).expect("a line is JSON")
}

/// A breach line to be spoiled.
fn breach() -> Value {
    value(&samples::line(&isol_trace::event::model::Event::Breach(
        Box::new(samples::busy_breach()),
    )))
}

#[test]
fn every_line_of_the_sink_satisfies_the_schema() {
    let validator = validator();
    let events = samples::every_event();
    let lines = events.iter().map(samples::line);
    for line in lines.chain([samples::remedy_line()]) {
        let value = value(&line);
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{line}\n{errors:#?}");
    }
}

/// The hand-built events leave nothing out: else the test above would show less than it says.
#[test]
fn every_word_occurs_among_the_events() {
    let lines: String = samples::every_event().iter().map(samples::line).collect();
    let causes = Cause::ALL.iter().map(|cause| cause.word());
    let activities = Activity::ALL.iter().map(|activity| activity.word());
    for word in causes.chain(activities) {
        assert!(lines.contains(&format!("{{\"kind\":\"{word}\"")), "{word}");
    }
    for end in End::ALL {
        assert!(lines.contains(&format!("\"end\":\"{}\"", end.word())));
    }
    for kind in ["header", "breach", "back", "lost", "kill", "summary"] {
        assert!(lines.contains(&format!("{{\"type\":\"{kind}\"")), "{kind}");
    }
}

/// The closed lists of the schema are those of the code, in both directions.
#[test]
fn the_schema_lists_the_words_of_the_code() {
    let schema = schema();
    let words = |pointer: &str| -> Vec<String> {
        let list = schema.pointer(pointer).expect("the schema has it").clone();
        let mut words: Vec<String> = serde_json::from_value(list).expect("words");
        words.sort_unstable();
        words
    };
    let sorted = |mut words: Vec<&'static str>| {
        words.sort_unstable();
        words
    };
    let causes = Cause::ALL.iter().map(|cause| cause.word()).collect();
    assert_eq!(words("/$defs/cause_kind/enum"), sorted(causes));
    let activities = Activity::ALL.iter().map(|kind| kind.word()).collect();
    let kinds = words("/$defs/activity/properties/kind/enum");
    assert_eq!(kinds, sorted(activities));
    let raisers = words("/$defs/kill/properties/by/enum");
    assert_eq!(raisers, sorted(KilledBy::WORDS.to_vec()));
    let ends = End::ALL.iter().map(|end| end.word()).collect();
    assert_eq!(words("/$defs/breach/properties/end/enum"), sorted(ends));
    assert_eq!(
        schema.pointer("/$defs/header/properties/schema/const"),
        Some(&json!(SCHEMA_NAME))
    );
}

/// Every field that the sink writes is described in the schema: one that is not would be undocumented.
#[test]
fn every_field_is_described() {
    let schema = schema();
    let described = |definition: &str, value: &Value| {
        let properties = schema
            .pointer(&format!("/$defs/{definition}/properties"))
            .unwrap_or_else(|| panic!("{definition}"));
        for name in value.as_object().expect("an object").keys() {
            assert!(properties.get(name).is_some(), "{definition}.{name}");
        }
    };
    for event in samples::every_event() {
        let value = value(&samples::line(&event));
        described(value["type"].as_str().expect("a type"), &value);
        for (definition, pointer) in [
            ("task", "/task"),
            ("cause", "/cause"),
            ("cause", "/unlogged/0/cause"),
            ("sender", "/sender"),
        ] {
            if let Some(part) = value.pointer(pointer) {
                described(definition, part);
            }
        }
        for (definition, name) in [
            ("activity", "activity"),
            ("origin", "origins"),
            ("unlogged", "unlogged"),
        ] {
            for part in value[name].as_array().into_iter().flatten() {
                described(definition, part);
            }
        }
        if value["type"] == "summary" {
            described("cpu_summary", &value["cpus"][0]);
        }
    }
}

#[test]
fn lines_of_later_parts_of_the_contract_satisfy_the_schema() {
    let validator = validator();
    let mut remote = breach();
    remote["origins"] = json!([{
        "kind": "remote", "cpu": 0, "pid": 88, "tid": 88, "comm": "insmod",
        "via": "call_function", "callback": "do_sync_core",
        "callsite": "smp_call_function_many_cond+0x1f", "stack": ["a+0x1"], "inferred": false
    }]);
    remote["remedy"] = json!("text-patching");
    let kill = json!({
        "type": "kill", "mono_ns": 0, "cpu": 1, "task": {"pid": 147, "tid": 147, "comm": "spin"},
        "signal": 9, "by": "strict-mode", "breach": 17, "history": [9, 11, 14, 17]
    });
    let mut grown = breach();
    grown["a_field_of_a_later_version"] = json!(1);
    for line in [remote, kill, grown] {
        assert!(validator.is_valid(&line), "{line}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let validator = validator();
    assert!(validator.is_valid(&breach()));
    let spoiled = |what: &str, spoil: fn(&mut Value)| {
        let mut line = breach();
        spoil(&mut line);
        assert!(!validator.is_valid(&line), "{what}: {line}");
    };
    spoiled("no type", |line| {
        line.as_object_mut().expect("an object").remove("type");
    });
    spoiled("another type", |line| line["type"] = json!("entry"));
    for name in [
        "seq", "time", "mono_ns", "cpu", "end", "task", "cause", "ip", "origins",
    ] {
        let mut line = breach();
        line.as_object_mut().expect("an object").remove(name);
        assert!(!validator.is_valid(&line), "without {name}");
    }
    spoiled("seq 0", |line| line["seq"] = json!(0));
    spoiled("a cause that is none", |line| {
        line["cause"]["kind"] = json!("sysenter");
    });
    spoiled("a fault without its address", |line| {
        line["cause"] = json!({"kind": "page_fault", "write": true, "user": true});
    });
    spoiled("a device without its interrupt", |line| {
        line["cause"] = json!({"kind": "device_irq", "name": "eth0"});
    });
    spoiled("five arguments", |line| {
        line["cause"] =
            json!({"kind": "syscall", "nr": 1, "args": ["0x0", "0x0", "0x0", "0x0", "0x0"]});
    });
    spoiled("an activity that is none", |line| {
        line["activity"][0]["kind"] = json!("daydream");
    });
    spoiled("an origin that is none", |line| {
        line["origins"][0]["kind"] = json!("cosmic ray");
    });
    spoiled("no origin", |line| line["origins"] = json!([]));
    spoiled("an end that is none", |line| line["end"] = json!("crashed"));
    spoiled("an address as a number", |line| {
        line["ip"] = json!(4_200_158);
    });
    spoiled("an address with leading zeros", |line| {
        line["ip"] = json!("0x004016de");
    });
    spoiled("a negative time", |line| line["duration_ns"] = json!(-1));
    spoiled("a time without its zone", |line| {
        line["time"] = json!("2026-01-31T12:00:01.500000000");
    });
    spoiled("a time without nanoseconds", |line| {
        line["time"] = json!("2026-01-31T12:00:01Z");
    });
    spoiled("a null for what is not known", |line| {
        line["duration_ns"] = Value::Null;
    });
}

#[test]
fn a_header_of_another_schema_is_refused() {
    let validator = validator();
    let header = samples::every_event().remove(0);
    let mut header = value(&samples::line(&header));
    assert!(validator.is_valid(&header));
    header["schema"] = json!("isol-trace/2");
    assert!(!validator.is_valid(&header));
    header["schema"] = json!("isol-trace/1");
    header["probes"] = json!([{"name": "user_exit", "state": "absent"}]);
    assert!(!validator.is_valid(&header), "absent without a reason");
}

#[test]
fn a_summary_of_unknown_causes_is_refused() {
    let validator = validator();
    let summary = isol_trace::event::model::Event::Summary(samples::summary());
    let mut summary = value(&samples::line(&summary));
    assert!(validator.is_valid(&summary));
    summary["cpus"][0]["causes"]["sysenter"] = json!({"count": 1, "total_ns": 1, "max_ns": 1});
    assert!(!validator.is_valid(&summary));
}
