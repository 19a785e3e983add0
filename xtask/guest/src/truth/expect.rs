//! What a trigger must look like in the log.

use std::collections::BTreeSet;

use super::log::{Activity, Breach, Origin};

/// How often an expected breach may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// This often, neither more nor less.
    Exactly(usize),
    /// As often as it likes: kernel work that follows a trigger on its own schedule.
    Any,
}

/// Whose breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The actor's.
    Actor,
    /// Another thread's.
    Thread(u32),
    /// Anybody's.
    Anyone,
}

/// An activity that must be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// A word of the contract.
    pub kind: &'static str,
    /// One of these names; empty where any will do.
    pub names: Vec<String>,
    /// Who must have asked for it, apart from the breach's own origins.
    pub asked_by: Option<Sender>,
}

impl Need {
    fn is(&self, activity: &Activity, actor: u32) -> bool {
        let named = |name: &String| self.names.contains(name);
        activity.kind == self.kind
            && (self.names.is_empty() || activity.name.as_ref().is_some_and(named))
            && self.asked_by.is_none_or(|sender| {
                let asked = activity.origin.as_ref();
                asked.is_some_and(|origin| sender.is(origin, actor))
            })
    }
}

/// Who must have triggered a breach from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `remote`, or `kernel` for who armed or queued it.
    pub kind: &'static str,
    /// The process; the actor's own where none is named.
    pub process: Option<u32>,
    /// The function that it asked for, where there is one.
    pub callback: Option<&'static str>,
    /// Part of the name of a function on its stack: its system call.
    pub through: &'static str,
}

impl Sender {
    fn is(&self, origin: &Origin, actor: u32) -> bool {
        let callback = origin.callback.as_deref();
        origin.kind == self.kind
            && origin.pid == Some(self.process.unwrap_or(actor))
            && self.callback.is_none_or(|one| callback == Some(one))
            && origin.stack.iter().any(|at| at.contains(self.through))
    }
}

/// One expected breach. What is not set is not looked at.
#[derive(Clone, Debug)]
pub struct Expect {
    /// How often.
    pub count: Count,
    /// Whose.
    pub who: Who,
    /// On which CPU; the actor's where none is named.
    pub cpu: Option<u32>,
    kinds: Vec<&'static str>,
    names: Vec<String>,
    not_name: Option<&'static str>,
    number: Option<i64>,
    irq: Option<u64>,
    page: Option<u64>,
    write: Option<bool>,
    ends: Vec<&'static str>,
    origin: Option<&'static str>,
    sender: Option<Sender>,
    raised: Option<&'static str>,
    idled: bool,
    empty: bool,
    remedy: Option<&'static str>,
    needs: Vec<Need>,
}

/// Exactly one breach with this cause, of the actor.
#[must_use]
pub fn one(kind: &'static str) -> Expect {
    one_of(&[kind])
}

