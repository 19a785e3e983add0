//! Names and places: what user space adds to a breach.
//!
//! [`Attributor`] is the whole of it. The tables (`*_names`) are pure; the readers
//! take a root path, read when first asked and remember:
//!
//! - [`kallsyms`]: functions of the kernel;
//! - [`irq_names`]: device interrupts;
//! - [`symbols`]: places and stacks in user space, which [`places`] finds on a thread of its own;
//! - `mappings`: what programs map, recorded as they do it, for those that do not live to be read.
//!
//! [`rules`] then says what would end the breach.
//!
//! Nothing here runs on a watched CPU, and nothing asks the watched task for more
//! than one look at its maps.

mod cache;
pub mod exception_names;
pub mod irq_names;
pub mod kallsyms;
mod mappings;
pub mod places;
mod processes;
pub mod rules;
mod senders;
pub mod softirq_names;
pub mod symbols;
pub mod syscall_names;
mod tables;
pub mod tick_names;
pub mod tlb_names;
mod unwind;
mod user_maps;

use std::{io, path::Path, sync::Arc, time::Duration};

pub use syscall_names::Arch;

use self::{
    cache::Cache,
    irq_names::IrqNames,
    kallsyms::KernelSymbols,
    mappings::Mappings,
    places::{Known, PlaceKey, Places},
    rules::Rules,
    symbols::UserPlace,
};
use crate::event::{
    ids::{Address, Cpu},
    model::{Activity, ActivityItem, Breach, Cause, CauseDetail, Kill, Origin, Sender},
    signal::Signal,
    user_stack::{CopiedStack, StackKey},
};

/// What an [`Attributor`] looks up, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The architecture that system calls are named by; `None` leaves them numbers.
    pub arch: Option<Arch>,
    /// Name places in user space.
    pub user_symbols: bool,
    /// Places in user space that are remembered, in each of two generations.
    pub places: usize,
    /// Anonymous memory, in bytes, that parsed symbols of user space may take.
    pub symbol_memory: u64,
    /// CPUs on which the kernel is asked to record what programs map: all that are online, or none. Opening
    /// interrupts each of them.
    pub record_mappings_on: Vec<Cpu>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            arch: Arch::NATIVE,
            user_symbols: true,
            places: 4096,
            symbol_memory: 12 << 20,
            record_mappings_on: Vec::new(),
        }
    }
}

/// Kernel names that are remembered, in each of two generations.
const NAMES: usize = 2048;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Named {
    Syscall(u32),
    CompatSyscall(u32),
    Exception(u32),
    Vector(u32),
    Softirq(u32),
    Signal(u32),
    TlbFlush(u32),
    Tick(u32),
    Function(Address),
}

/// What is still being looked up for a breach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Where its task was.
    place: Option<PlaceKey>,
    /// How senders got there.
    stacks: Vec<StackKey>,
}

impl Awaited {
    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.place.is_none() && self.stacks.is_empty()
    }
}

/// Fills in what the kernel side leaves to user space: names and places.
#[derive(Debug)]
pub struct Attributor {
    /// The architecture of system calls.
    arch: Option<Arch>,
    /// Names as they are shared by all breaches that have them.
    names: Cache<Named, Arc<str>>,
    /// Functions of the kernel.
    kernel: KernelSymbols,
    /// Device interrupts.
    irqs: IrqNames,
    /// Places in user space.
    users: Option<Places>,
    /// What programs map, if that is recorded.
    mappings: Option<Mappings>,
    /// Why it is not, where it was asked for.
    no_mappings: Option<io::Error>,
    /// What would end a breach.
    rules: &'static Rules,
    /// Complaints that have been told.
    told: Vec<String>,
}

impl Attributor {
    /// An attributor for the machine whose `proc` and `sys` are under `root`. Nothing
    /// is read yet; the thread that finds places starts, on the CPUs of its caller. What programs map
    /// is recorded from here on, where that was asked for.
    pub fn new(root: &Path, options: &Options) -> io::Result<Self> {
        let wanted = options.user_symbols && !options.record_mappings_on.is_empty();
        let mappings = wanted.then(|| Mappings::open(&options.record_mappings_on));
        let (mappings, no_mappings) = match mappings.transpose() {
            Ok(mappings) => (mappings, None),
            Err(error) => (None, Some(error)),
        };
        let users = options
            .user_symbols
            .then(|| {
                let (places, memory) = (options.places, options.symbol_memory);
                Places::start(root, places, memory, mappings.clone())
            })
            .transpose()?;
        Ok(Self {
            arch: options.arch,
            names: Cache::new(NAMES),
            kernel: KernelSymbols::new(root),
            irqs: IrqNames::new(root),
            users,
            mappings,
            no_mappings,
            rules: Rules::embedded().map_err(io::Error::other)?,
            told: Vec::new(),
        })
    }

    /// Reads the kernel's symbols now rather than at the first breach that needs one.
    pub fn prepare(&mut self) {
        self.kernel.prepare();
    }

