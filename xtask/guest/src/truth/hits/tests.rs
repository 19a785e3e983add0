//! What proves a probe, and what does not.

use super::{super::log::Line, *};

fn probe(name: &str, state: &str) -> Probe {
    Probe {
        name: name.to_owned(),
        state: state.to_owned(),
        why: Some("because".to_owned()),
    }
}

#[test]
fn attached_is_no_proof() {
    let mut hits = Hits::default();
    let attached = probe("local_timer_exit", "attached");
    assert!(matches!(hits.judge(&attached), Verdict::Fail(_)));
    hits.saw("local_timer", false);
    assert!(matches!(hits.judge(&attached), Verdict::Fail(_)));
    hits.saw("local_timer", true);
    assert!(matches!(hits.judge(&attached), Verdict::Pass(_)));
    assert!(matches!(
        hits.judge(&probe("local_timer_exit", "absent")),
        Verdict::Skip(_)
    ));
    assert!(matches!(
        hits.judge(&probe("local_timer_exit", "failed")),
        Verdict::Fail(_)
    ));
    assert!(matches!(
        hits.judge(&probe("quantum_leap", "attached")),
        Verdict::Fail(_)
    ));
}

#[test]
fn a_program_proves_its_own_probe_alone() {
    let senders = [
        "smp_call_function_single",
        "smp_call_function_single_async",
        "smp_call_function_many_cond",
        "csd_queue_cpu",
    ];
    let passed = |runs: &[(&str, u64)]| {
        let mut hits = Hits::default();
        hits.ran(
            runs.iter()
                .map(|(name, count)| ((*name).to_owned(), *count)),
        );
        let is_proved = |name: &&&str| {
            let verdict = hits.judge(&probe(name, "attached"));
            matches!(verdict, Verdict::Pass(_))
        };
        senders
            .iter()
            .filter(is_proved)
            .copied()
            .collect::<Vec<_>>()
    };
    for sender in senders {
        assert_eq!(passed(&[(sender, 3)]), [sender]);
        assert_eq!(passed(&[(&format!("raw_{sender}"), 3)]), [sender]);
        assert_eq!(passed(&[(sender, 0)]), [""; 0], "never");
    }
    assert_eq!(passed(&[("smp_call_functi", 3)]), [""; 0]);
    assert_eq!(
        passed(&[("csd_queue_cpu", 0), ("csd_queue_cpu", 1)]).len(),
        1
    );
}

#[test]
fn a_vector_has_both_ends() {
    for (hook, cause) in VECTORS {
        let [entry, exit] = ["entry", "exit"].map(|end| proof(&format!("{hook}_{end}")));
        assert_eq!(entry, Some(Proof::Seen(cause)));
        assert_eq!(exit, Some(Proof::Timed(cause)));
    }
    assert_eq!(proof("local_timer"), None);
}

/// What a breach proves: as it was seen, and as it was timed.
fn shown(breach: &str) -> (Vec<String>, Vec<String>) {
    let text = format!(r#"{{"type":"breach","seq":1,"mono_ns":1,"end":"return",{breach}}}"#);
    let Line::Breach(breach) = Line::parse(&text).unwrap() else {
        panic!("a breach");
    };
    let mut hits = Hits::default();
    hits.breach(&breach);
    (
        hits.seen.into_iter().collect(),
        hits.timed.into_iter().collect(),
    )
}

#[test]
fn a_breach_proves_what_it_lists() {
    for (breach, seen, timed) in [
        (r#""cause":{"kind":"syscall"}"#, vec!["syscall"], vec![]),
        (
            r#""cause":{"kind":"syscall"},"duration_ns":7"#,
            vec!["syscall"],
            vec!["syscall"],
        ),
        (
            r#""cause":{"kind":"nmi"},"duration_ns":7"#,
            vec!["nmi"],
            vec![],
        ),
        (
            r#""cause":{"kind":"local_timer","net_ns":7}"#,
            vec!["local_timer"],
            vec!["local_timer"],
        ),
        (
            r#""cause":{"kind":"nmi"},"task":{"tid":7,"comm":"load"}"#,
            vec!["nmi", "renamed"],
            vec![],
        ),
        (
            r#""cause":{"kind":"nmi"},"activity":[{"kind":"vector","name":"reschedule","net_ns":1},
                {"kind":"vector"},{"kind":"irq","name":"eth0","net_ns":1},
                {"kind":"irq_work","net_ns":1},{"kind":"softirq","name":"block"}]"#,
            vec![
                "device_irq",
                "irq_work function",
                "nmi",
                "reschedule",
                "softirq",
                "vector",
            ],
            vec!["device_irq", "irq_work function", "reschedule"],
        ),
    ] {
        let breach = breach.replace(r#""load""#, &format!("{:?}", load::NAME));
        let (mut expected, of_end) = (seen, "return");
        expected.push(of_end);
        expected.sort_unstable();
        assert_eq!(shown(&breach), (own(&expected), own(&timed)), "{breach}");
    }
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A log of one CPU with one system call.
fn log(detection: &str, of: u32, probes: &[Probe]) -> Log {
    let header = format!(
        r#"{{"type":"header","schema":"","cpus":[{{"cpu":1,"detection":"{detection}"}}],"housekeeping":[],"probes":[],"mono_ns":1}}"#
    );
    let Line::Header(mut header) = Line::parse(&header).unwrap() else {
        panic!("a header");
    };
    header.probes = probes.to_vec();
    let mut call = Breach {
        cpu: of,
        duration_ns: Some(1),
        ..Breach::default()
    };
    call.cause.kind = "syscall".to_owned();
    let mut fault = call.clone();
    (fault.cpu, fault.cause.kind) = (1, "page_fault".to_owned());
    Log {
        header: Some(header),
        breaches: vec![call, fault],
        ..Log::default()
    }
}

#[test]
fn only_a_call_of_a_cpu_without_tracking_proves_the_probes_of_calls() {
    for (detection, of, proved) in [
        ("vectors", 1, true),
        ("vectors", 2, false),
        ("context-tracking", 1, false),
    ] {
        let mut hits = Hits::default();
        hits.log(&log(detection, of, &[]));
        for name in ["sys_enter", "sys_exit"] {
            let verdict = hits.judge(&probe(name, "attached"));
            assert_eq!(
                matches!(verdict, Verdict::Pass(_)),
                proved,
                "{detection} {of}"
            );
        }
    }
}

#[test]
fn a_probe_that_was_attached_once_has_to_be_proved() {
    let states = ["absent", "attached", "failed"];
    for first in states {
        for then in states {
            let mut hits = Hits::default();
            hits.log(&log("vectors", 1, &[probe("tick_stop", first)]));
            hits.log(&log("vectors", 1, &[probe("tick_stop", then)]));
            let kept = if first == "attached" { first } else { then };
            assert_eq!(hits.probes["tick_stop"].state, kept, "{first}, then {then}");
        }
    }
}

#[test]
fn a_witness_proves_what_no_log_shows() {
    let mut hits = Hits::default();
    let exec = probe("sched_process_exec", "attached");
    assert!(matches!(hits.judge(&exec), Verdict::Fail(_)));
    hits.witness(SECTION_ENDED_BY_EXEC);
    assert!(matches!(hits.judge(&exec), Verdict::Pass(_)));
    let machine_check = probe("mce_record", "attached");
    assert!(matches!(hits.judge(&machine_check), Verdict::Skip(_)));
}
