//! Breaches as the log records them, in few words.

use std::sync::Arc;

use crate::event::{
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, Tid},
    model::{
        Activity, ActivityItem, Breach, Cause, CauseDetail, End, Function, Origin, Sender, TaskId,
        Via,
    },
};

/// An address where nothing is.
const ANYWHERE: Address = Address(0xffff_ffff_8114_2200);

fn task(comm: &str) -> TaskId {
    TaskId {
        pid: Some(Pid(88)),
        tid: Tid(88),
        comm: Some(comm.into()),
    }
}

fn breach(cause: CauseDetail, name: Option<&str>) -> Breach {
    Breach {
        at: MonoNanos(1_000),
        cpu: Cpu(1),
        duration: Some(Nanos(2_104)),
        task: task("spin"),
        cause,
        cause_name: name.map(Arc::from),
        ip: Address(0x40_16de),
        ..crate::event::breach::tests::breach()
    }
}

/// An interrupt of which nothing else is known.
pub(super) fn on(cause: Cause) -> Breach {
    breach(CauseDetail::Plain(cause), None)
}

/// The local timer.
pub(super) fn timer() -> Breach {
    on(Cause::LocalTimer)
}

/// A cross-call to this CPU alone.
pub(super) fn call() -> Breach {
    on(Cause::CallFunctionSingle)
}

/// A cross-call to several.
pub(super) fn calls() -> Breach {
    on(Cause::CallFunction)
}

/// A reschedule.
pub(super) fn resched() -> Breach {
    on(Cause::Reschedule)
}

/// The CPU's own interrupt for put-off work.
pub(super) fn irq_work() -> Breach {
    on(Cause::IrqWork)
}

/// A system call.
pub(super) fn syscall(name: &str) -> Breach {
    let number = Some(0);
    let mut breach = breach(CauseDetail::Syscall { number, args: None }, Some(name));
    breach.origins = vec![Origin::Task];
    breach
}

/// An exception.
pub(super) fn exception(name: &str) -> Breach {
    breach(CauseDetail::Exception { trap: None }, Some(name))
}

/// A page fault: `"read"`, `"write"` or `"fetch"`, of a page that is there or not.
pub(super) fn fault(access: &str, protection: bool, address: u64) -> Breach {
    let cause = CauseDetail::PageFault {
        address: Address(address),
        write: access == "write",
        user: true,
        fetch: access == "fetch",
        protection,
    };
    breach(cause, None)
}

/// A device's interrupt.
pub(super) fn device(name: &str, handler: &str) -> Breach {
    let cause = CauseDetail::DeviceIrq {
        irq: 36,
        handler: Some(ANYWHERE),
    };
    let mut breach = breach(cause, Some(name));
    breach.cause_handler = Some(handler.into());
    breach.origins = vec![Origin::Device];
    breach
}

/// An NMI.
pub(super) fn nmi(handler: &str) -> Breach {
    let cause = CauseDetail::Nmi {
        handler: Some(ANYWHERE),
    };
    let mut breach = breach(cause, Some(handler));
    breach.cause_handler = Some(handler.into());
    breach
}

/// The function at an address.
pub(super) fn function(name: &str) -> Function {
    Function {
        address: Some(ANYWHERE),
        name: Some(name.into()),
    }
}

/// One who asked.
pub(super) fn sender(via: Via, callback: Option<&str>, stack: &[&str]) -> Box<Sender> {
    let frame = |name: &&str| function(&format!("{name}+0x1f"));
    Box::new(Sender {
        via,
        at: Some(MonoNanos(900)),
        cpu: Some(Cpu(0)),
        task: Some(task("noisy")),
        callback: callback.map(function),
        callsite: Some(function("smp_call_function_many_cond+0x1f")),
        stack: stack.iter().map(frame).collect(),
        user_stack: Arc::default(),
        inferred: false,
    })
}

impl Breach {
    /// The same, with one more thing done.
    pub(super) fn did(mut self, kind: Activity, name: &str) -> Self {
        self.activities.push(ActivityItem {
            kind,
            number: 0,
            address: Some(ANYWHERE),
            comm: (kind == Activity::Switch).then(|| name.into()),
            net: Some(Nanos(812)),
            name: Some(name.into()),
            kin: None,
            origin: None,
        });
        self
    }

    /// The same, having run another thread instead.
    pub(super) fn switched(mut self, comm: &str) -> Self {
        self.end = End::Switched;
        self.did(Activity::Switch, comm)
    }

    /// The same, where somebody woke a task here by what was done last.
    pub(super) fn by(mut self, stack: &[&str]) -> Self {
        if let Some(item) = self.activities.last_mut() {
            let sender = sender(Via::CrossCall, Some("sched_ttwu_pending"), stack);
            item.origin = Some(Origin::Remote(sender));
        }
        self
    }

    /// The same, asked for by another CPU.
    pub(super) fn asked(mut self, callback: &str, stack: &[&str]) -> Self {
        let sender = sender(Via::CrossCall, Some(callback), stack);
        self.origins.push(Origin::Remote(sender));
        self
    }

    /// The same, by somebody who woke a task here.
    pub(super) fn woken(mut self, stack: &[&str]) -> Self {
        let sender = sender(Via::Reschedule, None, stack);
        self.origins.push(Origin::Remote(sender));
        self
    }

    /// The same, a system call with these in its first argument registers, and 7 in the others.
    pub(super) fn with(mut self, first: &[u64]) -> Self {
        let mut registers = [7; 6];
        registers[..first.len()].copy_from_slice(first);
        if let CauseDetail::Syscall { args, .. } = &mut self.cause {
            *args = Some(registers);
        }
        self
    }

    /// The same, inside an isolated section or outside.
    pub(super) fn within(mut self, section: bool) -> Self {
        self.section = Some(section);
        self
    }

    /// The same, ended otherwise.
    pub(super) fn ended(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}
