//! A sound log, and what each rule says of a log that breaks this rule alone.

use serde_json::{Value, json};

use super::*;

/// A log that every rule has something to say of and none finds wrong, line by line as
/// [`Invariants::line`] counts them: two watched CPUs, one of them released.
fn sound() -> Vec<Value> {
    vec![
        json!({
            "type": "header", "schema": "isol-trace/1", "mono_ns": 1, "housekeeping": [0],
            "cpus": [{"cpu": 1, "detection": "context-tracking"}],
            "probes": [
                {"name": "user_exit", "state": "attached"},
                {"name": "x", "state": "absent", "why": "not in this kernel"},
                {"name": "y", "state": "failed", "why": "the verifier refused it"},
            ],
        }),
        json!({
            "type": "breach", "seq": 1, "mono_ns": 2, "cpu": 1, "end": "return",
            "duration_ns": 0, "idle_ns": 0, "task": {"tid": 7}, "cause": {"kind": "syscall"},
            "activity": [{"kind": "signal", "net_ns": 0}], "origins": [{"kind": "task"}],
        }),
        json!({"type": "back", "breach": 1, "away_ns": 0}),
        json!({
            "type": "watched", "mono_ns": 3, "housekeeping": [0, 1],
            "changes": [{"cpu": 1, "change": "released"}, {"cpu": 2, "change": "isolated"}],
            "cpus": [{"cpu": 2, "detection": "vectors"}],
        }),
        json!({
            "type": "breach", "seq": 2, "mono_ns": 4, "cpu": 2, "end": "return",
            "task": {"tid": 8}, "cause": {"kind": "page_fault"}, "origins": [{"kind": "task"}],
        }),
        json!({"type": "lost", "cpu": 1, "records": 1, "mono_ns": 5}),
        json!({"type": "lost", "cpu": 1, "records": 2, "mono_ns": 5}),
        json!({
            "type": "kill", "mono_ns": 6, "cpu": 1, "task": {"tid": 7}, "signal": 64,
            "fatal": true, "by": "remote", "breach": 2, "history": [1, 2], "user_stack": [],
        }),
        json!({
            "type": "breach", "seq": 4, "mono_ns": 7, "cpu": 2, "end": "return",
            "task": {"tid": 8}, "cause": {"kind": "syscall"},
            "origins": [{"kind": "remote"}, {"kind": "tracer"}],
        }),
        json!({"type": "of a later version"}),
        json!({
            "type": "summary", "mono_ns": 9, "tracer": {"breaches": 1},
            "cpus": [
                {
                    "cpu": 1, "entries": 6, "attributed": 4, "unattributed": 2, "filtered": 1,
                    "lost": 3, "open": 1, "causes": {"syscall": {"count": 2}, "unknown": {"count": 2}},
                },
                {
                    "cpu": 2, "entries": 4, "attributed": 4, "unattributed": 0, "filtered": 2,
                    "lost": 0, "open": 0,
                    "causes": {
                        "syscall": {"count": 1}, "page_fault": {"count": 1}, "nmi": {"count": 0},
                    },
                },
            ],
        }),
    ]
}

// Places in the sound log.
const HEADER: usize = 0;
const FIRST: usize = 1;
const BACK: usize = 2;
const WATCHED: usize = 3;
const LOST: usize = 5;
const KILL: usize = 7;
const LAST: usize = 8;
const SUMMARY: usize = 10;

fn problems(log: &[Value]) -> Vec<String> {
    let mut invariants = Invariants::default();
    for line in log {
        invariants.line(&line.to_string());
    }
    invariants.finish()
}

/// Fields of one line of a log, or of a CPU in its summary, and what they are changed to.
fn set(of: &mut Value, fields: Value) {
    let (Some(of), Value::Object(fields)) = (of.as_object_mut(), fields) else {
        panic!("both are objects");
    };
    of.extend(fields);
}

/// A change of the sound log, and how each of the problems begins that it has then.
type Case = (fn(&mut Vec<Value>), &'static [&'static str]);

