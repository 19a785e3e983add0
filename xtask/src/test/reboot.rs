//! What the doctor prints is done: a guest that isolates nothing is booted anew with the kernel's arguments
//! that the doctor has for it, its script is run there, and the doctor finds no defect.
//!
//! Both guests record a task that computes alone while another CPU reads from a disk. What a boot argument ends
//! shows in the first log alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use isol_trace_guest::truth::remedies::{BOOTED, BOOTED_ON};
use serde::Deserialize;

use crate::{
    arch::CLOCK,
    setup::{KernelImage, Setup},
    tally::Verdict,
    verdicts::Verdicts,
    vm::{Guest, Host, initramfs::Extra, qemu::Accel},
};

/// The name of the verdict.
const TEST: &str = "doctor/rebooted";

/// Where the script goes in the second guest.
const SCRIPT: &str = "/root/mend";

/// The clock that the kernel keeps comes a second after the boot, and the doctor looks at it.
fn settle() -> String {
    format!(
        "tries=0
until grep -qx {CLOCK} /sys/devices/system/clocksource/clocksource0/current_clocksource; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || break
    sleep 0.1
done"
    )
}

/// Records CPUs 1 and 2 while a task computes on the first of them, and a housekeeping CPU that shares a
/// queue with it reads from the disk.
const RECORD: &str = "taskset -c 1 sh -c 'while :; do :; done' > /dev/null &
computes=$!
taskset -c 0 sh -c 'while sleep 0.2; do
    dd if=/dev/nvme0n1 of=/dev/null iflag=direct bs=4k count=4 2> /dev/null || exit
done' > /dev/null &
isol-trace record --cpus 1-2 --duration 5s -o -
kill $! $computes
taskset -c 0 dd if=/dev/nvme0n1 of=/dev/null iflag=direct bs=4k count=1 2> /dev/null
echo disk $?";

/// Whether the test belongs to a kernel line.
pub(super) fn belongs(line: &str) -> bool {
    line == BOOTED_ON
}

/// Runs it.
pub(super) fn run(setup: &Setup, host: &Host, line: &str, accel: Accel) -> Verdicts {
    let verdict = match setup.kernel(line).and_then(|it| tried(host, &it, accel)) {
        Ok(verdict) => verdict,
        Err(error) => Verdict::Fail(format!("{error:#}")),
    };
    vec![(TEST.to_owned(), verdict)]
}

fn tried(host: &Host, kernel: &KernelImage, accel: Accel) -> Result<Verdict> {
    let doctor = "isol-trace doctor --cpus 1-2 --json; echo status $?";
    let guest = Guest {
        isolated: false,
        disk: true,
        accel,
        ..Guest::new(kernel.clone(), shell(&[&settle(), doctor, RECORD]))
    };
    let before = Said::read(&host.said(&guest)?)?;
    let (found, status) = before.doctors.first().context("the doctor says nothing")?;
    ensure!(
        found.defects() > 0 && *status == 1,
        "the doctor ends with {status} and {} defects where nothing is isolated",
        found.defects()
    );
    if found.has_defect("clocksource") {
        return Ok(Verdict::Skip(
            "the emulated machine's clock was given up: that is no argument's to mend".into(),
        ));
    }
    let boot = found.mending.boot.as_ref().context("it has no arguments")?;
    ensure!(boot.replaces.is_empty(), "there is nothing to replace");

    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script");
    std::fs::write(&script, &found.mending.script)?;
    let mend = format!("sh {SCRIPT} > /dev/null; echo script $?");
    let doctor = "isol-trace doctor --json; echo status $?";
    let guest = Guest {
        isolated: false,
        disk: true,
        append: boot.add.join(" "),
        extras: vec![Extra::new(script, SCRIPT)],
        accel,
        ..Guest::new(kernel.clone(), shell(&[&settle(), &mend, doctor, RECORD]))
    };
    let after = Said::read(&host.said(&guest)?)?;
    ensure!(after.script == Some(0), "the script fails");
    let (left, status) = after.doctors.first().context("the doctor says nothing")?;
    ensure!(
        left.defects() == 0 && *status == 0,
        "after `{}` and the script it ends with {status} and finds {:?}",
        guest.append,
        left.defective()
    );
    for said in [&before, &after] {
        ensure!(said.disk == Some(0), "the disk cannot be read");
    }
    ended(&before, &after, &boot.add)?;
    Ok(Verdict::Pass)
}

/// What the arguments end is seen without them, and not with them.
fn ended(before: &Said, after: &Said, arguments: &[String]) -> Result<()> {
    let by_boot: BTreeSet<_> = before
        .remedies
        .iter()
        .filter(|it| it.run.is_empty() && !it.boot.is_empty())
        .filter(|it| it.boot.iter().all(|one| arguments.contains(one)))
        .map(|it| it.id.as_str())
        .collect();
    for rule in BOOTED {
        ensure!(
            by_boot.contains(rule),
            "without the arguments {arguments:?} there is {:?}, and no {rule} that they end",
            before.rules
        );
    }
    for rule in by_boot {
        if let Some(count) = after.rules.get(rule) {
            bail!(
                "with {arguments:?} there is {count} of {rule} still, of {:?}",
                before.rules.get(rule)
            );
        }
    }
    Ok(())
}

