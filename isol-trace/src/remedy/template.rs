//! Texts of the table with holes for what differs between hosts, and what fills them.
//!
//! A hole is written `{watched}`. Commands and boot arguments may only have holes for numbers: a
//! name that a stranger chose never becomes part of a command.

use std::fmt::Write as _;

use crate::{
    event::{
        ids::{Cpu, Pid, Tid},
        model::{Activity, ActivityItem, Breach, CauseDetail, Detection, Header},
    },
    host::{cpu_list::CpuSet, cpu_mask},
};

/// What a text leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// The watched CPUs, as a list of the kernel: `1-3`.
    Watched,
    /// The watched CPUs with blanks between them, for the loop of a shell: `1 2 3`.
    EachWatched,
    /// The other CPUs, as a list.
    Housekeeping,
    /// The other CPUs, as a mask: `1`.
    HousekeepingMask,
    /// The device interrupt that the breach was, or whose thread ran.
    Irq,
    /// The CPU that was entered.
    Cpu,
    /// The process of the task that was interrupted.
    Pid,
    /// Its thread.
    Tid,
    /// The thread that ran in its place.
    OtherTid,
    /// The same in words, with who woke it. Never in a command.
    Other,
}

impl Hole {
    /// Every hole with its name.
    const ALL: [(&'static str, Self); 10] = [
        ("watched", Self::Watched),
        ("each_watched", Self::EachWatched),
        ("housekeeping", Self::Housekeeping),
        ("housekeeping_mask", Self::HousekeepingMask),
        ("irq", Self::Irq),
        ("cpu", Self::Cpu),
        ("pid", Self::Pid),
        ("tid", Self::Tid),
        ("other_tid", Self::OtherTid),
        ("other", Self::Other),
    ];

    /// The word for what is not known.
    const fn word(self) -> &'static str {
        match self {
            Self::Watched => "WATCHED",
            Self::EachWatched => "EACH-WATCHED",
            Self::Housekeeping => "HOUSEKEEPING",
            Self::HousekeepingMask => "MASK",
            Self::Irq => "IRQ",
            Self::Cpu => "N",
            Self::Pid => "PID",
            Self::Tid => "TID",
            Self::OtherTid => "OTHER-TID",
            Self::Other => "the thread that the activity `switch` names",
        }
    }

    /// Whether a breach fills it, rather than the host.
    pub(super) const fn is_of_a_breach(self) -> bool {
        !matches!(
            self,
            Self::Watched | Self::EachWatched | Self::Housekeeping | Self::HousekeepingMask
        )
    }

    /// Whether a breach fills it with one of few: there are more processes than CPUs.
    pub(super) const fn is_of_few(self) -> bool {
        matches!(self, Self::Cpu | Self::Irq)
    }

    /// Whether what fills it is made of digits and what lists of numbers are written with.
    pub(super) const fn is_number(self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Hole(Hole),
}

impl Template {
    /// Reads a text; the error is what stands between braces and is no hole.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else {
                return Err(after.to_owned());
            };
            let hole = Hole::ALL.iter().find(|(it, _)| *it == name);
            let &(_, hole) = hole.ok_or_else(|| name.to_owned())?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Hole(hole));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The holes, in order.
    pub(super) fn holes(&self) -> impl Iterator<Item = Hole> + '_ {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(*hole),
            Part::Text(_) => None,
        })
    }

    /// The text; a word in capitals stands for what is not known.
    #[must_use]
    pub fn text(&self, facts: &Numbers) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(words) => text.push_str(words),
                Part::Hole(hole) => match facts.value(*hole) {
                    Some(value) => text.push_str(&value),
                    None => text.push_str(hole.word()),
                },
            }
        }
        text
    }

    /// The text; `None` where something in it is not known.
    #[must_use]
    pub fn whole(&self, facts: &Numbers) -> Option<String> {
        let is_known = self.holes().all(|hole| facts.value(hole).is_some());
        is_known.then(|| self.text(facts))
    }
}