fn assert_each(cases: &[Case]) {
    for (change, expected) in cases {
        let mut log = sound();
        change(&mut log);
        let found = problems(&log);
        let begins = |(found, expected): (&String, &&str)| found.starts_with(expected);
        let agree = found.len() == expected.len() && found.iter().zip(*expected).all(begins);
        assert!(agree, "{found:#?} instead of {expected:#?}");
    }
}

#[test]
fn a_sound_log_has_no_problem() {
    assert_each(&[
        (|_| {}, &[]),
        (|log| set(&mut log[KILL], json!({"signal": 1})), &[]),
        // The entry that the log ends in may be in the totals of its cause already.
        (
            |log| {
                set(
                    &mut log[SUMMARY]["cpus"][0]["causes"],
                    json!({"nmi": {"count": 1}}),
                );
            },
            &[],
        ),
        // CPU 1 was released in the middle of an entry, and the log ends in another one.
        (
            |log| {
                let totals = json!({"entries": 7, "attributed": 5, "open": 2});
                set(&mut log[SUMMARY]["cpus"][0], totals);
            },
            &[],
        ),
        // The cause of what is open at the end is in the totals, and in no record.
        (
            |log| {
                let totals = json!({"entries": 5, "attributed": 5, "open": 1});
                set(&mut log[SUMMARY]["cpus"][1], totals);
                set(
                    &mut log[SUMMARY]["cpus"][1]["causes"],
                    json!({"nmi": {"count": 1}}),
                );
            },
            &[],
        ),
        // Nor are those of records that were lost.
        (
            |log| {
                set(&mut log[LOST], json!({"cpu": 2}));
                set(&mut log[LOST + 1], json!({"cpu": 2}));
                let totals = json!({
                    "entries": 3, "attributed": 1, "lost": 0, "causes": {"syscall": {"count": 1}},
                });
                set(&mut log[SUMMARY]["cpus"][0], totals);
                let totals = json!({"entries": 7, "attributed": 7, "lost": 3});
                set(&mut log[SUMMARY]["cpus"][1], totals);
                set(
                    &mut log[SUMMARY]["cpus"][1]["causes"],
                    json!({"nmi": {"count": 3}}),
                );
            },
            &[],
        ),
    ]);
}

#[test]
fn lines_have_their_order_and_their_form() {
    assert_each(&[
        (
            |log| log[BACK] = json!("no object"),
            &["line 3: no object with a type"],
        ),
        (
            |log| {
                let header = log.remove(HEADER);
                log.insert(FIRST, header);
            },
            &[
                "line 1: the header comes first, once",
                "breach 1: CPU 1 is not watched",
                "line 2: the header comes first, once",
            ],
        ),
        (
            |log| log.insert(BACK, log[HEADER].clone()),
            &["line 3: the header comes first, once"],
        ),
        (
            |log| log.push(log[SUMMARY].clone()),
            &["line 12 follows the summary"],
        ),
        (
            |log| log.push(log[SUMMARY - 1].clone()),
            &["line 12 follows the summary", "the last line is no summary"],
        ),
        (
            |log| {
                log.pop();
            },
            &["the last line is no summary"],
        ),
    ]);
}

#[test]
fn a_header_says_what_is_watched_and_how() {
    assert_each(&[
        (
            |log| set(&mut log[HEADER], json!({"schema": "other/1"})),
            &["schema other/1"],
        ),
        (
            |log| set(&mut log[HEADER]["cpus"][0], json!({"detection": "guesses"})),
            &["CPU 1: detection guesses"],
        ),
        (
            |log| set(&mut log[HEADER], json!({"housekeeping": [0, 1]})),
            &["CPU 1 is watched and housekeeping"],
        ),
        (
            |log| set(&mut log[WATCHED], json!({"housekeeping": [0, 2]})),
            &["CPU 2 is watched and housekeeping"],
        ),
        (
            |log| set(&mut log[HEADER]["probes"][0], json!({"state": "on"})),
            &["probe user_exit:"],
        ),
        (
            |log| set(&mut log[HEADER]["probes"][1], json!({"why": null})),
            &["probe x:"],
        ),
        (
            |log| set(&mut log[HEADER]["probes"][2], json!({"why": ""})),
            &["probe y:"],
        ),
    ]);
}

