//! The actor's end.

use super::{
    super::expect::{one, syscall},
    Trigger,
    signal::Sender,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "exit",
        about: "exit_group: the task dies in its entry",
        act: |actor| {
            actor.perform(|| {
                // SAFETY: ends the process, which is what is wanted.
                unsafe { libc::syscall(libc::SYS_exit_group, 0) };
            })
        },
        partner: None,
        expect: |_| {
            Ok(vec![
                syscall(libc::SYS_exit_group, "exit_group").end("exited"),
            ])
        },
    },
    Trigger {
        name: "exit_killed",
        about: "SIGKILL from another process",
        act: |actor| actor.perform(|| actor.await_partner()),
        partner: Some(|scenario| Ok(Box::new(Sender(scenario, libc::SIGKILL)))),
        expect: |_| Ok(vec![one("reschedule").end("exited")]),
    },
];