    /// Adds names and the remedy to a breach, and those places that are known at once. The others
    /// are looked up meanwhile. Never waits.
    pub fn name(&mut self, breach: &mut Breach) -> Awaited {
        let mut awaited = Awaited::default();
        self.fill_cause(breach);
        for item in &mut breach.activities {
            self.fill_activity(item);
            if let Some(origin) = &mut item.origin {
                self.fill_origin(origin, &mut awaited);
            }
        }
        if let (Some(users), Some(pid)) = (&mut self.users, breach.task.pid) {
            match users.place(pid, breach.ip) {
                Known::Is(place) => set_place(breach, place),
                Known::Later(key) => awaited.place = Some(key),
            }
            // What follows runs another program at the same addresses.
            if matches!(breach.cause_name.as_deref(), Some("execve" | "execveat")) {
                users.executed(pid);
            }
        }
        for origin in &mut breach.origins {
            self.fill_origin(origin, &mut awaited);
        }
        breach.remedy = self.rules.find(breach).map(|rule| rule.id.clone());
        awaited
    }

    /// Adds names to a kill; its user stack is put in words meanwhile. Never waits.
    pub fn name_kill(&mut self, kill: &mut Kill) -> Awaited {
        let mut awaited = Awaited::default();
        for entry in &mut kill.unlogged {
            entry.cause_name = self.cause_name(&entry.cause);
        }
        if let Some(users) = &mut self.users {
            match users.stack(kill.stack_key()) {
                Known::Is(words) => kill.user_stack = words,
                Known::Later(key) => awaited.stacks.push(key),
            }
        }
        awaited
    }

    /// Adds to a kill what has been found of what [`Self::name_kill`] had looked up for it.
    pub fn complete_kill(&mut self, kill: &mut Kill, awaited: &Awaited) {
        if let Some(users) = &mut self.users
            && let Some(&key) = awaited.stacks.first()
        {
            kill.user_stack = users.stack_of(key);
        }
    }

    /// Whether everything is there that was looked up for a breach.
    pub fn is_there(&mut self, awaited: &Awaited) -> bool {
        let Some(users) = &mut self.users else {
            return true;
        };
        awaited.is_empty() || !users.is_awaited(awaited.place, &awaited.stacks)
    }

    /// Waits for what is looked up for a breach.
    pub fn wait(&mut self, awaited: &Awaited, at_most: Duration) {
        if let Some(users) = &mut self.users
            && !awaited.is_empty()
        {
            users.wait(awaited.place, &awaited.stacks, at_most);
        }
    }

    /// Adds to a breach what has been found of what [`Self::name`] had looked up for it.
    pub fn complete(&mut self, breach: &mut Breach, awaited: &Awaited) {
        let Some(users) = &mut self.users else {
            return;
        };
        if let Some(key) = awaited.place {
            set_place(breach, users.place_of(key));
        }
        if awaited.stacks.is_empty() {
            return;
        }
        let asked = breach
            .activities
            .iter_mut()
            .filter_map(|it| it.origin.as_mut());
        for sender in asked
            .chain(&mut breach.origins)
            .filter_map(Origin::sender_mut)
        {
            if let Some(key) = sender.stack_key()
                && awaited.stacks.contains(&key)
            {
                sender.user_stack = users.stack_of(key);
            }
        }
    }

    /// Has the user stack of a sender put in words, for the breach that it led to.
    pub fn unwind(&mut self, stack: CopiedStack) {
        if let Some(users) = &mut self.users {
            users.unwind(stack);
        }
    }

    /// User stacks that were dropped because too many were waiting to be unwound.
    #[must_use]
    pub fn dropped_stacks(&self) -> u64 {
        self.users.as_ref().map_or(0, Places::dropped_stacks)
    }

    /// Takes what was recorded of programs since the last time. Often, lest there be no room for more.
    pub fn take_mappings(&self) {
        if let Some(mappings) = &self.mappings {
            mappings.turn();
        }
    }

    /// Has the kernel record no more of what programs map. That interrupts every CPU: after disarming.
    pub fn stop_mappings(&self) {
        if let Some(mappings) = &self.mappings {
            mappings.close();
        }
    }

    /// Records of what programs map that found no room; `None` where nothing is recorded.
    #[must_use]
    pub fn lost_mappings(&self) -> Option<u64> {
        self.mappings.as_ref().map(Mappings::lost)
    }

    /// What is wrong with the names, as sentences for people, each told once.
    pub fn complaints(&mut self) -> Vec<String> {
        let heavy = self.users.iter().flat_map(Places::heavy);
        let lines = heavy.map(|path| {
            format!(
                "places in {} come without source lines: its debug information is larger than \
                 what the tracer may keep in memory",
                path.display()
            )
        });
        let new: Vec<_> = self
            .kernel
            .complaint()
            .into_iter()
            .chain(lines)
            .chain(self.mappings_complaint())
            .filter(|complaint| !self.told.contains(complaint))
            .collect();
        self.told.extend(new.iter().cloned());
        new
    }

