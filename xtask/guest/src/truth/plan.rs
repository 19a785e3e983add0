//! Which tests there are, and the order in which they run.

use anyhow::{Context, Result, bail};

use super::{
    agree,
    bench::{Bench, Group},
    causes, churn, command, count,
    derive::derive,
    detection,
    director::{judge, perform},
    doctor, explain, filter, follow, forbidden,
    guest::Guest,
    hits,
    independent::Ftrace,
    kill, leftover, origin,
    provoke::{self, Provocation},
    quiet, remedies,
    results::{Results, Verdict, tell},
    storm,
};

/// Every group, in the order in which they run.
fn groups() -> Vec<Group> {
    let mut groups = vec![
        quiet::group(),
        causes::group(),
        count::group(),
        origin::group(),
        origin::owners(),
    ];
    groups.extend(storm::groups());
    groups.extend([
        forbidden::group(),
        filter::group(),
        command::group(),
        kill::group(),
        agree::group(),
        explain::group(),
        detection::group(),
        doctor::group(),
    ]);
    groups.extend(remedies::groups());
    groups.extend([
        churn::group(),
        follow::partition(),
        follow::hotplug(),
        follow::task(),
        leftover::group(),
        hits::group(),
    ]);
    groups
}

/// One test of each group that is run on two kernels only: the oldest, and the one that the series is
/// for. What they ask is the tracer's own doing, and a new kernel does not change it; each of them
/// starts it anew, some of them with a program's debug information, which takes minutes in all. The
/// filters are asked everywhere: only there does a task change its name, which proves a probe.
const ON_TWO_KERNELS: [&str; 5] = [
    "storm_lossy",
    "forbidden_bpf_statistics",
    "kill_fault",
    "explain_write",
    "leftover_sigint",
];

/// Whether a group is part of a run of everything on this machine.
fn belongs(group: &Group, guest: &Guest) -> bool {
    let has = |some: &[&str]| group.tests.iter().any(|(name, _)| some.contains(name));
    let mut tried = remedies::KERNELS.iter();
    let kernels: &[(u32, u32)] = if let Some((_, kernels)) = tried.find(|(one, _)| has(&[one])) {
        kernels
    } else if has(&ON_TWO_KERNELS) {
        &[(6, 1), (6, 12)]
    } else {
        return true;
    };
    !guest.realtime && kernels.contains(&guest.version)
}

/// Names and descriptions.
#[must_use]
pub fn list() -> Vec<(&'static str, &'static str)> {
    groups().into_iter().flat_map(|group| group.tests).collect()
}

/// Runs tests: those named, or all. Answers whether nothing failed.
pub fn run(names: &[&str]) -> Result<bool> {
    let known = list();
    for name in names {
        if !known.iter().any(|(one, _)| one == name) {
            bail!("no test {name}: `truth list` names them");
        }
    }
    let mut bench = Bench::new(names)?;
    for group in groups() {
        if !names.is_empty() || belongs(&group, &bench.guest) {
            bench.run(&group)?;
        }
    }
    bench.close()
}

/// Performs provocations under ftrace alone.
pub fn observe(names: &[&str]) -> Result<bool> {
    let guest = Guest::detect()?;
    let mut results = Results::open()?;
    guest.silence();
    // Once for all: every switching patches text, which emulators dislike.
    let ftrace = Ftrace::account(&guest.watched)?;
    for provocation in selected(names)? {
        if provocation.name == "exception_overflow" {
            let why = "ftrace shows no trap number".to_owned();
            results.verdict("kernel/exception_overflow", &Verdict::Skip(why))?;
            continue;
        }
        ftrace.restart()?;
        let outcome = perform(&guest, &provocation);
        let name = format!("kernel/{}", provocation.name);
        match outcome {
            Ok(performed) => {
                let mut log = derive(guest.cpu(), &ftrace.events(guest.cpu())?);
                if let Some(second) = guest.second() {
                    let more = derive(second, &ftrace.events(second)?);
                    log.breaches.extend(more.breaches);
                }
                let performed = performed.by_anyone();
                let verdict = judge(&guest, &performed, &log, false).verdict("");
                results.verdict(&name, &verdict)?;
                if matches!(verdict, Verdict::Pass(_)) {
                    for &cpu in &guest.watched {
                        let (begin, end) = performed.marks();
                        for breach in log.window(cpu, begin, end) {
                            tell(&serde_json::to_string(breach)?);
                        }
                    }
                }
            }
            Err(error) => results.verdict(&name, &Verdict::of(Err(error)))?,
        }
    }
    results.close()
}

fn selected(names: &[&str]) -> Result<Vec<Provocation>> {
    if names.is_empty() {
        return Ok(provoke::all());
    }
    names
        .iter()
        .map(|name| provoke::find(name).with_context(|| format!("no test {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_test_has_a_name_of_its_own() {
        let all = list();
        let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn every_kernel_has_the_tests_that_depend_on_it() {
        let guest = |version, realtime| Guest {
            release: String::new(),
            version,
            realtime,
            watched: vec![1],
            housekeeping: vec![0],
        };
        let tests = |guest: &Guest| -> BTreeSet<&'static str> {
            let groups = groups().into_iter();
            let belonging = groups.filter(|group| belongs(group, guest));
            belonging
                .flat_map(|group| group.tests)
                .map(|(name, _)| name)
                .collect()
        };
        let all: BTreeSet<_> = list().into_iter().map(|(name, _)| name).collect();
        let kernels = [
            (guest((6, 1), false), true),
            (guest((6, 12), false), true),
            (guest((6, 12), true), false),
            (guest((6, 18), false), false),
            (guest((7, 2), false), false),
        ];
        let mut somewhere = BTreeSet::new();
        for (guest, has_both) in kernels {
            let some = tests(&guest);
            somewhere.extend(some.clone());
            for name in ON_TWO_KERNELS {
                assert!(all.contains(name), "{name}");
                assert_eq!(some.contains(name), has_both, "{name}");
            }
            for (name, kernels) in remedies::KERNELS {
                assert!(all.contains(name), "{name}");
                let is_tried = !guest.realtime && kernels.contains(&guest.version);
                assert_eq!(some.contains(name), is_tried, "{name}");
            }
            let everywhere = [
                "quiet_control",
                "syscall_cheap",
                "storm_observer",
                "filter_comm",
                "probes",
            ];
            for name in everywhere {
                assert!(some.contains(name), "{name}");
            }
        }
        assert_eq!(somewhere, all, "each on some kernel");
    }
}