/// Exactly one breach with one of these causes, of the actor.
#[must_use]
pub fn one_of(kinds: &[&'static str]) -> Expect {
    Expect {
        count: Count::Exactly(1),
        who: Who::Actor,
        cpu: None,
        kinds: kinds.to_vec(),
        names: Vec::new(),
        not_name: None,
        number: None,
        irq: None,
        page: None,
        write: None,
        ends: Vec::new(),
        origin: None,
        sender: None,
        raised: None,
        idled: false,
        empty: false,
        remedy: None,
        needs: Vec::new(),
    }
}

/// The system call with this number and name, once.
#[must_use]
pub fn syscall(number: libc::c_long, name: &str) -> Expect {
    one("syscall").number(number).name(name).origin("task")
}

impl Expect {
    /// So many of them.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.count = Count::Exactly(count);
        self
    }

    /// Any number of them, none included.
    #[must_use]
    pub fn any_number(mut self) -> Self {
        self.count = Count::Any;
        self
    }

    /// Of this thread.
    #[must_use]
    pub fn of(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    /// On this CPU.
    #[must_use]
    pub fn on(mut self, cpu: u32) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// The cause's name; called again, another name that will do.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// A name that would be a lie.
    #[must_use]
    pub fn never_named(mut self, name: &'static str) -> Self {
        self.not_name = Some(name);
        self
    }

    /// The system-call number.
    #[must_use]
    pub fn number(mut self, number: libc::c_long) -> Self {
        self.number = Some(number);
        self
    }

    /// The interrupt number.
    #[must_use]
    pub fn irq(mut self, irq: u64) -> Self {
        self.irq = Some(irq);
        self
    }

    /// The page that faulted, by its first address, and whether a write did.
    #[must_use]
    pub fn fault(mut self, page: u64, write: bool) -> Self {
        self.page = Some(page);
        self.write = Some(write);
        self
    }

    /// How it ended; called again, another end that will do.
    #[must_use]
    pub fn end(mut self, end: &'static str) -> Self {
        self.ends.push(end);
        self
    }

    /// The first origin's kind.
    #[must_use]
    pub fn origin(mut self, origin: &'static str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Every origin is this sender: nobody else had a part in it.
    #[must_use]
    pub fn sent_by(mut self, sender: Sender) -> Self {
        self.sender = Some(sender);
        self
    }

    /// It is the kernel's own, raised by an interrupt of that CPU below this function.
    #[must_use]
    pub fn raised_in(mut self, function: &'static str) -> Self {
        self.raised = Some(function);
        self
    }

    /// The same, whoever triggered it and whatever ends it: for observers that cannot tell.
    #[must_use]
    pub fn by_anyone(mut self) -> Self {
        self.sender = None;
        self.raised = None;
        self.remedy = None;
        for need in &mut self.needs {
            need.asked_by = None;
        }
        self
    }

    /// The CPU idled in it.
    #[must_use]
    pub fn idled(mut self) -> Self {
        self.idled = true;
        self
    }

    /// Nothing came of it.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// The rule that says what would end it.
    #[must_use]
    pub fn remedy(mut self, rule: &'static str) -> Self {
        self.remedy = Some(rule);
        self
    }

    /// An activity that must be listed, with one of these names (or any, where there are none).
    #[must_use]
    pub fn does(mut self, kind: &'static str, names: &[&str]) -> Self {
        self.needs.push(Need {
            kind,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            asked_by: None,
        });
        self
    }

    /// Who must have asked for the activity that was named last.
    #[must_use]
    pub fn asked_by(mut self, sender: Sender) -> Self {
        if let Some(need) = self.needs.last_mut() {
            need.asked_by = Some(sender);
        }
        self
    }

    /// Whether the cause's kind is one of those expected.
    #[must_use]
    pub fn is_kind(&self, breach: &Breach) -> bool {
        self.kinds.contains(&breach.cause.kind.as_str())
    }

    /// What this breach has otherwise than expected; nothing where it matches.
    #[must_use]
    pub fn differences(&self, breach: &Breach, actor: u32) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ =
            |field: &str, expected: &dyn std::fmt::Debug, seen: &dyn std::fmt::Debug| {
                found.push(format!("{field}: expected {expected:?}, got {seen:?}"));
            };
        let (cause, process) = (&breach.cause, actor);
        if !self.is_kind(breach) {
            differ("cause", &self.kinds, &cause.kind);
        }
        let name = cause.name.as_deref();
        if !self.names.is_empty() && !self.names.iter().any(|one| Some(one.as_str()) == name) {
            differ("cause.name", &self.names, &name);
        }
        if self.not_name.is_some() && self.not_name == name {
            differ("cause.name", &"another one", &name);
        }
        if self.number.is_some() && self.number != cause.nr {
            differ("cause.nr", &self.number, &cause.nr);
        }
        if self.irq.is_some() && self.irq != cause.irq {
            differ("cause.irq", &self.irq, &cause.irq);
        }
        if let Some(page) = self.page {
            let seen = cause.address.as_deref().and_then(parse_address);
            if seen.is_none_or(|seen| seen & !0xfff != page) {
                differ(
                    "cause.address",
                    &format!("in page {page:#x}"),
                    &cause.address,
                );
            }
            if cause.user != Some(true) {
                differ("cause.user", &true, &cause.user);
            }
        }
        if self.write.is_some() && self.write != cause.write {
            differ("cause.write", &self.write, &cause.write);
        }
        if !self.ends.is_empty() && !self.ends.contains(&breach.end.as_str()) {
            differ("end", &self.ends, &breach.end);
        }
        let origin = breach.origins.first().map(|origin| origin.kind.as_str());
        if self.origin.is_some() && self.origin != origin {
            differ("origins[0].kind", &self.origin, &origin);
        }
        if let Some(sender) = &self.sender
            && !breach.origins.iter().all(|one| sender.is(one, process))
        {
            differ("origins", sender, &breach.origins);
        }
        if let Some(function) = self.raised {
            let is_raised = |one: &Origin| {
                one.kind == "kernel"
                    && one.via.as_deref() == Some("irq_work")
                    && one.cpu == Some(breach.cpu)
                    && one.pid.is_none()
                    && one.inferred == Some(false)
                    && one.stack.iter().any(|at| at.contains(function))
            };
            if !breach.origins.iter().all(is_raised) {
                differ("origins", &function, &breach.origins);
            }
        }
        if self.idled && breach.idle_ns.is_none_or(|idle| idle <= 0) {
            differ("idle_ns", &"more than 0", &breach.idle_ns);
        }
        if self.empty && !breach.activity.is_empty() {
            differ("activity", &"none", &breach.activity);
        }
        if self.remedy.is_some() && self.remedy != breach.remedy.as_deref() {
            differ("remedy", &self.remedy, &breach.remedy);
        }
        let tid = match self.who {
            Who::Actor => Some(actor),
            Who::Thread(tid) => Some(tid),
            Who::Anyone => None,
        };
        if tid.is_some_and(|tid| tid != breach.task.tid) {
            differ("task.tid", &tid, &breach.task.tid);
        }
        for need in &self.needs {
            let met = breach
                .activity
                .iter()
                .any(|activity| need.is(activity, process));
            if !met {
                let seen: BTreeSet<_> = breach
                    .activity
                    .iter()
                    .map(|activity| (&activity.kind, &activity.name, &activity.origin))
                    .collect();
                differ("activity", need, &seen);
            }
        }
        found
    }

    /// In one line, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let kinds = self.kinds.join("|");
        match self.names.first() {
            Some(name) => format!("{kinds} {name}"),
            None => kinds,
        }
    }
}

/// The number behind `"0x…"`.
#[must_use]
pub fn parse_address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
