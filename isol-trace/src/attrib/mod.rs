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

mod complaints;
pub mod exception_names;
mod files;
pub mod irq_names;
pub mod kallsyms;
mod limit;
mod mappings;
mod names;
pub mod places;
mod processes;
pub mod rules;
mod senders;
pub mod softirq_names;
mod symbolizer;
pub mod symbols;
pub mod syscall_names;
pub mod tick_names;
pub mod tlb_names;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

pub use symbolizer::Starter;

pub use syscall_names::Arch;

use self::{
    mappings::Mappings,
    names::Names,
    places::{Known, PlaceKey, Places},
    rules::Rules,
    symbolizer::Patience,
    symbols::{Means, UserPlace},
};
use crate::{
    event::{
        ids::{Address, Cpu},
        model::{Breach, Kill, Origin, Sender, Unlogged},
        user_stack::{CopiedStack, StackKey},
    },
    host::cpu_list::CpuSet,
};

/// How long the start of a trace waits until the code of every process has been read.
const PREPARE: Duration = Duration::from_secs(5);

/// Memory for what is read of programs, unless another size is asked for.
pub const SYMBOL_MEMORY: u64 = 256 << 20;

/// What an [`Attributor`] looks up, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The architecture that system calls are named by; `None` leaves them numbers.
    pub arch: Option<Arch>,
    /// Name places in user space.
    pub user_symbols: bool,
    /// Places in user space that are remembered, shared among the users.
    pub places: usize,
    /// How the process is started that reads programs' files, and how much memory it may take.
    pub symbolizer: Starter,
    /// Directories in which debug information is looked for besides the usual ones.
    pub debug_dirs: Vec<PathBuf>,
    /// CPUs on which the kernel is asked to record what programs map: all that are online, or none. Opening
    /// interrupts each of them.
    pub record_mappings_on: Vec<Cpu>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            arch: Arch::NATIVE,
            user_symbols: true,
            places: 8192,
            symbolizer: Starter::own(SYMBOL_MEMORY),
            debug_dirs: Vec::new(),
            record_mappings_on: Vec::new(),
        }
    }
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

    /// Whether senders' stacks are among it.
    #[must_use]
    pub const fn has_stacks(&self) -> bool {
        !self.stacks.is_empty()
    }
}

/// Fills in what the kernel side leaves to user space: names and places.
#[derive(Debug)]
pub struct Attributor {
    /// Names of what the kernel did.
    names: Names,
    /// Places in user space.
    users: Option<Places>,
    /// What programs map, if that is recorded.
    mappings: Option<Mappings>,
    /// The CPUs on which the kernel is to record that.
    record_on: Vec<Cpu>,
    /// Why it is not recorded, where it was asked for.
    no_mappings: Option<io::Error>,
    /// The number of the process that reads programs' files.
    symbolizer: Arc<AtomicU32>,
    /// What would end a breach.
    rules: &'static Rules,
    /// Complaints that have been told.
    told: Vec<String>,
}

impl Attributor {
    /// An attributor for the machine whose `proc` and `sys` are under `root`. Nothing
    /// is read yet; the thread that finds places starts, on the CPUs of its caller, and the process that reads
    /// programs' files for it.
    pub fn new(root: &Path, options: &Options) -> io::Result<Self> {
        let wanted = options.user_symbols && !options.record_mappings_on.is_empty();
        let mappings = wanted.then(Mappings::unrecorded);
        let symbolizer = Arc::new(AtomicU32::new(0));
        let users = options
            .user_symbols
            .then(|| {
                let means = Means {
                    number: symbolizer.clone(),
                    starter: options.symbolizer.clone(),
                    patience: Patience::default(),
                    debug_dirs: options.debug_dirs.clone(),
                };
                let mappings = mappings.clone().unwrap_or_else(Mappings::unrecorded);
                Places::start(root, options.places, means, Some(mappings))
            })
            .transpose()?;
        Ok(Self {
            names: Names::new(root, options.arch),
            users,
            mappings,
            record_on: options.record_mappings_on.clone(),
            no_mappings: None,
            symbolizer,
            rules: Rules::embedded().map_err(io::Error::other)?,
            told: Vec::new(),
        })
    }

    /// Where the number of the process is kept that reads programs' files; 0 where there is none.
    #[must_use]
    pub fn symbolizer(&self) -> Arc<AtomicU32> {
        self.symbolizer.clone()
    }