#[test]
fn a_breach_is_of_the_contract() {
    assert_each(&[
        (
            |log| set(&mut log[LAST], json!({"seq": 2})),
            &["seq 2 after 2"],
        ),
        (
            |log| set(&mut log[LAST], json!({"seq": 1})),
            &["seq 1 after 2"],
        ),
        (
            |log| set(&mut log[FIRST]["cause"], json!({"kind": "sysenter"})),
            &["breach 1: cause sysenter"],
        ),
        (
            |log| set(&mut log[FIRST]["activity"][0], json!({"kind": "signals"})),
            &["breach 1: activity signals"],
        ),
        (
            |log| set(&mut log[FIRST]["activity"][0], json!({"net_ns": -1})),
            &["breach 1: signal took a negative time"],
        ),
        (
            |log| set(&mut log[FIRST], json!({"end": "returned"})),
            &["breach 1: end returned"],
        ),
        (
            |log| set(&mut log[HEADER]["cpus"][0], json!({"cpu": 3})),
            &["breach 1: CPU 1 is not watched"],
        ),
        (
            |log| set(&mut log[WATCHED], json!({"cpus": []})),
            &[
                "breach 2: CPU 2 is not watched",
                "breach 4: CPU 2 is not watched",
            ],
        ),
        (
            |log| set(&mut log[FIRST]["task"], json!({"tid": 0})),
            &["breach 1: the idle task has no user mode to leave"],
        ),
        (
            |log| set(&mut log[FIRST], json!({"duration_ns": -1})),
            &["breach 1: a negative time"],
        ),
        (
            |log| set(&mut log[FIRST], json!({"idle_ns": -1})),
            &["breach 1: a negative time"],
        ),
        (
            |log| set(&mut log[FIRST], json!({"origins": []})),
            &["breach 1: no origin, not even unknown"],
        ),
    ]);
}

#[test]
fn what_follows_a_breach_names_one_that_was_shown() {
    assert_each(&[
        (
            |log| set(&mut log[BACK], json!({"away_ns": -1})),
            &["line 3: away for -1"],
        ),
        (
            |log| set(&mut log[BACK], json!({"breach": 2})),
            &["line 3: back from a later breach"],
        ),
        (
            |log| set(&mut log[BACK], json!({"breach": 0})),
            &["line 3: back from a later breach"],
        ),
        (
            |log| set(&mut log[KILL], json!({"history": [2, 1]})),
            &["line 8: a kill after breach 2:"],
        ),
        (
            |log| set(&mut log[KILL], json!({"history": [1, 1]})),
            &["line 8: a kill after breach 2:"],
        ),
        (
            |log| set(&mut log[KILL], json!({"history": [1, 3]})),
            &["line 8: a kill after breach 2:"],
        ),
        (
            |log| set(&mut log[KILL], json!({"history": [0, 1]})),
            &["line 8: a kill after breach 2:"],
        ),
        (
            |log| set(&mut log[KILL], json!({"breach": 3})),
            &["line 8: a kill after breach 2:"],
        ),
        (
            |log| set(&mut log[KILL], json!({"signal": 0})),
            &["line 8: Kill"],
        ),
        (
            |log| set(&mut log[KILL], json!({"signal": 65})),
            &["line 8: Kill"],
        ),
        (
            |log| set(&mut log[KILL], json!({"by": "nobody"})),
            &["line 8: Kill"],
        ),
    ]);
}

