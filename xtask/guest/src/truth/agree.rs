//! The two sides agree: each entry that the kernel's task isolation reports as a breach is one
//! record of isol-trace, at the same place of the same task, and has a cause there.

use std::{env, process::Command};

use anyhow::{Context, Result, bail, ensure};

use super::{
    bench::{Bench, Group},
    guest::skip,
    independent::{Event, Ftrace},
    kill::has_task_isolation,
    log::Breach,
    tracer::Tracer,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![(
            TEST,
            "a kernel with task isolation: each of its breaches is one record, and the other way round",
        )],
        run,
    }
}

const TEST: &str = "kernel_agrees";

/// The event that says that isolation broke.
const BREACH: &str = "task_isolation_breach";

/// Turns of the victim, each with a dozen entries of all kinds.
const TURNS: &str = "400";

/// The prctl of task isolation, as its first argument is shown.
const ISOLATION: &str = "0x49534f4c";

/// What both sides tell of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    ip: u64,
    /// The system call.
    number: Option<i64>,
}

fn run(bench: &mut Bench) -> Result<()> {
    let outcome = if has_task_isolation() {
        agree(bench)
    } else {
        skip("this kernel has no task isolation")
    };
    bench.outcome(TEST, outcome)
}

fn agree(bench: &mut Bench) -> Result<String> {
    let cpu = bench.guest.cpu();
    // Both switch code before the account begins.
    let ftrace = Ftrace::events_of(&[cpu], &["task_isolation/task_isolation_breach"])?;
    let tracer = Tracer::start(&["--cpus", &cpu.to_string()])?;
    let mut victim = Command::new(env::current_exe()?)
        .args(["victim", "kernel_mixed"])
        .env("TRUTH_CPUS", format!("{cpu} {}", bench.guest.helper()))
        .env("TRUTH_TURNS", TURNS)
        .spawn()?;
    let tid = victim.id();
    let status = victim.wait()?;
    let log = bench.finish(tracer)?;
    ensure!(status.success(), "the victim ended with {status}");
    let told: Vec<_> = ftrace
        .events(cpu)?
        .iter()
        .filter(|event| event.name == BREACH && event.tid == tid)
        .map(entry)
        .collect::<Result<_>>()?;
    let records: Vec<_> = log
        .breaches
        .iter()
        .filter(|breach| breach.task.tid == tid && is_breach(breach))
        .collect();
    compare(&told, &records)
}

/// What the kernel does not count: the call that ends isolation, and the way back from a handler,
/// whose signal was a breach.
fn is_breach(breach: &Breach) -> bool {
    let cause = &breach.cause;
    let is_exempt = match cause.name.as_deref() {
        Some("prctl") => cause.args.first().is_some_and(|it| it == ISOLATION),
        Some("rt_sigreturn" | "exit" | "exit_group") => true,
        _ => false,
    };
    breach.section == Some(true) && !is_exempt
}

fn compare(told: &[Entry], records: &[&Breach]) -> Result<String> {
    for (place, (one, record)) in told.iter().zip(records).enumerate() {
        let other = Entry {
            ip: address(record.ip.as_deref().context("a record without ip")?)?,
            number: record.cause.nr,
        };
        ensure!(
            *one == other,
            "breach {place} of {} and {} is {one:x?} there and {other:x?} here: {}",
            told.len(),
            records.len(),
            serde_json::to_string(record)?
        );
        if record.cause.kind == "unknown" {
            bail!("no cause: {}", serde_json::to_string(record)?);
        }
    }
    ensure!(
        told.len() == records.len(),
        "the kernel reports {} breaches, and the log has {}",
        told.len(),
        records.len()
    );
    let kinds: std::collections::BTreeSet<_> = records
        .iter()
        .map(|record| record.cause.kind.as_str())
        .collect();
    for kind in ["syscall", "page_fault", "exception", "local_timer"] {
        ensure!(kinds.contains(kind), "nothing of {kind} among {kinds:?}");
    }
    ensure!(told.len() > 1000, "only {} breaches", told.len());
    Ok(format!("{} breaches, of {kinds:?}", told.len()))
}

/// From `pid=97 ip=401a2f nr=39 nmi=0`.
fn entry(event: &Event) -> Result<Entry> {
    let field = |name: &str| {
        event
            .rest
            .split(' ')
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no {name} in '{}'", event.rest))
    };
    let number: i64 = field("nr")?.parse()?;
    Ok(Entry {
        ip: u64::from_str_radix(field("ip")?, 16)?,
        number: (number >= 0).then_some(number),
    })
}