/// What fills the holes: of the host and, where there is one, of a breach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The watched CPUs.
    watched: CpuSet,
    /// Every other online CPU.
    housekeeping: CpuSet,
    /// Its kernel is built without `CONFIG_NO_HZ_FULL`.
    ignores_nohz_full: bool,
    /// The breach's.
    cpu: Option<Cpu>,
    irq: Option<u32>,
    pid: Option<Pid>,
    tid: Option<Tid>,
    other_tid: Option<Tid>,
    other: Option<String>,
}

impl Numbers {
    /// Those of a host.
    #[must_use]
    pub const fn of_host(watched: CpuSet, housekeeping: CpuSet) -> Self {
        Self {
            watched,
            housekeeping,
            ignores_nohz_full: false,
            cpu: None,
            irq: None,
            pid: None,
            tid: None,
            other_tid: None,
            other: None,
        }
    }

    /// Those of the host that a log was made on, by its header.
    #[must_use]
    pub fn of_header(header: &Header) -> Self {
        Self {
            ignores_nohz_full: header.no_hz_full == Some(false),
            ..Self::of_cpus(&header.cpus, &header.housekeeping)
        }
    }

    /// Those of the same host, where a later record names other CPUs.
    #[must_use]
    pub fn watching(&self, watched: &[(Cpu, Detection)], housekeeping: &[Cpu]) -> Self {
        Self {
            ignores_nohz_full: self.ignores_nohz_full,
            ..Self::of_cpus(watched, housekeeping)
        }
    }

    fn of_cpus(watched: &[(Cpu, Detection)], housekeeping: &[Cpu]) -> Self {
        let set = |cpus: &mut dyn Iterator<Item = Cpu>| {
            let mut set = CpuSet::new();
            for cpu in cpus {
                // A log may name CPUs that no set can hold; no host has them.
                let _ = set.insert(cpu);
            }
            set
        };
        Self::of_host(
            set(&mut watched.iter().map(|(cpu, _)| *cpu)),
            set(&mut housekeeping.iter().copied()),
        )
    }

    /// Those of the documentation, where CPUs 1 to 3 are isolated.
    #[must_use]
    pub fn example() -> Self {
        let list = |text: &str| text.parse().unwrap_or_default();
        Self::of_host(list("1-3"), list("0"))
    }

    /// The same, with what a breach says.
    #[must_use]
    pub fn with(&self, breach: &Breach) -> Self {
        let other = breach
            .activities
            .iter()
            .filter(|item| item.kind == Activity::Switch)
            .find(|item| item.comm.is_some() || item.number != 0);
        let irq = match breach.cause {
            CauseDetail::DeviceIrq { irq, .. } => Some(irq),
            _ => other.and_then(thread_of),
        };
        Self {
            cpu: Some(breach.cpu),
            irq,
            pid: breach.task.pid,
            tid: Some(breach.task.tid),
            other_tid: other.map(|item| Tid(item.number)).filter(|tid| tid.0 != 0),
            other: other.map(in_words),
            ..self.clone()
        }
    }

    /// The same, for all breaches of a CPU.
    #[must_use]
    pub fn on(&self, cpu: Cpu) -> Self {
        Self {
            cpu: Some(cpu),
            ..self.clone()
        }
    }

    /// Those that may stand in commands: a text for several breaches says nothing of who ran.
    #[must_use]
    pub fn of_commands(self) -> Self {
        Self {
            other: None,
            ..self
        }
    }

    /// Whether an argument means something to the host's kernel, as far as is known.
    pub(super) fn takes(&self, argument: &str) -> bool {
        !(self.ignores_nohz_full && argument.starts_with("nohz_full="))
    }

