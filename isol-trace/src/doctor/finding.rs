//! One thing that was checked, and how it stands.

/// How bad it is. Ordered: the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The kernel will be entered on a watched CPU because of it, or the isolation that was asked
    /// for is not in force.
    Defect,
    /// It may be, when something else comes along.
    Warning,
    /// Worth knowing; what could not be checked is one too.
    Note,
    /// As it should be.
    Fine,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: &[Self] = &[Self::Defect, Self::Warning, Self::Note, Self::Fine];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Defect => "defect",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Fine => "fine",
        }
    }
}

/// What a finding is about. Ordered as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// Which CPUs are isolated, and from what.
    Isolation,
    /// Devices' interrupts.
    Interrupts,
    /// Work and timers of the kernel.
    Work,
    /// The clock.
    Clock,
    /// Memory management.
    Memory,
    /// The scheduler.
    Scheduler,
    /// Frequency, idling, shared cores.
    Power,
    /// How the kernel was built.
    Kernel,
    /// What isol-trace itself needs.
    Tracer,
}

impl Area {
    /// Every area, in order.
    pub const ALL: &[Self] = &[
        Self::Isolation,
        Self::Interrupts,
        Self::Work,
        Self::Clock,
        Self::Memory,
        Self::Scheduler,
        Self::Power,
        Self::Kernel,
        Self::Tracer,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolation => "isolation",
            Self::Interrupts => "interrupts",
            Self::Work => "work",
            Self::Clock => "clock",
            Self::Memory => "memory",
            Self::Scheduler => "scheduler",
            Self::Power => "power",
            Self::Kernel => "kernel",
            Self::Tracer => "tracer",
        }
    }
}

/// What a finding costs the watched CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The rule that names the breach which it causes; `None` where it costs something else.
    pub rule: Option<&'static str>,
    /// The cost in words.
    pub what: &'static str,
}

/// A way to mend a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Boot with these arguments.
    Boot(String),
    /// Run this command as root. It lasts until the next boot.
    Run(String),
    /// Do something that is no command.
    Change(String),
}

impl Remedy {
    /// The word for its kind.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Boot(_) => "boot",
            Self::Run(_) => "run",
            Self::Change(_) => "change",
        }
    }

    /// The arguments, the command or the sentence.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Boot(text) | Self::Run(text) | Self::Change(text) => text,
        }
    }
}

/// Which of its remedies is the one to take where all findings are mended together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// A command where there is one, else a boot argument.
    #[default]
    Command,
    /// A boot argument, though there is a command: it does less.
    Boot,
    /// None: a person has to look first.
    Person,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, which stays.
    pub id: &'static str,
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// How it stands, in one or two sentences.
    pub summary: String,
    /// What it costs; defects and warnings have it.
    pub cost: Option<Cost>,
    /// What mends it, any of them; defects and warnings have one.
    pub remedies: Vec<Remedy>,
    /// Which of them is taken where all findings are mended together.
    pub way: Way,
    /// A command that shows how it stands; defects and warnings have it.
    pub verify: Option<String>,
}

impl Finding {
    /// A finding without cost and remedy.
    pub(super) fn new(
        id: &'static str,
        area: Area,
        severity: Severity,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            id,
            area,
            severity,
            summary: summary.into(),
            cost: None,
            remedies: Vec::new(),
            way: Way::default(),
            verify: None,
        }
    }

    /// A check that could not be made, why, and what would let it be.
    pub(super) fn unseen(id: &'static str, area: Area, why: &str, remedy: Remedy) -> Self {
        let mut finding = Self::new(id, area, Severity::Note, format!("Not known: {why}."));
        finding.remedies.push(remedy);
        finding
    }

    /// The same for a file of the kernel that is there and cannot be used.
    pub(super) fn unreadable(id: &'static str, area: Area, why: &str) -> Self {
        let remedy = "Let isol-trace read the file: as root, where its mode keeps others out.";
        Self::unseen(id, area, why, Remedy::Change(remedy.to_owned()))
    }

    /// With the breach that it causes.
    pub(super) const fn breach(mut self, rule: &'static str, what: &'static str) -> Self {
        self.cost = Some(Cost {
            rule: Some(rule),
            what,
        });
        self
    }

    /// With a cost that is no breach.
    pub(super) const fn cost(mut self, what: &'static str) -> Self {
        self.cost = Some(Cost { rule: None, what });
        self
    }

    /// With boot arguments that mend it.
    pub(super) fn boot(mut self, arguments: impl Into<String>) -> Self {
        self.remedies.push(Remedy::Boot(arguments.into()));
        self
    }

    /// With a command that mends it.
    pub(super) fn run(mut self, command: impl Into<String>) -> Self {
        self.remedies.push(Remedy::Run(command.into()));
        self
    }

    /// With something else that mends it.
    pub(super) fn change(mut self, sentence: impl Into<String>) -> Self {
        self.remedies.push(Remedy::Change(sentence.into()));
        self
    }

    /// To be mended by the boot argument, where all findings are mended together.
    pub(super) const fn rather_by_boot(mut self) -> Self {
        self.way = Way::Boot;
        self
    }

    /// To be mended by a person, who looks first.
    pub(super) const fn by_hand(mut self) -> Self {
        self.way = Way::Person;
        self
    }

    /// With a command that shows how it stands.
    pub(super) fn verify(mut self, command: impl Into<String>) -> Self {
        self.verify = Some(command.into());
        self
    }
}
