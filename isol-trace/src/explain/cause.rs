//! Why the kernel was entered, in a few words.

use super::call::call;
use crate::event::model::CauseDetail;

/// `syscall write(1, 0x7ffd00001000, 12)`, `page fault at address 0x10 (write, page not present)`, `call_function`.
pub(super) fn cause(cause: &CauseDetail, name: Option<&str>) -> String {
    match cause {
        CauseDetail::Syscall { number, args } => {
            format!("syscall {}", call(name, *number, args.as_ref()))
        }
        CauseDetail::CompatSyscall { number } => {
            format!("32-bit syscall {}", call(name, Some(*number), None))
        }
        CauseDetail::PageFault {
            address,
            write,
            fetch,
            protection,
            ..
        } => {
            let access = match (fetch, write) {
                (true, _) => "instruction fetch",
                (false, true) => "write",
                (false, false) => "read",
            };
            let why = if *protection {
                "forbidden by the page's rights"
            } else {
                "page not present"
            };
            format!("page fault at address {address} ({access}, {why})")
        }
        CauseDetail::Exception { trap } => match (name, trap) {
            (Some(name), _) => format!("exception {name}"),
            (None, Some(trap)) => format!("exception number {trap}"),
            (None, None) => "an exception".to_owned(),
        },
        CauseDetail::DeviceIrq { irq, .. } => match name {
            Some(name) => format!("interrupt {irq} ({name})"),
            None => format!("interrupt {irq}"),
        },
        CauseDetail::Nmi { .. } => match name {
            Some(name) => format!("NMI ({name})"),
            None => "NMI".to_owned(),
        },
        CauseDetail::Plain(cause) => match name {
            Some(name) if name != cause.word() => format!("{} ({name})", cause.word()),
            _ if cause.word() == "unknown" => "unknown cause".to_owned(),
            _ => cause.word().to_owned(),
        },
    }
}

/// The system call's name, where it was one.
pub(super) fn call_name<'a>(cause: &CauseDetail, name: Option<&'a str>) -> Option<&'a str> {
    match cause {
        CauseDetail::Syscall { .. } | CauseDetail::CompatSyscall { .. } => name,
        _ => None,
    }
}