    /// Reads the kernel's symbols now rather than at the first breach that needs one, and what all processes have
    /// mapped: once `watched` CPUs are watched, this is not read of who may run there.
    pub fn prepare(&mut self, watched: &CpuSet) {
        self.names.prepare();
        if let Some(users) = &mut self.users {
            users.prepare(watched.clone(), PREPARE);
        }
    }

    /// The tracer runs on other CPUs now, and others are watched.
    pub fn moved(&self, tracer: &CpuSet, watched: &CpuSet) {
        if let Some(users) = &self.users {
            users.moved(tracer.clone(), watched.clone());
        }
    }

    /// Adds names and the remedy to a breach, and those places that are known at once. The others
    /// are looked up meanwhile. Never waits.
    pub fn name(&mut self, breach: &mut Breach) -> Awaited {
        let mut awaited = Awaited::default();
        self.names.name_cause(breach);
        for item in &mut breach.activities {
            self.names.name_activity(item);
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
            senders::whose_timer(origin, &breach.task);
        }
        // Several that were told apart may be the task itself now.
        breach.origins.dedup();
        breach.remedy = self.rules.find(breach).map(|rule| rule.id.clone());
        awaited
    }

    /// Adds names to a kill; its user stack is put in words meanwhile. Never waits.
    pub fn name_kill(&mut self, kill: &mut Kill) -> Awaited {
        let mut awaited = Awaited::default();
        for entry in kill.unlogged.iter_mut().chain(&mut kill.entry) {
            entry.cause_name = self.names.cause_name(&entry.cause);
        }
        if let Some(users) = &mut self.users {
            if let (Some(entry), Some(pid)) = (&mut kill.entry, kill.task.pid) {
                match users.place(pid, entry.ip) {
                    Known::Is(place) => set_kill_place(entry, place),
                    Known::Later(key) => awaited.place = Some(key),
                }
            }
            match users.stack(kill.stack_key()) {
                Known::Is(words) => kill.user_stack = words,
                Known::Later(key) => awaited.stacks.push(key),
            }
        }
        awaited
    }

    /// Adds to a kill what has been found of what [`Self::name_kill`] had looked up for it.
    pub fn complete_kill(&mut self, kill: &mut Kill, awaited: &Awaited) {
        let Some(users) = &mut self.users else { return };
        if let Some(&key) = awaited.stacks.first() {
            kill.user_stack = users.stack_of(key);
        }
        if let (Some(entry), Some(key)) = (&mut kill.entry, awaited.place) {
            set_kill_place(entry, users.place_of(key));
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

    /// Has the kernel record what programs map from now on, where that was asked for. That interrupts every CPU: before
    /// arming, and no earlier, since records that nobody takes fill the rings, and what was read is not believed then.
    pub fn record_mappings(&mut self) {
        let Some(mappings) = &self.mappings else {
            return;
        };
        if let Err(error) = mappings.record_on(&self.record_on) {
            self.no_mappings = Some(error);
            self.mappings = None;
        }
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
    pub fn warnings(&mut self) -> Vec<String> {
        let users = self.users.as_mut();
        let users = users.map_or_else(Vec::new, Places::take_sentences);
        let new: Vec<_> = self
            .names
            .complaint()
            .into_iter()
            .chain(users)
            .chain(self.mappings_complaint())
            .chain(self.room_complaint())
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
            "records of what programs map were lost: what was mapped meanwhile, programs that began meanwhile and may \
             run on a watched CPU, and those that end before they are looked at, come without names"
                .to_owned()
        })
    }

    /// That what programs map was too much.
    fn room_complaint(&self) -> Option<String> {
        (self.mappings.as_ref()?.forgotten() > 0).then(|| {
            "programs map more than there is room for: what those had mapped that map or start the most is \
             forgotten, and they come without names where they may run on a watched CPU"
                .to_owned()
        })
    }

    /// The name of a kernel function, as `name`, `name+0x1f` or `name [module]`.
    pub fn function(&mut self, address: Address) -> Option<Arc<str>> {
        self.names.function(address)
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
}

/// Says where a task was in user mode before the entry that led to its signal.
fn set_kill_place(entry: &mut Unlogged, place: UserPlace) {
    entry.location = place.location;
    entry.source = place.source;
}

/// Says where the task of a breach was.
fn set_place(breach: &mut Breach, place: UserPlace) {
    breach.location = place.location;
    breach.source = place.source;
    breach.inlined = place.inlined;
}