#[test]
fn the_ledger_adds_up() {
    assert_each(&[
        (
            |log| set(&mut log[SUMMARY]["cpus"][0], json!({"attributed": 5})),
            &["CPU 1: entries 6 are not attributed 5 + unattributed 2"],
        ),
        (
            |log| set(&mut log[SUMMARY]["cpus"][0], json!({"unattributed": 1})),
            &["CPU 1: entries 6 are not attributed 4 + unattributed 1"],
        ),
        (
            |log| set(&mut log[SUMMARY]["cpus"][0], json!({"filtered": 2})),
            &["CPU 1: entries 6 are not records 1 + lost 3 + filtered 2 + open 1"],
        ),
        (
            |log| set(&mut log[SUMMARY]["cpus"][0], json!({"open": 2})),
            &["CPU 1: entries 6 are not records 1 + lost 3 + filtered 1 + open 2"],
        ),
        (
            |log| {
                log.remove(FIRST);
                set(&mut log[FIRST], json!({"breach": null}));
            },
            &["CPU 1: entries 6 are not records 0 + lost 3 + filtered 1 + open 1"],
        ),
        (
            |log| set(&mut log[SUMMARY]["cpus"][0], json!({"lost": 4})),
            &[
                "CPU 1: entries 6 are not records 1 + lost 4 + filtered 1 + open 1",
                "CPU 1: lost lines say 3, the summary 4",
            ],
        ),
        (
            |log| set(&mut log[LOST], json!({"records": 2})),
            &["CPU 1: lost lines say 4, the summary 3"],
        ),
        // More are left out than there are.
        (
            |log| set(&mut log[SUMMARY]["cpus"][0], json!({"filtered": 7})),
            &[
                "CPU 1: entries 6 are not records 1 + lost 3 + filtered 7 + open 1",
                "CPU 1: causes sum to 4, breaches are 0 of which 1 open",
            ],
        ),
    ]);
}

#[test]
fn an_entry_is_open_once_for_each_time_that_a_cpu_was_watched() {
    assert_each(&[
        (
            |log| {
                let totals = json!({"entries": 8, "attributed": 6, "open": 3});
                set(&mut log[SUMMARY]["cpus"][0], totals);
            },
            &["CPU 1: 3 open entries"],
        ),
        // Nobody released this one.
        (
            |log| {
                let totals = json!({"entries": 6, "attributed": 6, "open": 2});
                set(&mut log[SUMMARY]["cpus"][1], totals);
            },
            &["CPU 2: 2 open entries"],
        ),
    ]);
}

#[test]
fn causes_add_up_to_the_breaches() {
    assert_each(&[
        (
            |log| {
                set(
                    &mut log[SUMMARY]["cpus"][0]["causes"],
                    json!({"nmi": {"count": 2}}),
                );
            },
            &["CPU 1: causes sum to 6, breaches are 5 of which 1 open"],
        ),
        (
            |log| {
                set(
                    &mut log[SUMMARY]["cpus"][0]["causes"]["syscall"],
                    json!({"count": 1}),
                );
            },
            &["CPU 1: causes sum to 3, breaches are 5 of which 1 open"],
        ),
        (
            |log| {
                let causes = &mut log[SUMMARY]["cpus"][0]["causes"];
                set(causes, json!({"sysenter": {"count": 0}}));
            },
            &["CPU 1: cause sysenter in the summary"],
        ),
        (
            |log| set(&mut log[LAST]["cause"], json!({"kind": "page_fault"})),
            &[
                "CPU 2: records by cause {\"page_fault\": 2}, summary {\"page_fault\": 1, \"syscall\": 1}",
            ],
        ),
    ]);
}

#[test]
fn the_tracer_counts_at_least_the_breaches_that_are_its_own() {
    assert_each(&[
        (
            |log| set(&mut log[SUMMARY]["tracer"], json!({"breaches": 0})),
            &["1 breaches are the tracer's, and it counts 0"],
        ),
        // It may have caused some that lost their records.
        (
            |log| set(&mut log[SUMMARY]["tracer"], json!({"breaches": 2})),
            &[],
        ),
    ]);
}

#[test]
fn more_problems_than_anybody_reads_are_counted() {
    let mut log = sound();
    for _ in 0..SHOWN + 3 {
        log.insert(BACK, json!("no object"));
    }
    let found = problems(&log);
    assert_eq!(found.len(), SHOWN + 1);
    assert_eq!(found[SHOWN], "and 3 more");
}
