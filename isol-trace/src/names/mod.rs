//! What the kernel's things are called: system calls, exceptions, interrupts, softirqs, functions.
//!
//! Numbers and addresses go in, words come out (`Names`), each looked up once. Most of it is tables; two rooms read
//! the host, each when it is first asked, and remember: [`kallsyms`] the kernel's symbols, [`irqs`] the names that
//! drivers gave their interrupts. What system calls and exceptions are called, [`arch`] knows.

pub mod irqs;
pub mod kallsyms;
pub mod softirqs;
pub mod ticks;
pub mod tlb;

use std::{path::Path, sync::Arc};

use self::{irqs::IrqNames, kallsyms::KernelSymbols};
use crate::{
    arch::{self, Arch},
    cache::{Cache, cache},
    event::{
        entry::KernelActivity,
        ids::Address,
        model::{Activity, Cause, CauseDetail},
        signal::Signal,
    },
};

/// Kernel names that are remembered.
const REMEMBERED: usize = 4096;

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

/// All the tables of names, and what they have told so far.
#[derive(Debug)]
pub(crate) struct Names {
    /// The architecture of system calls.
    arch: Option<Arch>,
    /// Names as they are shared by all breaches that have them.
    remembered: Cache<Named, Arc<str>>,
    /// Functions of the kernel.
    kernel: KernelSymbols,
    /// Device interrupts.
    irqs: IrqNames,
}

impl Names {
    /// The names of the machine whose `proc` and `sys` are under `root`. Nothing is read yet.
    pub(crate) fn new(root: &Path, arch: Option<Arch>) -> Self {
        Self {
            arch,
            remembered: cache(REMEMBERED),
            kernel: KernelSymbols::new(root),
            irqs: IrqNames::new(root),
        }
    }

    /// Reads the kernel's symbols now rather than when the first is needed.
    pub(crate) fn prepare(&mut self) {
        self.kernel.prepare();
    }

    /// What is wrong with the kernel's symbols.
    pub(crate) fn warning(&self) -> Option<String> {
        self.kernel.warning()
    }

    /// The name of a kernel function, as `name`, `name+0x1f` or `name [module]`.
    pub(crate) fn function(&mut self, address: Address) -> Option<Arc<str>> {
        self.named(Named::Function(address))
    }

    /// The function of the cause's handler.
    pub(crate) fn cause_handler(&mut self, cause: &CauseDetail) -> Option<Arc<str>> {
        match *cause {
            CauseDetail::DeviceIrq { handler, .. } | CauseDetail::Nmi { handler } => {
                self.function(handler?)
            }
            _ => None,
        }
    }

    /// The name of a cause for people.
    pub(crate) fn cause_name(&mut self, cause: &CauseDetail) -> Option<Arc<str>> {
        match *cause {
            CauseDetail::Syscall { number, .. } => self.named(Named::Syscall(number?)),
            CauseDetail::CompatSyscall { number } => self.named(Named::CompatSyscall(number)),
            CauseDetail::Exception { trap } => self.named(Named::Exception(trap?)),
            CauseDetail::DeviceIrq { irq, .. } => self.irqs.name(irq),
            CauseDetail::Nmi { handler } => self.function(handler?),
            CauseDetail::PageFault { .. } | CauseDetail::Plain(_) => None,
        }
    }

    /// The name of an activity. By its name the tick's timer is known as the tick.
    pub(crate) fn activity(&mut self, item: &KernelActivity) -> (Activity, Option<Arc<str>>) {
        let number = item.number;
        let function = |this: &mut Self| item.address.and_then(|address| this.function(address));
        let name = match item.kind {
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
        let is_tick = |name: &str| item.kind == Activity::Hrtimer && ticks::is_tick(name);
        let kind = if name.as_deref().is_some_and(is_tick) {
            Activity::Tick
        } else {
            item.kind
        };
        (kind, name)
    }

    /// A name from the cache or, the first time, from its table.
    fn named(&mut self, what: Named) -> Option<Arc<str>> {
        if let Some(name) = self.remembered.get(&what) {
            return Some(name.clone());
        }
        let name: Arc<str> = match what {
            Named::CompatSyscall(number) => self.arch?.compat_syscall_name(number)?.into(),
            Named::Syscall(number) => self.arch?.syscall_name(number)?.into(),
            Named::Exception(trap) => arch::exception_name(trap)?.into(),
            Named::Vector(cause) => Cause::from_wire(u8::try_from(cause).ok()?)?.word().into(),
            Named::Softirq(number) => softirqs::softirq_name(number)?.into(),
            Named::Signal(number) => (&*Signal::new(number)?.name()).into(),
            Named::TlbFlush(reason) => tlb::tlb_flush_reason(reason)?.into(),
            Named::Tick(mask) => ticks::tick_dependencies(mask)?.into(),
            Named::Function(address) => self.kernel.place(address)?.to_string().into(),
        };
        self.remembered.put(what, name.clone());
        Some(name)
    }
}
