//! The calls, and the guard of an activation. All of them are about the calling thread.

use std::{
    cell::Cell,
    fs,
    marker::PhantomData,
    thread,
    time::{Duration, Instant},
};

use syscalls::Errno;

use crate::{
    Config, Cpus, Error, Features, abi, explain,
    facts::{self, Placement},
};

/// What the kernel tells of the thread.
const STATUS: &str = "/proc/thread-self/task_isolation";

/// Between two attempts: what was deferred on the CPU may be done meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

/// What this kernel can do.
pub fn features() -> Result<Features, Error> {
    match abi::features() {
        Ok(read) => Ok(Features::decode(read)),
        Err(errno) => Err(explain::features(errno, facts::release)),
    }
}

/// The CPUs on which a thread can be isolated.
pub fn cpus() -> Result<Cpus, Error> {
    features()?;
    Ok(facts::isolable().unwrap_or_else(|| Placement::gather().isolable()))
}

/// Says what is to happen once the thread is isolated. Nothing happens yet.
pub fn configure(config: &Config) -> Result<(), Error> {
    abi::set_config(&config.encode()).or_else(|errno| {
        let features = features()?;
        Err(explain::configure(errno, config, &features))
    })
}

/// What is to happen once the thread is isolated.
pub fn configuration() -> Result<Config, Error> {
    match abi::get_config() {
        Ok(read) => Config::decode(read).ok_or(Error::NewerConfiguration),
        Err(errno) => {
            features()?;
            Err(explain::refused("to tell the configuration", errno))
        }
    }
}

/// Whether the thread is isolated.
pub fn is_isolated() -> Result<bool, Error> {
    abi::is_active().or_else(|errno| {
        features()?;
        Err(explain::refused("to tell the state", errno))
    })
}

/// How many breaches the thread has had since it began. This reads a file: it is a breach itself
/// where the thread is isolated.
pub fn breaches() -> Result<u64, Error> {
    features()?;
    let text = fs::read_to_string(STATUS).map_err(|source| Error::Unreadable {
        path: STATUS,
        source,
    })?;
    Ok(count(&text))
}

/// A thread that was never configured has no count.
fn count(text: &str) -> u64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("breaches:")?.trim().parse().ok());
    value.unwrap_or(0)
}

/// Activates isolation, and tries once: from its return on the thread is isolated.
pub fn enter() -> Result<Isolated, Error> {
    enter_within(Duration::ZERO)
}

/// Activates isolation, and tries until a time is over. The thread sleeps between the attempts.
pub fn enter_within(limit: Duration) -> Result<Isolated, Error> {
    if is_isolated()? {
        return Err(Error::AlreadyIsolated);
    }
    activate(limit)?;
    Ok(Isolated {
        number: next(),
        of_its_thread: PhantomData,
    })
}

thread_local! {
    /// The number of the guard that the thread's activation belongs to: an activation that has ended
    /// underneath may be followed by another one while its guard still lives.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// Makes a new guard the current one.
fn next() -> u64 {
    CURRENT.with(|current| {
        current.set(current.get() + 1);
        current.get()
    })
}

fn activate(limit: Duration) -> Result<(), Error> {
    let start = Instant::now();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let Err(errno) = abi::enter() else {
            return Ok(());
        };
        if errno != Errno::EAGAIN {
            features()?;
            return Err(explain::enter(
                errno,
                &Placement::gather(),
                facts::isolable(),
            ));
        }
        if start.elapsed() >= limit {
            return Err(Error::NotQuiet {
                quiesce: configuration()?.quiesce(),
                obstacles: facts::obstacles(),
                attempts,
            });
        }
        thread::sleep(PAUSE);
    }
}

/// An isolated section of the thread that entered it: dropped, it ends.
///
/// The activation may have ended before, by a breach or by a change of affinity. The guard belongs to
/// its thread:
///
/// ```compile_fail,E0277
/// fn elsewhere(isolated: task_isolation::Isolated) {
///     std::thread::spawn(move || isolated.leave());
/// }
/// ```
#[derive(Debug)]
#[must_use = "isolation ends where this is dropped"]
pub struct Isolated {
    /// Which one of its thread.
    number: u64,
    /// Neither `Send` nor `Sync`.
    of_its_thread: PhantomData<*const ()>,
}

/// How an isolated section ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By leaving it: the activation was in force until then. Without
    /// [`Flags::PERSISTENT`](crate::Flags::PERSISTENT) nothing but NMIs entered the kernel; with it,
    /// [`breaches`] tells how often it was entered.
    Undisturbed,
    /// Before, by a breach or a change of affinity.
    Broken,
}

impl Isolated {
    /// Whether the activation is still in force. A system call, but no breach.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_current() && abi::is_active() == Ok(true)
    }

    fn is_current(&self) -> bool {
        CURRENT.with(Cell::get) == self.number
    }

    /// Activates isolation again after it has ended underneath, and tries until a time is over. Where it is
    /// still in force it stays so; where it is another guard's by now, that is an error.
    pub fn reenter(&mut self, limit: Duration) -> Result<(), Error> {
        if self.is_active() {
            return Ok(());
        }
        if is_isolated()? {
            return Err(Error::AlreadyIsolated);
        }
        activate(limit)?;
        self.number = next();
        Ok(())
    }

    /// Ends the section, and says whether the activation was in force until then. No breach.
    #[expect(
        clippy::must_use_candidate,
        reason = "leaving is the point; whoever does not ask need not look"
    )]
    pub fn leave(self) -> End {
        // What ends it between this and the leaving would be no loss.
        if self.is_active() {
            End::Undisturbed
        } else {
            End::Broken
        }
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        if self.is_current() {
            // A kernel that let the thread in lets it out.
            let _ = abi::leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each call says is missing.
    fn errors() -> [(&'static str, Option<Error>); 7] {
        [
            ("features", features().err()),
            ("cpus", cpus().err()),
            ("configure", configure(&Config::default()).err()),
            ("configuration", configuration().err()),
            ("is_isolated", is_isolated().err()),
            ("breaches", breaches().err()),
            ("enter", enter().err()),
        ]
    }

    /// The kernel that the tests run on may be of either kind: none of the calls says that it lacks the
    /// feature, or each. What they do on one that has it is what `tests/guest` is for.
    #[test]
    fn every_call_says_where_the_kernel_lacks_the_feature() {
        // What the kernel shows of the feature beside its prctl.
        let has_it = fs::exists("/sys/devices/system/cpu/task_isolation").unwrap_or(false);
        for (call, error) in errors() {
            match error {
                Some(Error::Unsupported { release }) => {
                    assert!(!has_it, "{call}: the kernel has the feature");
                    assert_eq!(release, facts::release(), "{call}");
                }
                other => assert!(has_it, "{call}: {other:?}"),
            }
        }
        if !has_it {
            assert!(!crate::handler::is_isolated());
            let refusal = crate::handler::enter();
            assert_eq!(refusal, Err(crate::handler::Refusal::Never));
        }
    }

    #[test]
    fn the_count_of_breaches_is_read() {
        let text = "state:\tconfigured\nmode:\tlog\nflags:\t0\ncpu:\t1\nbreaches:\t12\n";
        assert_eq!(count(text), 12);
        assert_eq!(count("state:\tnone\n"), 0);
    }
}