fn shell(parts: &[&str]) -> Vec<String> {
    vec!["sh".into(), "-c".into(), parts.join("\n")]
}

/// What a guest says: the doctor's reports and how it ended, and a log.
#[derive(Debug, Default)]
struct Said {
    doctors: Vec<(Doctor, u8)>,
    script: Option<u8>,
    disk: Option<u8>,
    remedies: Vec<Remedy>,
    /// How many breaches each rule has.
    rules: BTreeMap<String, u64>,
}

/// A line of it that is JSON; of the log only what is asked for here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Doctor(Doctor),
    Remedy(Remedy),
    Breach {
        remedy: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize)]
struct Doctor {
    findings: Vec<Finding>,
    mending: Mending,
}

#[derive(Clone, Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Mending {
    boot: Option<Boot>,
    script: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Boot {
    add: Vec<String>,
    replaces: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Remedy {
    id: String,
    run: Vec<String>,
    boot: Vec<String>,
}

impl Doctor {
    fn defective(&self) -> Vec<&str> {
        let defects = self.findings.iter().filter(|it| it.severity == "defect");
        defects.map(|it| it.id.as_str()).collect()
    }

    fn defects(&self) -> usize {
        self.defective().len()
    }

    fn has_defect(&self, id: &str) -> bool {
        self.defective().contains(&id)
    }
}

impl Said {
    fn read(text: &str) -> Result<Self> {
        let mut said = Self::default();
        let mut doctor = None;
        for line in text.lines() {
            if let Some(status) = line.strip_prefix("status ") {
                let doctor = doctor.take().context("the doctor has no report")?;
                said.doctors.push((doctor, status.parse()?));
            } else if let Some(status) = line.strip_prefix("script ") {
                said.script = Some(status.parse()?);
            } else if let Some(status) = line.strip_prefix("disk ") {
                said.disk = Some(status.parse()?);
            } else {
                match serde_json::from_str(line).with_context(|| line.to_owned())? {
                    Line::Doctor(one) => doctor = Some(one),
                    Line::Remedy(one) => said.remedies.push(one),
                    Line::Breach { remedy: Some(rule) } => {
                        *said.rules.entry(rule).or_default() += 1;
                    }
                    Line::Breach { remedy: None } | Line::Other => {}
                }
            }
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(id: &str, boot: &str) -> String {
        format!(r#"{{"type":"remedy","id":"{id}","text":"t","run":[],"boot":[{boot}]}}"#)
    }

    fn breach(rule: &str) -> String {
        format!(r#"{{"type":"breach","seq":1,"remedy":"{rule}"}}"#)
    }

    /// A log with each rule that has to show.
    fn noisy() -> Said {
        let lines = BOOTED
            .iter()
            .flat_map(|rule| [remedy(rule, r#""a=1""#), breach(rule)]);
        Said::read(&lines.collect::<Vec<_>>().join("\n")).unwrap()
    }

    #[test]
    fn what_a_guest_says_is_read() {
        let report = r#"{"type":"doctor","findings":[{"id":"ksm","severity":"defect"}],"mending":{"boot":{"add":["a=1"],"replaces":[]},"script":"x"}}"#;
        let said = Said::read(&format!(
            "{report}\nstatus 1\nscript 0\ndisk 0\n{{\"type\":\"header\"}}\n{}\n{}\n{{\"type\":\"breach\"}}",
            breach("own-timer"),
            breach("own-timer")
        ));
        let said = said.unwrap();
        let (doctor, status) = &said.doctors[0];
        assert_eq!((doctor.defective(), *status), (vec!["ksm"], 1));
        assert_eq!((said.script, said.disk), (Some(0), Some(0)));
        assert_eq!(said.rules, [("own-timer".to_owned(), 2)].into());
        Said::read("status 1").unwrap_err();
        Said::read("sh: not found").unwrap_err();
    }

    #[test]
    fn arguments_end_what_shows_without_them() {
        let arguments = ["a=1".to_owned()];
        ended(&noisy(), &Said::default(), &arguments).unwrap();
        let quiet = ended(&Said::default(), &Said::default(), &arguments);
        quiet.expect_err("nothing showed without them");
        ended(&noisy(), &Said::default(), &[]).expect_err("nothing was booted with");
        let left = Said::read(&breach(BOOTED[0])).unwrap();
        ended(&noisy(), &left, &arguments).expect_err("it goes on");
        let other = Said::read(&breach("own-timer")).unwrap();
        ended(&noisy(), &other, &arguments).expect("that is no argument's");
    }
}