    /// What fills a hole; `None` where it is not known.
    fn value(&self, hole: Hole) -> Option<String> {
        let list = |cpus: &CpuSet| (!cpus.is_empty()).then(|| cpus.to_string());
        match hole {
            Hole::Watched => list(&self.watched),
            Hole::EachWatched => {
                let numbers: Vec<_> = self.watched.iter().map(|cpu| cpu.to_string()).collect();
                (!numbers.is_empty()).then(|| numbers.join(" "))
            }
            Hole::Housekeeping => list(&self.housekeeping),
            Hole::HousekeepingMask => {
                (!self.housekeeping.is_empty()).then(|| cpu_mask::text(&self.housekeeping))
            }
            Hole::Irq => self.irq.map(|irq| irq.to_string()),
            Hole::Cpu => self.cpu.map(|cpu| cpu.to_string()),
            Hole::Pid => self.pid.map(|pid| pid.0.to_string()),
            Hole::Tid => self.tid.map(|tid| tid.0.to_string()),
            Hole::OtherTid => self.other_tid.map(|tid| tid.0.to_string()),
            Hole::Other => self.other.clone(),
        }
    }

    /// What those of some holes are, to tell whether two breaches fill them alike.
    pub(super) fn values(&self, holes: impl Iterator<Item = Hole>) -> String {
        holes.fold(String::new(), |mut all, hole| {
            // Writing to a string does not fail.
            let _ = write!(all, "{:?} ", self.value(hole));
            all
        })
    }
}

/// The interrupt whose thread this is: `irq/24-nvme0q1` (`setup_irq_thread`, kernel/irq/manage.c, 6.12).
fn thread_of(item: &ActivityItem) -> Option<u32> {
    let comm = item.comm.as_deref()?.strip_prefix("irq/")?;
    comm.split('-').next()?.parse().ok()
}

/// The thread that ran and, where that was seen, who woke or made it.
fn in_words(item: &ActivityItem) -> String {
    let mut words = match &item.comm {
        Some(comm) => format!("{comm} (tid {})", item.number),
        None => format!("tid {}", item.number),
    };
    let waker = item.origin.as_ref().and_then(|origin| origin.sender());
    if let Some(waker) = waker
        && let Some(task) = &waker.task
    {
        let comm = task.comm.as_deref().unwrap_or("a task");
        let pid = task.pid.map_or(task.tid.0, |pid| pid.0);
        // Writing to a string does not fail.
        let _ = write!(words, ", woken or started by {comm} (pid {pid})");
    }
    if let Some(whose) = item.kin.as_ref().and_then(crate::tui::text::kin) {
        // Writing to a string does not fail.
        let _ = write!(words, ", {whose}");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Numbers {
        Numbers::of_host("2-3".parse().unwrap(), "0-1".parse().unwrap())
    }

    fn text(template: &str, numbers: &Numbers) -> String {
        Template::parse(template).unwrap().text(numbers)
    }

    #[test]
    fn holes_are_filled_with_the_hosts_numbers() {
        let filled = text(
            "{watched}|{each_watched}|{housekeeping}|{housekeeping_mask}.",
            &host(),
        );
        assert_eq!(filled, "2-3|2 3|0-1|3.");
    }

    #[test]
    fn what_is_not_known_is_a_word_and_no_command() {
        let template = Template::parse("echo 0 > /proc/irq/{irq}/smp_affinity_list").unwrap();
        assert_eq!(
            template.text(&host()),
            "echo 0 > /proc/irq/IRQ/smp_affinity_list"
        );
        assert_eq!(template.whole(&host()), None);
        assert_eq!(text("{watched}", &Numbers::default()), "WATCHED");
    }

    #[test]
    fn a_hole_that_there_is_not_is_an_error() {
        for (text, wrong) in [
            ("a {moon} b", "moon"),
            ("a {watched", "watched"),
            ("{}", ""),
        ] {
            assert_eq!(Template::parse(text), Err(wrong.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_thread_of_an_interrupt_names_it() {
        let mut breach = crate::event::breach::tests::breach();
        breach.activities.clear();
        let mut switch = |comm: &str| {
            breach.activities = vec![ActivityItem {
                kind: Activity::Switch,
                number: 7,
                address: None,
                comm: Some(comm.into()),
                net: None,
                name: None,
                kin: None,
                origin: None,
            }];
            host().with(&breach).irq
        };
        assert_eq!(switch("irq/24-nvme0q1"), Some(24));
        assert_eq!(switch("irq/; reboot"), None);
        assert_eq!(switch("worker"), None);
    }
}