    /// What is wrong with the record of what programs map.
    fn mappings_complaint(&self) -> Option<String> {
        if let Some(error) = &self.no_mappings {
            return Some(format!(
                "programs that end before their maps are read come without names: the kernel does not \
                 record what they map ({error}), for which it asks for CAP_PERFMON and CONFIG_PERF_EVENTS"
            ));
        }
        (self.lost_mappings()? > 0).then(|| {
            "records of what programs map were lost: some that end before their maps are read come \
             without names"
                .to_owned()
        })
    }

    /// The name of a kernel function, as `name`, `name+0x1f` or `name [module]`.
    pub fn function(&mut self, address: Address) -> Option<Arc<str>> {
        self.named(Named::Function(address))
    }

    /// Names the places of a sender, and takes from its stack what the names tell.
    fn fill_origin(&mut self, origin: &mut Origin, awaited: &mut Awaited) {
        let Some(Sender {
            callback,
            callsite,
            stack,
            ..
        }) = origin.sender_mut()
        else {
            return;
        };
        for place in callback.iter_mut().chain(callsite).chain(stack) {
            place.name = place.address.and_then(|address| self.function(address));
        }
        senders::complete(origin);
        // An interrupt has no user stack: that of the task which it interrupted had nothing to do with it.
        if let Some(users) = &mut self.users
            && let Some(sender) = origin.sender_mut()
            && let Some(key) = sender.stack_key()
        {
            match users.stack(key) {
                Known::Is(words) => sender.user_stack = words,
                Known::Later(key) => awaited.stacks.push(key),
            }
        }
    }

    /// Names the cause.
    fn fill_cause(&mut self, breach: &mut Breach) {
        if let CauseDetail::DeviceIrq { handler, .. } | CauseDetail::Nmi { handler } = breach.cause
        {
            breach.cause_handler = handler.and_then(|handler| self.function(handler));
        }
        breach.cause_name = self.cause_name(&breach.cause);
    }

    /// The name of a cause for people.
    fn cause_name(&mut self, cause: &CauseDetail) -> Option<Arc<str>> {
        match *cause {
            CauseDetail::Syscall { number, .. } => self.named(Named::Syscall(number?)),
            CauseDetail::CompatSyscall { number } => self.named(Named::CompatSyscall(number)),
            CauseDetail::Exception { trap } => self.named(Named::Exception(trap?)),
            CauseDetail::DeviceIrq { irq, .. } => self.irqs.name(irq),
            CauseDetail::Nmi { handler } => self.function(handler?),
            CauseDetail::PageFault { .. } | CauseDetail::Plain(_) => None,
        }
    }

    /// Names an activity.
    fn fill_activity(&mut self, item: &mut ActivityItem) {
        let number = item.number;
        let function = |this: &mut Self| item.address.and_then(|address| this.function(address));
        item.name = match item.kind {
            Activity::Irq => self.irqs.name(number).or_else(|| function(self)),
            Activity::Vector => self.named(Named::Vector(number)),
            Activity::Softirq => self.named(Named::Softirq(number)),
            Activity::Signal => self.named(Named::Signal(number)),
            Activity::TlbFlush => self.named(Named::TlbFlush(number)),
            Activity::Tick => self.named(Named::Tick(number)).or_else(|| function(self)),
            Activity::Switch => item.comm.clone(),
            Activity::Fault => None,
            Activity::Nmi
            | Activity::Timer
            | Activity::Hrtimer
            | Activity::Work
            | Activity::IrqWork
            | Activity::Csd => function(self),
        };
        if item.kind == Activity::Hrtimer && item.name.as_deref().is_some_and(tick_names::is_tick) {
            item.kind = Activity::Tick;
        }
    }

    /// A name from the cache or, the first time, from its table.
    fn named(&mut self, what: Named) -> Option<Arc<str>> {
        if let Some(name) = self.names.get(&what) {
            return Some(name);
        }
        let name: Arc<str> = match what {
            Named::CompatSyscall(number) => {
                syscall_names::compat_syscall_name(self.arch?, number)?.into()
            }
            Named::Syscall(number) => syscall_names::syscall_name(self.arch?, number)?.into(),
            Named::Exception(trap) => exception_names::exception_name(trap)?.into(),
            Named::Vector(cause) => Cause::from_wire(u8::try_from(cause).ok()?)?.word().into(),
            Named::Softirq(number) => softirq_names::softirq_name(number)?.into(),
            Named::Signal(number) => (&*Signal::new(number)?.name()).into(),
            Named::TlbFlush(reason) => tlb_names::tlb_flush_reason(reason)?.into(),
            Named::Tick(mask) => tick_names::tick_dependencies(mask)?.into(),
            Named::Function(address) => self.kernel.place(address)?.to_string().into(),
        };
        self.names.insert(what, name.clone());
        Some(name)
    }
}

/// Says where the task of a breach was.
fn set_place(breach: &mut Breach, place: UserPlace) {
    breach.location = place.location;
    breach.source = place.source;
    breach.inlined = place.inlined;
}
