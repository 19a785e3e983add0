//! What the host and the guest's init tell each other.
//!
//! The host leaves a [`Plan`] in the initramfs. The guest answers on three virtio-serial ports, each
//! for one thing: [`RESULTS_PORT`] carries JSON lines ([`Report`]s of init and whatever programs of
//! the guest write to [`RESULTS`]), the other two the command's output. The console is left to the
//! kernel.

use serde::{Deserialize, Serialize};

/// The plan's path in the guest.
pub const PLAN: &str = "/etc/isol-trace/plan.json";

/// Where programs of the guest write result lines; the variable [`RESULTS_VARIABLE`] says so too.
pub const RESULTS: &str = "/run/isol-trace/results";

/// Names the path of [`RESULTS`] in a command's environment.
pub const RESULTS_VARIABLE: &str = "ISOL_TRACE_RESULTS";

/// The port of the result lines.
pub const RESULTS_PORT: &str = "isol-trace.results";

/// The port of the command's standard output.
pub const STDOUT_PORT: &str = "isol-trace.stdout";

/// The port of the command's standard error.
pub const STDERR_PORT: &str = "isol-trace.stderr";

/// What the host answers to [`Report::Exit`] when it has everything: the guest may power off.
pub const GOODBYE: &[u8] = b"bye\n";

/// The console line that starts the sentence of an init that cannot go on.
pub const INIT_FAILED: &str = "isol-trace guest init:";

/// What init is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Modules to load first, in order.
    pub modules: Vec<String>,
    /// The command talks to a person on the second serial port, of this size.
    pub terminal: Option<TerminalSize>,
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// A line of init's own on the results port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum Report {
    /// Init is at this point.
    Init {
        /// The point.
        init: Stage,
    },
    /// The command has ended.
    Exit {
        /// Its status as a shell gives it: 128 + signal where one killed it.
        exit: u8,
        /// Bytes of standard output that were sent.
        stdout: u64,
        /// Bytes of standard error that were sent.
        stderr: u64,
    },
}

/// How far init is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Everything is mounted and the command starts.
    Up,
    /// The command runs; said every [`ALIVE_SECONDS`].
    Alive,
}

/// Seconds between two signs of life.
pub const ALIVE_SECONDS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_back() {
        for (report, text) in [
            (Report::Init { init: Stage::Up }, r#"{"init":"up"}"#),
            (
                Report::Exit {
                    exit: 3,
                    stdout: 10,
                    stderr: 0,
                },
                r#"{"exit":3,"stdout":10,"stderr":0}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&report).unwrap(), text);
            assert_eq!(serde_json::from_str::<Report>(text).unwrap(), report);
        }
        assert!(serde_json::from_str::<Report>(r#"{"test":"a","verdict":"pass"}"#).is_err());
    }
}
