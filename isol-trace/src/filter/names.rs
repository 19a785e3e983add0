//! The names of the language: what stands behind each, and what it is of a breach.

/// A length of time that a breach has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// How long it took.
    Duration,
    /// How long its task was away after it.
    Away,
    /// How long its CPU idled in it.
    Idle,
}

/// What a breach is or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// It fell in an isolated section.
    Section,
    /// One of its origins is inferred.
    Inferred,
    /// It came from the guest mode of a virtual CPU.
    Guest,
    /// A baseline does not have it.
    New,
}

/// A number that a breach has, or several of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Cpu,
    Pid,
    Tid,
    SenderCpu,
    SenderPid,
    Seq,
    Vcpu,
}

/// A text that a breach has, or several of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Syscall,
    Task,
    Sender,
    Function,
    At,
    Source,
    Remedy,
    Cgroup,
    Vm,
    Exit,
}

impl Text {
    /// Whether `*`, `?` and `[…]` stand for others in it: it is a path.
    pub(super) const fn has_globs(self) -> bool {
        matches!(self, Self::Source | Self::Cgroup)
    }
}

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing.
    Flag(Flag),
    /// A comparison.
    Measure(Measure),
    /// A colon and values of a kind.
    Values(Values),
}

/// Values that stand behind a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Numbers and ranges of numbers.
    Numbers(Number),
    /// Texts, or regular expressions.
    Texts(Text),
    /// Words of a closed list.
    Words(List),
    /// Spans of time.
    Spans,
}

/// A closed list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Causes,
    Activities,
    Ends,
}

/// Every name: what stands behind it, and an example.
pub(super) const NAMES: [(&str, Form, &str); 28] = [
    ("cpu", Form::Values(Values::Numbers(Number::Cpu)), "cpu:2-3"),
    (
        "cause",
        Form::Values(Values::Words(List::Causes)),
        "cause:call_function",
    ),
    (
        "syscall",
        Form::Values(Values::Texts(Text::Syscall)),
        "syscall:write,futex",
    ),
    ("task", Form::Values(Values::Texts(Text::Task)), "task:NAME"),
    ("pid", Form::Values(Values::Numbers(Number::Pid)), "pid:812"),
    ("tid", Form::Values(Values::Numbers(Number::Tid)), "tid:812"),
    (
        "sent",
        Form::Values(Values::Texts(Text::Sender)),
        "sent:NAME",
    ),
    (
        "sent.cpu",
        Form::Values(Values::Numbers(Number::SenderCpu)),
        "sent.cpu:0",
    ),
    (
        "sent.pid",
        Form::Values(Values::Numbers(Number::SenderPid)),
        "sent.pid:812",
    ),
    ("fn", Form::Values(Values::Texts(Text::Function)), "fn:NAME"),
    ("at", Form::Values(Values::Texts(Text::At)), "at:NAME"),
    (
        "source",
        Form::Values(Values::Texts(Text::Source)),
        "source:*.c",
    ),
    (
        "activity",
        Form::Values(Values::Words(List::Activities)),
        "activity:softirq",
    ),
    (
        "remedy",
        Form::Values(Values::Texts(Text::Remedy)),
        "remedy:tlb-munmap",
    ),
    (
        "end",
        Form::Values(Values::Words(List::Ends)),
        "end:switched",
    ),
    ("section", Form::Flag(Flag::Section), "section"),
    ("inferred", Form::Flag(Flag::Inferred), "inferred"),
    ("dur", Form::Measure(Measure::Duration), "dur>5us"),
    ("away", Form::Measure(Measure::Away), "away>1ms"),
    ("idle", Form::Measure(Measure::Idle), "idle>0"),
    ("seq", Form::Values(Values::Numbers(Number::Seq)), "seq:812"),
    ("time", Form::Values(Values::Spans), "time:12:04:09..12:05"),
    (
        "cgroup",
        Form::Values(Values::Texts(Text::Cgroup)),
        "cgroup:/system.slice/*",
    ),
    ("guest", Form::Flag(Flag::Guest), "guest"),
    ("vm", Form::Values(Values::Texts(Text::Vm)), "vm:NAME"),
    (
        "vcpu",
        Form::Values(Values::Numbers(Number::Vcpu)),
        "vcpu:0",
    ),
    (
        "exit",
        Form::Values(Values::Texts(Text::Exit)),
        "exit:REASON",
    ),
    ("new", Form::Flag(Flag::New), "new"),
];

/// What stands behind a name, and an example; `None` where there is no such name.
pub(super) fn form_of(name: &str) -> Option<(&'static str, Form, &'static str)> {
    NAMES.into_iter().find(|(known, ..)| *known == name)
}

/// The name that has this form.
pub(super) fn name_of(form: Form) -> &'static str {
    let named = NAMES.iter().find(|(_, other, _)| *other == form);
    named.map_or("", |(name, ..)| name)
}
