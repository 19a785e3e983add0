//! Words of a command that a person gives a shell.

use crate::host::cpu_list::CpuSet;

/// The CPUs with blanks between them, for the loop of a shell.
pub(super) fn spaced(cpus: &CpuSet) -> String {
    let numbers: Vec<_> = cpus.iter().map(|cpu| cpu.to_string()).collect();
    numbers.join(" ")
}

/// A path for a shell.
pub(super) fn quoted(path: &str) -> String {
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-:@".contains(&byte));
    if is_plain {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
