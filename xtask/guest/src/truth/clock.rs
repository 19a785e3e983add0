//! Waits until the kernel has the clock source that it keeps.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::files::read;

/// The clock source in use.
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The clock source that is read without a kernel entry.
const FINAL: &str = "tsc";

/// The one before it: the kernel takes it until a second measurement of the frequency has ended
/// (`tsc_refine_calibration_work()`, arch/x86/kernel/tsc.c, v6.12). That takes a second, and begins
/// anew as often as the machine disturbs it. The change to the final one stops every CPU
/// (`timekeeping_notify()`, kernel/time/timekeeping.c, v6.12).
const EARLY: &str = "tsc-early";

/// How long a guest may take for each condition. Tests of a guest have more than a minute.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Between two looks.
const STEP: Duration = Duration::from_millis(50);

/// Waits until the kernel has the clock source that it keeps.
pub fn settled() -> Result<()> {
    clock_in(Path::new(CLOCK), LIMIT)
}

/// As [`settled`], with the file that names the clock source.
fn clock_in(path: &Path, limit: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        let clock = read(path)?;
        match clock.as_str() {
            FINAL => return Ok(()),
            EARLY if start.elapsed() < limit => thread::sleep(STEP),
            EARLY => bail!(
                "the clock source is still {EARLY} after {} s: the change to {FINAL} will interrupt \
                 every CPU, so no test can begin. Its measurement begins anew whenever the machine \
                 disturbs it: try when the machine does less",
                limit.as_secs()
            ),
            other => bail!(
                "the clock source is {other}: reading it would enter the kernel (tsc=reliable)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    #[test]
    fn the_clock_is_waited_for() {
        let folder = env::temp_dir().join(format!("isol-settle-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("clock");
        fs::write(&file, "tsc-early\n").unwrap();
        let error = clock_in(&file, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("still tsc-early after 0 s"), "{error}");
        let (named, begun) = (file.clone(), Instant::now());
        let kernel = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            // In one step, as the kernel's file changes.
            fs::write(folder.join("new"), "tsc\n").unwrap();
            fs::rename(folder.join("new"), named).unwrap();
        });
        clock_in(&file, Duration::from_mins(1)).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(200));
        kernel.join().unwrap();
        fs::write(&file, "hpet\n").unwrap();
        let error = clock_in(&file, Duration::from_mins(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the clock source is hpet"), "{error}");
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
}
