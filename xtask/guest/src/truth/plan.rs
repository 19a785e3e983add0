//! Which tests there are, and the order in which they run.

use anyhow::{Context, Result, bail};

use super::{
    agree,
    bench::{Bench, Group},
    causes, churn, command, count,
    derive::derive,
    detection, doctor,
    driver::{judge, perform},
    explain, filter, follow, forbidden,
    guest::Guest,
    independent::Ftrace,
    kill, leftover, origin, probes, quiet, remedies,
    results::{Results, Verdict, tell},
    storm,
    trigger::{self, Trigger},
};

/// Where a group is run, in a run of everything.
#[derive(Clone, Copy, Debug)]
enum Lines {
    /// On every kernel line: what the kernel does, or how it tells of it, decides.
    Every,
    /// On [`TWO`], for this reason: another line shows no more.
    Two(&'static str),
    /// As [`Lines::Two`], and in a guest with another one beside it: the tracer is started again and
    /// again, which keeps one core busy, and no task of the test's is to be left alone meanwhile.
    TwoBeside(&'static str),
    /// On these alone: trying remedies takes time, and the commands are the same everywhere.
    These(&'static [(u32, u32)]),
}

/// A part of all tests: what one guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What minds another guest: the machine is to be there for it alone.
    Alone,
    /// What does not.
    Beside,
    /// Both.
    All,
}

impl Part {
    /// The part that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let parts = [Self::Alone, Self::Beside, Self::All];
        parts.into_iter().find(|part| part.name() == name)
    }

    /// Its name, as an argument of `truth`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Beside => "beside",
            Self::All => "all",
        }
    }

    /// Whether tests that belong to these lines are in it.
    const fn has(self, lines: Lines) -> bool {
        match self {
            Self::Alone => !matches!(lines, Lines::TwoBeside(_)),
            Self::Beside => matches!(lines, Lines::TwoBeside(_)),
            Self::All => true,
        }
    }
}

/// Whether a kernel line has tests that have another guest beside them.
#[must_use]
pub fn has_beside(line: &str) -> bool {
    let mut two = TWO.iter();
    two.any(|(major, minor)| line == format!("{major}.{minor}"))
}

/// The oldest line, and the one that the series is for.
const TWO: &[(u32, u32)] = &[(6, 1), (6, 12)];

/// The tracer's own doing, which each test starts anew. It takes a dozen seconds to start in an
/// emulated guest.
const OWN_DOING: &str =
    "what the tracer does with records whose content is shown on every line by other tests";

impl Lines {
    /// Why not on all.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Two(reason) | Self::TwoBeside(reason) => Some(reason),
            Self::Every | Self::These(_) => None,
        }
    }

    /// Whether the line of this machine is one of them.
    fn contain(self, guest: &Guest) -> bool {
        let kernels = match self {
            Self::Every => return true,
            Self::Two(_) | Self::TwoBeside(_) => TWO,
            Self::These(kernels) => kernels,
        };
        !guest.realtime && kernels.contains(&guest.version)
    }
}

/// Every group in the order in which they run, and on which kernel lines.
///
/// A new test runs on every line. It is moved to two if nothing in it depends on fields, tracepoints,
/// formats or habits of the kernel that no other test asks for.
fn groups() -> Vec<(Group, Lines)> {
    use Lines::{Every, Two, TwoBeside};
    let mut groups = vec![
        (quiet::group(), Every),
        (causes::group(), Every),
        (count::group(), Every),
        (origin::group(), Every),
        (origin::owners(), Every),
        (storm::lossy_group(), Two(OWN_DOING)),
        (storm::observer_group(), Every),
        (
            storm::two_cpus_group(),
            Two("each CPU has its own maps; one CPU's storm is counted on every line"),
        ),
        (
            forbidden::group(),
            Two(
                "system calls and threads of the tracer; storm_observer shows on every line that nothing arrives",
            ),
        ),
        (
            filter::group(),
            Two("names and numbers that the programs compare"),
        ),
        (
            command::group(),
            TwoBeside("how CMD is started, and which status is passed on"),
        ),
        (command::sections(), Every),
        (
            command::marked(),
            TwoBeside("the sections of section_from_prctl, and the filter off"),
        ),
        (kill::group(), TwoBeside(OWN_DOING)),
        (agree::group(), Every),
        (explain::group(), TwoBeside(OWN_DOING)),
        (detection::group(), Every),
        (doctor::group(), Every),
    ];
    groups.extend(remedies::groups().into_iter().map(|group| {
        let kernels = remedies::KERNELS.iter().find(|(one, _)| has(&group, one));
        let lines = kernels.map_or(Every, |(_, kernels)| Lines::These(kernels));
        (group, lines)
    }));
    groups.extend([
        (churn::group(), Every),
        (follow::partition(), Every),
        (follow::hotplug(), Every),
        (follow::task(), Every),
        (leftover::group(), TwoBeside(OWN_DOING)),
        (probes::group(), Every),
    ]);
    groups
}

/// Whether a group has a test.
fn has(group: &Group, test: &str) -> bool {
    group.tests.iter().any(|(name, _)| *name == test)
}

