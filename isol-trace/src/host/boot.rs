//! The kernel's command line: what this host was booted with.

use super::{Host, cpu_list::CpuSet, reading::Reading};

/// The arguments of a kernel's command line, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootArguments {
    arguments: Vec<(String, Option<String>)>,
    /// The highest number that a CPU can have: what `N` in a list stands for.
    highest: u32,
}

/// An `isolcpus=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolcpus {
    /// Its flags, as typed.
    pub flags: Vec<String>,
    /// Its CPUs; `None` where the list cannot be read.
    pub cpus: Option<CpuSet>,
    /// It stands behind a `nohz_full=`.
    pub behind_nohz_full: bool,
}

impl Isolcpus {
    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|it| it == flag)
    }

    /// Whether its CPUs leave the scheduler's domains: asked for, or by default where no flag
    /// is known (`housekeeping_isolcpus_setup`, kernel/sched/isolation.c, 6.12).
    #[must_use]
    pub fn is_domain(&self) -> bool {
        self.has("domain") || !(self.has("nohz") || self.has("managed_irq"))
    }
}

impl BootArguments {
    /// Splits a command line. Quotes keep blanks together; what follows `--` is for init
    /// (Documentation/admin-guide/kernel-parameters.rst, 6.12).
    #[must_use]
    pub fn parse(line: &str, highest: u32) -> Self {
        let mut words: Vec<String> = Vec::new();
        let (mut word, mut quoted) = (String::new(), false);
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted,
                _ if letter.is_ascii_whitespace() && !quoted => {
                    words.push(std::mem::take(&mut word));
                }
                _ => word.push(letter),
            }
        }
        words.push(word);
        let arguments = words
            .into_iter()
            .filter(|word| !word.is_empty())
            .take_while(|word| word != "--")
            .map(|word| match word.split_once('=') {
                Some((name, value)) => (plain(name), Some(value.to_owned())),
                None => (plain(&word), None),
            })
            .collect();
        Self { arguments, highest }
    }

    /// Whether an argument was given, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Every value of an argument, in order.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = plain(name);
        self.arguments
            .iter()
            .filter(move |(it, _)| *it == name)
            .filter_map(|(_, value)| value.as_deref())
    }

    /// Every occurrence of an argument, as it was typed, save quotes.
    #[must_use]
    pub fn typed(&self, name: &str) -> Vec<String> {
        let name = plain(name);
        let all = self.arguments.iter().filter(|(it, _)| *it == name);
        all.map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect()
    }

    /// Whether an argument was given with this value.
    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.values(name).any(|it| it == value)
    }

    /// What an argument switches on or off, by its last value, as `kstrtobool` reads it
    /// (lib/kstrtox.c, 6.12); `None` where it is missing or says neither.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        let values = self.values(name).filter_map(|value| {
            let mut letters = value.bytes().map(|letter| letter.to_ascii_lowercase());
            match (letters.next()?, letters.next()) {
                (b'y' | b't' | b'1', _) | (b'o', Some(b'n')) => Some(true),
                (b'n' | b'f' | b'0', _) | (b'o', Some(b'f')) => Some(false),
                _ => None,
            }
        });
        values.last()
    }

    /// The CPUs of an argument that is a list of CPUs; `None` where it is missing or unreadable.
    #[must_use]
    pub fn cpus(&self, name: &str) -> Option<CpuSet> {
        self.list(self.values(name).last()?)
    }

    /// The argument `isolcpus=`.
    #[must_use]
    pub fn isolcpus(&self) -> Option<Isolcpus> {
        let mut rest = self.values("isolcpus").last()?;
        let mut flags = Vec::new();
        // Flags begin with a letter, the list does not.
        while rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            let (flag, after) = rest.split_once(',').unwrap_or((rest, ""));
            flags.push(flag.to_owned());
            rest = after;
        }
        Some(Isolcpus {
            flags,
            cpus: self.list(rest),
            behind_nohz_full: self.position("nohz_full") < self.position("isolcpus")
                && self.has("nohz_full"),
        })
    }

    fn position(&self, name: &str) -> Option<usize> {
        let name = plain(name);
        self.arguments.iter().rposition(|(it, _)| *it == name)
    }

    /// A list, where `N` is the highest CPU and `all` is all of them (lib/bitmap-str.c, 6.12).
    fn list(&self, text: &str) -> Option<CpuSet> {
        let highest = self.highest.to_string();
        let text = text.replace("all", "0-N").replace('N', &highest);
        text.parse().ok().filter(|cpus: &CpuSet| !cpus.is_empty())
    }
}

