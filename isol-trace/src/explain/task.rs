//! A task in words.

use crate::event::model::TaskId;

/// A task by its name and numbers: `bash (pid 88)`.
#[must_use]
pub fn name(task: &TaskId) -> String {
    let number = match task.pid {
        Some(pid) if pid.0 != task.tid.0 => format!("pid {pid}, thread {}", task.tid),
        Some(pid) => format!("pid {pid}"),
        None => format!("thread {}", task.tid),
    };
    match task.comm.as_deref() {
        Some(comm) if !comm.is_empty() => format!("{comm} ({number})"),
        _ => number,
    }
}