fn address(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").context("no address")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_kernel_is_read() {
        let event = |rest: &str| Event {
            at: 1,
            tid: 97,
            name: BREACH.to_owned(),
            rest: rest.to_owned(),
        };
        let call = entry(&event("pid=97 ip=401a2f nr=39 nmi=0")).unwrap();
        assert_eq!(call.ip, 0x40_1a2f);
        assert_eq!(call.number, Some(39));
        let other = entry(&event("pid=97 ip=401a2f nr=-1 nmi=0")).unwrap();
        assert_eq!(other.number, None);
        entry(&event("pid=97 nr=39")).unwrap_err();
    }

    fn record(kind: &str, number: Option<i64>) -> Breach {
        let mut record = Breach {
            ip: Some("0x10".to_owned()),
            section: Some(true),
            ..Breach::default()
        };
        (record.cause.kind, record.cause.nr) = (kind.to_owned(), number);
        record
    }

    /// As many breaches of each kind on both sides, but for `without`.
    fn both(of_each: usize, without: &str) -> (Vec<Entry>, Vec<Breach>) {
        let kinds = [
            ("syscall", Some(39)),
            ("page_fault", None),
            ("exception", None),
            ("local_timer", None),
        ];
        let kinds = kinds.iter().filter(|(kind, _)| *kind != without);
        kinds
            .flat_map(|(kind, number)| {
                let entry = Entry {
                    ip: 0x10,
                    number: *number,
                };
                std::iter::repeat_n((entry, record(kind, *number)), of_each)
            })
            .unzip()
    }

    fn verdict(told: &[Entry], records: &[Breach]) -> String {
        let records: Vec<_> = records.iter().collect();
        match compare(told, &records) {
            Ok(remark) => remark,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn sides_that_agree_on_enough_pass() {
        let (told, records) = both(251, "");
        assert!(compare(&told, &records.iter().collect::<Vec<_>>()).is_ok());
        let (told, records) = both(250, "");
        assert_eq!(verdict(&told, &records), "only 1000 breaches");
        for kind in ["syscall", "page_fault", "exception", "local_timer"] {
            let (told, records) = both(400, kind);
            let verdict = verdict(&told, &records);
            assert!(
                verdict.starts_with(&format!("nothing of {kind}")),
                "{verdict}"
            );
        }
    }

    #[test]
    fn what_is_on_one_side_alone_is_found() {
        let (told, mut records) = both(300, "");
        let all = verdict(&told, &records[1..]);
        assert!(all.starts_with("breach 299 of 1200 and 1199 is"), "{all}");
        let last = verdict(&told, &records[..1199]);
        assert_eq!(
            last,
            "the kernel reports 1200 breaches, and the log has 1199"
        );
        let last = verdict(&told[..1199], &records);
        assert_eq!(
            last,
            "the kernel reports 1199 breaches, and the log has 1200"
        );
        records[7].ip = Some("0x11".to_owned());
        assert!(verdict(&told, &records).starts_with("breach 7 of"));
        records[7].ip = None;
        assert_eq!(verdict(&told, &records), "a record without ip");
        records[7] = record("syscall", Some(40));
        assert!(verdict(&told, &records).starts_with("breach 7 of"));
        records[7] = record("unknown", Some(39));
        assert!(verdict(&told, &records).starts_with("no cause: "));
    }

    #[test]
    fn what_ends_a_section_or_is_outside_is_no_breach() {
        let call = |name: &str, argument: &str, section: Option<bool>| {
            let mut record = record("syscall", Some(1));
            record.cause.name = Some(name.to_owned());
            record.cause.args = vec![argument.to_owned(), "0x1".to_owned()];
            record.section = section;
            is_breach(&record)
        };
        assert!(call("getppid", "0x0", Some(true)));
        assert!(!call("getppid", "0x0", Some(false)) && !call("getppid", "0x0", None));
        assert!(call("prctl", "0x1", Some(true)), "of something else");
        for exempt in ["rt_sigreturn", "exit", "exit_group"] {
            assert!(!call(exempt, "0x0", Some(true)), "{exempt}");
        }
        assert!(!call("prctl", ISOLATION, Some(true)));
        let mut fault = record("page_fault", None);
        assert!(is_breach(&fault));
        fault.section = Some(false);
        assert!(!is_breach(&fault));
    }
}
