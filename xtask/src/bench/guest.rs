//! What a system call costs under context tracking, by counted instructions.
//!
//! An emulated clock tells nothing about time. With `-icount shift=0` it advances by a nanosecond
//! an instruction, so that it tells how many instructions a call takes.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::report::Table;
use crate::{
    say::say,
    setup::Setup,
    vm::{
        Guest, Host,
        qemu::{Accel, QUIET},
    },
};

/// The kernel line.
const KERNEL: &str = "6.12";

/// Counting takes an emulator that runs one CPU at a time.
const LIMIT: Duration = Duration::from_secs(400);

/// Loops on a housekeeping and on a watched CPU, without the tracer and with it. The records of
/// the watched CPU's calls fit its ring.
const SCRIPT: &str = "\
loops() { echo \"$1 housekeeping $(syscall-loop 0 400 200)\"; \
          echo \"$1 watched $(syscall-loop 1 40 200)\"; }
loops without
isol-trace record -o /tmp/log &
tracer=$!
until grep -q header /tmp/log 2>/dev/null; do sleep 0.2; done
loops with
kill -INT $tracer
wait $tracer
echo \"lost $(tail -n 1 /tmp/log | grep -o '\"lost\":[0-9]*' | tr -d -c '0-9\\n' | tr '\\n' ' ')\"
";

/// Instructions a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// On a housekeeping CPU, without and with the tracer.
    pub(super) housekeeping: (f64, f64),
    /// On a watched CPU.
    pub(super) watched: (f64, f64),
}

/// Counts in a guest.
pub(super) fn count(setup: &Setup) -> Result<Counted> {
    say(format!(
        "bench: counted instructions in a guest with Linux {KERNEL}"
    ));
    let (host, kernel) = Host::open_with(setup, KERNEL)?;
    let guest = Guest {
        limit: LIMIT,
        accel: Accel::Counted,
        append: QUIET.to_owned(),
        ..Guest::new(kernel, ["sh", "-c", SCRIPT].map(str::to_owned).to_vec())
    };
    let said = host.said(&guest)?;
    read(&said).with_context(|| format!("the guest said something else:\n{said}"))
}

fn read(said: &str) -> Option<Counted> {
    let best = |name: &str| -> Option<f64> {
        let rest = said.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some(Counted {
        housekeeping: (best("without housekeeping")?, best("with housekeeping")?),
        watched: (best("without watched")?, best("with watched")?),
    })
}

/// As a table.
pub(super) fn table(counted: &Counted, table: &mut Table) {
    table.head(&["instructions a call", "without", "with", "added"]);
    for (name, (without, with)) in [
        ("housekeeping CPU", counted.housekeeping),
        ("watched CPU, full record", counted.watched),
    ] {
        let cells = [without, with, with - without].map(|figure| format!("{figure:.1}"));
        table.row(&[name, &cells[0], &cells[1], &cells[2]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guest_says_is_read() {
        let said = "without housekeeping 425.0 430.1\nwithout watched 500.0 1\n\
                    with housekeeping 425.0 431.0\nwith watched 1500.5 1\nlost 0 0\n";
        let counted = read(said).unwrap();
        assert_eq!(counted.housekeeping, (425.0, 425.0));
        assert_eq!(counted.watched, (500.0, 1500.5));
        assert_eq!(read("without housekeeping\n"), None);
    }
}