/// Names, descriptions and, of those that two lines have, why no more.
#[must_use]
pub fn list() -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    let groups = groups().into_iter();
    let tests = groups.flat_map(|(group, lines)| {
        let tests = group.tests.into_iter();
        tests.map(move |(name, about)| (name, about, lines.reason()))
    });
    tests.collect()
}

/// Runs the tests that are named. Answers whether nothing failed.
pub fn run(names: &[&str]) -> Result<bool> {
    let known = list();
    for name in names {
        if !known.iter().any(|(one, ..)| one == name) {
            bail!("no test {name}: `truth list` names them");
        }
    }
    let mut bench = Bench::new(names)?;
    for (group, _) in groups() {
        bench.run(&group)?;
    }
    bench.close()
}

/// Runs a part of all tests. Answers whether nothing failed.
pub fn run_part(part: Part) -> Result<bool> {
    let mut bench = Bench::new(&[])?;
    for (group, lines) in groups() {
        if part.has(lines) && lines.contain(&bench.guest) {
            bench.run(&group)?;
        }
    }
    bench.close()
}

/// Performs triggers under ftrace alone.
pub fn observe(names: &[&str]) -> Result<bool> {
    let guest = Guest::detect()?;
    let mut results = Results::open()?;
    guest.silence();
    // Once for all: every switching patches text, which emulators dislike.
    let ftrace = Ftrace::account(&guest.watched)?;
    for trigger in selected(names)? {
        if trigger.name == "exception_overflow" {
            let why = "ftrace shows no trap number".to_owned();
            results.verdict("kernel/exception_overflow", &Verdict::Skip(why))?;
            continue;
        }
        ftrace.restart()?;
        let outcome = perform(&guest, &trigger);
        let name = format!("kernel/{}", trigger.name);
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

fn selected(names: &[&str]) -> Result<Vec<Trigger>> {
    if names.is_empty() {
        return Ok(trigger::all());
    }
    names
        .iter()
        .map(|name| trigger::find(name).with_context(|| format!("no test {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_test_has_a_name_of_its_own() {
        let all = list();
        let names: BTreeSet<_> = all.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), all.len());
    }

    /// The map has a word for each file, and its example is what is there.
    #[test]
    fn the_map_shows_every_file() {
        let map = include_str!("../../README.md");
        let (_, example) = map.split_once("```rust\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        assert!(
            include_str!("trigger/call.rs").contains(example),
            "{example}"
        );
        let named: BTreeSet<_> = map.split('`').skip(1).step_by(2).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/truth");
        let mut folders = vec![folder];
        let mut missing = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let is_named = named.contains(name.as_str());
                if !is_named && !["mod", "tests"].contains(&name.as_str()) {
                    missing.insert(name);
                }
            }
        }
        // Each of these wraps some system calls.
        let of_sys = [
            "bpf",
            "btf",
            "file",
            "memory",
            "perf",
            "port",
            "trace",
            "uring",
            "userfault",
        ]
        .map(str::to_owned);
        assert_eq!(missing, BTreeSet::from(of_sys));
    }

    #[test]
    fn both_parts_are_all() {
        for (group, lines) in groups() {
            let parts = [Part::Alone, Part::Beside].map(|part| u32::from(part.has(lines)));
            assert_eq!(parts.iter().sum::<u32>(), 1, "{:?}", group.tests);
            assert!(Part::All.has(lines));
        }
        for part in [Part::Alone, Part::Beside, Part::All] {
            assert_eq!(Part::named(part.name()), Some(part));
        }
        assert_eq!(Part::named("run"), None);
        let (probes, lines) = groups().pop().unwrap();
        assert!(has(&probes, "probes") && Part::Alone.has(lines), "last");
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
            let belonging = groups.filter(|(_, lines)| lines.contain(guest));
            belonging
                .flat_map(|(group, _)| group.tests)
                .map(|(name, _)| name)
                .collect()
        };
        let all: BTreeSet<_> = list().into_iter().map(|(name, ..)| name).collect();
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
            for (group, lines) in groups() {
                let (first, _) = group.tests[0];
                let Some(reason) = lines.reason() else {
                    continue;
                };
                assert!(!reason.is_empty(), "{first}");
                assert_eq!(some.contains(first), has_both, "{first}");
            }
            let (major, minor) = guest.version;
            let rt = if guest.realtime { "-rt" } else { "" };
            assert_eq!(has_beside(&format!("{major}.{minor}{rt}")), has_both);
            for (name, kernels) in remedies::KERNELS {
                assert!(all.contains(name), "{name}");
                let is_tried = !guest.realtime && kernels.contains(&guest.version);
                assert_eq!(some.contains(name), is_tried, "{name}");
            }
            let everywhere = [
                "quiet_control",
                "syscall_cheap",
                "storm_observer",
                "section_exec",
                "detection_vectors",
                "doctor_probes",
                "churn_quiet",
                "follow_partition",
                "probes",
            ];
            for name in everywhere {
                assert!(some.contains(name), "{name}");
            }
        }
        assert_eq!(somewhere, all, "each on some kernel");
    }
}
