//! The actor's end.

use super::{
    super::expect::{one, syscall},
    Provocation,
    signal::Sender,
};

/// The rows.
pub const ALL: &[Provocation] = &[
    Provocation {
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
    Provocation {
        name: "exit_killed",
        about: "SIGKILL from another process",
        act: |actor| actor.perform(|| actor.await_partner()),
        partner: Some(|scene| Ok(Box::new(Sender(scene, libc::SIGKILL)))),
        expect: |_| Ok(vec![one("reschedule").end("exited")]),
    },
];
