//! What the series costs whoever does not use it: a system call on a kernel with it and on one
//! without, of the same source and configuration, by counted instructions.
//!
//! An emulated clock tells nothing about time. With `-icount shift=0` it advances by a nanosecond
//! an instruction, so that it tells how many instructions a call takes.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    build::{self, Built},
    series::{Base, Recipe},
};
use crate::{
    exec::Pace,
    say::{print, say},
    setup::{KernelImage, Setup},
    vm::{
        Guest, Host,
        qemu::{Accel, QUIET},
    },
};

/// Counting takes an emulator that runs one CPU at a time.
const LIMIT: Duration = Duration::from_mins(10);

/// A machine, and the CPU of it that calls: a guest of one CPU has no `nohz_full=`.
const PLACES: [(&str, u32, u32); 3] = [
    ("no nohz_full= at boot", 1, 0),
    ("nohz_full=, housekeeping CPU", 4, 0),
    ("nohz_full=, isolated CPU", 4, 1),
];

/// Instructions of a call, on each of [`PLACES`].
type Counts = [f64; PLACES.len()];

/// Prints a table of both kernels.
pub(crate) fn cost(setup: &Setup, base: Base) -> Result<ExitCode> {
    let series = Recipe::release(base);
    let stock = Recipe {
        stock: true,
        ..series
    };
    let kernels = [
        (stock, build::ensure(setup, stock, Pace::Full)?),
        (series, build::ensure(setup, series, Pace::Full)?),
    ];
    let host = Host::open(setup)?;
    let [without, with] = kernels.map(|(recipe, built)| counts(&host, recipe, &built));
    print(table(base, &without?, &with?));
    Ok(ExitCode::SUCCESS)
}

fn counts(host: &Host, recipe: Recipe, built: &Built) -> Result<Counts> {
    let mut counts = Counts::default();
    for (count, (name, cpus, cpu)) in counts.iter_mut().zip(PLACES) {
        say(format!("kernel: counting on {recipe}, {name}"));
        let kernel = KernelImage::of_ours(recipe.base.name, built.image());
        let command = ["syscall-loop", &cpu.to_string(), "200", "200"].map(str::to_owned);
        let guest = Guest {
            cpus,
            limit: LIMIT,
            accel: Accel::Counted,
            append: QUIET.to_owned(),
            ..Guest::new(kernel, command.to_vec())
        };
        let said = host.said(&guest)?;
        *count =
            fewest(&said).with_context(|| format!("the guest said something else:\n{said}"))?;
    }
    Ok(counts)
}

/// What the loop says first: the fewest of a batch. The others met a tick.
fn fewest(said: &str) -> Option<f64> {
    said.split_whitespace().next()?.parse().ok()
}

fn table(base: Base, without: &Counts, with: &Counts) -> String {
    let mut lines = vec![
        format!(
            "| instructions of `getppid`, Linux {} | without | with | more |",
            base.name
        ),
        "| --- | ---: | ---: | ---: |".to_owned(),
    ];
    for ((name, ..), (without, with)) in PLACES.iter().zip(without.iter().zip(with)) {
        let more = with - without;
        lines.push(format!(
            "| {name} | {without:.1} | {with:.1} | {more:+.1} ({:+.1} %) |",
            more * 100.0 / without
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::BASES;

    #[test]
    fn what_the_guest_says_is_read() {
        assert_eq!(fewest("310.5 312.0\n"), Some(310.5));
        assert_eq!(fewest(""), None);
    }

    #[test]
    fn the_table_says_how_much_more_it_is() {
        let table = table(BASES[0], &[200.0, 250.0, 400.0], &[200.0, 252.5, 400.0]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 2 + PLACES.len());
        assert!(lines[2].ends_with("| 200.0 | 200.0 | +0.0 (+0.0 %) |"));
        assert!(lines[3].ends_with("| 250.0 | 252.5 | +2.5 (+1.0 %) |"));
    }
}
