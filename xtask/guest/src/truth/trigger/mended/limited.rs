//! Control groups with a CPU limit (`cpu.max`).

use std::{
    fs, io,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    super::{
        super::{guest::skip, sys},
        Partner, Trigger,
    },
    row,
};

/// The rows.
pub(in super::super) const ROWS: &[Trigger] = &[
    row(
        "limited",
        "a control group with a CPU limit that nobody reaches, which the task joins",
        |actor| {
            actor.perform_after(
                || (),
                WHILE,
                || {
                    let _ = join(OWN);
                },
            )
        },
        Some(|_| Ok(Box::new(Limited(Limit::create(OWN, ROOM)?)))),
    ),
    row(
        "limited_mended",
        "the limit is taken off, and the task sleeps once; that of another group stays, which is on a housekeeping CPU",
        |actor| {
            sys::pin(0, &[actor.cpu])?;
            join(OWN)?;
            fs::write(file(OWN, "cpu.max"), "max")?;
            thread::sleep(WAKES_ANEW);
            actor.perform_after(|| (), WHILE, || ())
        },
        Some(|scenario| {
            Ok(Box::new(Lifted {
                _limit: Limit::create(OWN, ROOM)?,
                _elsewhere: Elsewhere::start(scenario.guest.helper())?,
            }))
        }),
    ),
];

/// Several periods.
const WHILE: Duration = Duration::from_millis(500);

/// What a task sleeps for that is to be woken: from then on the kernel asks anew whether it needs a tick.
const WAKES_ANEW: Duration = Duration::from_millis(10);

/// The group of the task.
const OWN: &str = "limited";
/// Another one.
const OTHER: &str = "limited-elsewhere";

/// Two whole CPUs in each tenth of a second: the task has one. It is accounted all the same.
const ROOM: &str = "200000 100000";
/// A tenth of a CPU, which a busy task uses up.
const LITTLE: &str = "10000 100000";

/// Where control groups are.
const TREE: &str = "/sys/fs/cgroup";

fn file(group: &str, name: &str) -> PathBuf {
    PathBuf::from(TREE).join(group).join(name)
}

/// Moves this process into a group.
fn join(group: &str) -> io::Result<()> {
    fs::write(file(group, "cgroup.procs"), "0")
}

/// A group with a limit. It is removed with it, once nobody is in it.
#[derive(Debug)]
struct Limit(&'static str);

impl Limit {
    fn create(group: &'static str, limit: &str) -> Result<Self> {
        let control = PathBuf::from(TREE).join("cgroup.subtree_control");
        if !control.exists() {
            return skip("no cgroup v2 at /sys/fs/cgroup");
        }
        fs::write(&control, "+cpu").context("cpu in cgroup.subtree_control")?;
        fs::create_dir_all(file(group, ""))?;
        let made = Self(group);
        let max = file(group, "cpu.max");
        if !max.exists() {
            return skip("this kernel is built without CONFIG_CFS_BANDWIDTH");
        }
        fs::write(max, limit).with_context(|| format!("cpu.max = {limit}"))?;
        Ok(made)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(file(self.0, ""));
    }
}

/// The limit stays.
#[derive(Debug)]
struct Limited(#[expect(dead_code, reason = "it is there while this is")] Limit);

impl Partner for Limited {
    fn act(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The limit that the task takes off, and another one.
#[derive(Debug)]
struct Lifted {
    _limit: Limit,
    _elsewhere: Elsewhere,
}

impl Partner for Lifted {
    fn act(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A busy process in a group of its own, which is held back again and again.
#[derive(Debug)]
struct Elsewhere {
    child: Child,
    _limit: Limit,
}

impl Elsewhere {
    fn start(cpu: u32) -> Result<Self> {
        let limit = Limit::create(OTHER, LITTLE)?;
        let procs = file(OTHER, "cgroup.procs");
        let busy = format!("echo 0 > {} && while :; do :; done", procs.display());
        let child = Command::new("taskset")
            .args(["-c", &cpu.to_string(), "/bin/sh", "-c", &busy])
            .spawn()
            .context("a busy process")?;
        Ok(Self {
            child,
            _limit: limit,
        })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
