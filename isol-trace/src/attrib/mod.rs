//! Attribution: what user space adds to a breach and to a kill, names and places, and what would end it.
//!
//! [`Attributor`] is the whole of it. It takes what the records say ([`RawBreach`](crate::event::raw::RawBreach),
//! [`RawKill`](crate::event::raw::RawKill)), asks the rooms that know names, and builds what people read, in one place
//! each (`breach`, `kill`):
//!
//! - [`names`](crate::names) has the kernel's;
//! - [`symbolize`](crate::symbolize) has places and stacks in user space. It takes its time: `awaited` is what an event
//!   waits for;
//! - `senders`: what the names on a sender's stack tell of it;
//! - [`remedy`](crate::remedy) then says what would end the breach.
//!
//! Nothing here runs on a watched CPU, and nothing asks the watched task for more
//! than one look at its maps.

mod awaited;
mod breach;
mod kill;
mod senders;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

pub use awaited::Awaited;
pub use breach::BreachLookup;
pub use kill::KillLookup;

use crate::{
    arch::Arch,
    event::{
        ids::{Address, Cpu, Pid},
        user_stack::CopiedStack,
    },
    host::cpu_list::CpuSet,
    names::Names,
    remedy::Rules,
    symbolize::{
        mappings::Mappings,
        parent::{Starter, places::Places, symbolizer::Deadlines, symbols::Means},
    },
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

/// Makes of what the kernel side tells what people read: names, places, remedies.
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
    /// Warnings that were given.
    reported: Vec<String>,
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
                    deadlines: Deadlines::default(),
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
            reported: Vec::new(),
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

    /// Whether everything is there that is looked up for an event.
    pub fn is_there(&mut self, awaited: &Awaited) -> bool {
        let Some(users) = &mut self.users else {
            return true;
        };
        awaited.is_empty() || !users.is_awaited(awaited.place_key(), &awaited.stacks)
    }

    /// Waits for what is looked up for an event.
    pub fn wait(&mut self, awaited: &Awaited, at_most: Duration) {
        if let Some(users) = &mut self.users
            && !awaited.is_empty()
        {
            users.wait(awaited.place_key(), &awaited.stacks, at_most);
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

    /// The tracer has started its command, as this process.
    pub fn command_is(&self, pid: Pid) {
        if let Some(mappings) = &self.mappings {
            mappings.command_is(pid);
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
            .warning()
            .into_iter()
            .chain(users)
            .chain(self.mappings_warning())
            .chain(self.room_warning())
            .filter(|warning| !self.reported.contains(warning))
            .collect();
        self.reported.extend(new.iter().cloned());
        new
    }

    /// What is wrong with the record of what programs map.
    fn mappings_warning(&self) -> Option<String> {
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
    fn room_warning(&self) -> Option<String> {
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
}
