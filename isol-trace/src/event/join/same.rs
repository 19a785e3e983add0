//! Whether two senders are one.

use crate::event::origin::RawSender;

/// Whether it makes no difference which of the two it was.
pub(super) fn same(one: &RawSender, other: &RawSender) -> bool {
    same_task(one, other) && one.callback == other.callback
}

/// Whether it was the same task, or no task, on the same CPU.
pub(super) fn same_task(one: &RawSender, other: &RawSender) -> bool {
    let who = |sender: &RawSender| sender.task.as_ref().map(|task| task.tid);
    who(one) == who(other) && one.cpu == other.cpu
}
