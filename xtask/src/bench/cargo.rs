//! The figures that the workspace's own benches measure.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{exec, say::say, setup::BuildTools};

/// Entries a second without formatting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drained {
    /// While the CPU goes on producing them: as fast as it can be traced, unless some were lost.
    pub(super) produced: f64,
    /// From a full ring.
    pub(super) burst: f64,
    /// Entries that did not fit the ring.
    pub(super) lost: u64,
    /// Records that could not be decoded.
    pub(super) malformed: u64,
}

/// Runs the library's drain bench.
pub(super) fn drain(tools: &BuildTools, cpu: u32) -> Result<Drained> {
    say("bench: draining and decoding without formatting");
    let cpu = cpu.to_string();
    let said = bench(tools, "drain", &[&cpu, "5"])?;
    drained(&said).with_context(|| format!("the drain bench said something else:\n{said}"))
}

fn drained(said: &str) -> Option<Drained> {
    let line = said.lines().rev().find(|line| line.starts_with('{'))?;
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Drained {
        produced: value.pointer("/produced/per_second")?.as_f64()?,
        burst: value.pointer("/burst/per_second")?.as_f64()?,
        lost: value.get("lost")?.as_u64()?,
        malformed: value.get("malformed")?.as_u64()?,
    })
}

/// JSON records a second on one core, the median of the bench.
pub(super) fn json(tools: &BuildTools) -> Result<f64> {
    say("bench: JSON records a second");
    let said = bench(tools, "json", &["--noplot", "json/breach records$"])?;
    throughput(&said).with_context(|| format!("the JSON bench said something else:\n{said}"))
}

fn bench(tools: &BuildTools, name: &str, arguments: &[&str]) -> Result<String> {
    let mut command = tools.cargo();
    command.args([
        "bench",
        "--quiet",
        "--package=isol-trace",
        "--bench",
        name,
        "--",
    ]);
    exec::output(command.args(arguments))
}

/// criterion's `thrpt:  [1.0 Melem/s 1.1 Melem/s 1.2 Melem/s]`: the middle one.
fn throughput(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains("thrpt:"))?;
    let (_, list) = line.split_once('[')?;
    let words: Vec<&str> = list.trim_end_matches(']').split_whitespace().collect();
    let unit = match *words.get(3)? {
        "elem/s" => 1.0,
        "Kelem/s" => 1e3,
        "Melem/s" => 1e6,
        "Gelem/s" => 1e9,
        _ => return None,
    };
    Some(words.get(2)?.parse::<f64>().ok()? * unit)
}

/// Bytes of a file.
pub(super) fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benches_figures_are_read() {
        let said = "json/breach records  time: [1 ms 2 ms 3 ms]\n  thrpt:  [1.0 Melem/s 1.25 Melem/s 1.5 Melem/s]\n";
        assert_eq!(throughput(said), Some(1_250_000.0));
        assert_eq!(throughput("nothing"), None);
        let said = "noise\n{\"produced\":{\"per_second\":10},\"burst\":{\"per_second\":20},\"lost\":0,\"malformed\":0}\n";
        assert_eq!(
            drained(said).map(|it| (it.produced, it.lost)),
            Some((10.0, 0))
        );
    }
}