/// The kernel takes a hyphen in a name for an underscore.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

impl Host {
    /// Reads the command line of the kernel that runs.
    #[must_use]
    pub fn boot_arguments(&self) -> Reading<BootArguments> {
        let highest = self
            .possible()
            .ok()
            .and_then(|cpus| cpus.iter().last())
            .map_or(0, |cpu| cpu.0);
        self.reading("/proc/cmdline", |text| {
            Some(BootArguments::parse(text, highest))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(cpus: Option<CpuSet>) -> Option<String> {
        cpus.map(|cpus| cpus.to_string())
    }

    #[test]
    fn arguments_are_read_as_the_kernel_reads_them() {
        let boot = BootArguments::parse(
            "quiet nohz_full=1-2 dyndbg=\"file a.c +p\" nohz_full=1-N rcu-nocbs=all tsc=reliable -- nohz=off",
            3,
        );
        assert!(boot.has("quiet") && !boot.has("nohz"));
        assert_eq!(list(boot.cpus("nohz_full")).as_deref(), Some("1-3"));
        assert_eq!(list(boot.cpus("rcu_nocbs")).as_deref(), Some("0-3"));
        assert_eq!(list(boot.cpus("irqaffinity")), None);
        assert!(boot.is("dyndbg", "file a.c +p"));
        assert!(boot.is("tsc", "reliable") && !boot.is("tsc", "nowatchdog"));
    }

    #[test]
    fn switches_are_read_as_the_kernel_reads_them() {
        let switch = |line: &str| BootArguments::parse(line, 3).switch("nohz");
        for off in [
            "nohz=off",
            "nohz=OFF",
            "nohz=0",
            "nohz=n",
            "nohz=on nohz=false",
        ] {
            assert_eq!(switch(off), Some(false), "{off}");
        }
        for on in [
            "nohz=on",
            "nohz=1",
            "nohz=off nohz=yes",
            "nohz=on nohz=maybe",
        ] {
            assert_eq!(switch(on), Some(true), "{on}");
        }
        for neither in ["nohz", "nohz=", "nohz=o", "nohz=x", "nohz_full=0"] {
            assert_eq!(switch(neither), None, "{neither}");
        }
    }

    #[test]
    fn flags_of_isolcpus_come_before_its_list() {
        let isolcpus = |line: &str| BootArguments::parse(line, 3).isolcpus();
        let found = isolcpus("nohz_full=2-3 isolcpus=nohz,domain,managed_irq,2-3").unwrap();
        assert_eq!(found.flags, ["nohz", "domain", "managed_irq"]);
        assert_eq!(list(found.cpus.clone()).as_deref(), Some("2-3"));
        assert!(found.is_domain() && found.has("nohz") && found.behind_nohz_full);
        let found = isolcpus("isolcpus=1 nohz_full=1").unwrap();
        assert!(found.is_domain() && !found.behind_nohz_full);
        assert!(!isolcpus("isolcpus=managed_irq,1").unwrap().is_domain());
        assert!(isolcpus("isolcpus=domain,x1").unwrap().cpus.is_none());
        assert_eq!(isolcpus("quiet"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(isolcpus=)?[a-zN0-9,\"= -]{0,40}") {
            let boot = BootArguments::parse(&line, 7);
            let _ = (boot.isolcpus(), boot.cpus("nohz_full"));
        }
    }
}
