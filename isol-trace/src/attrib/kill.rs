//! The one place in which a kill is built: of what the records tell, and the names of it.

use super::{Attributor, Awaited};
use crate::{
    event::{
        model::{Kill, Unlogged},
        raw::{RawKill, RawUnlogged},
    },
    symbolize::parent::symbols::UserPlace,
};

/// A kill for which places in user space are being looked up.
#[derive(Debug)]
pub struct KillLookup {
    raw: RawKill,
    of_command: bool,
    unlogged: Vec<RawUnlogged>,
    awaited: Awaited,
}

impl KillLookup {
    /// What is looked up.
    #[must_use]
    pub const fn awaited(&self) -> &Awaited {
        &self.awaited
    }
}

impl Attributor {
    /// Begins to look up what a kill needs. `unlogged` are the last entries of its task that the ring had
    /// no room for, in order. Never waits.
    pub fn look_up_kill(&mut self, raw: RawKill, unlogged: Vec<RawUnlogged>) -> KillLookup {
        let mut awaited = Awaited::default();
        let delivered = &raw.delivered;
        if let Some(entry) = &delivered.entry {
            self.ask_place(delivered.task.pid, entry.ip, &mut awaited);
        }
        self.ask_stack(delivered.stack_key(), &mut awaited);
        // Now: its number may be another process's later.
        let process = self.mappings.as_ref().zip(delivered.task.pid);
        let of_command =
            process.is_some_and(|(mappings, pid)| mappings.is_of_command(pid, delivered.at));
        KillLookup {
            raw,
            of_command,
            unlogged,
            awaited,
        }
    }

    /// The kill, with what has been found by now.
    pub fn kill(&mut self, lookup: KillLookup) -> Kill {
        let KillLookup {
            raw:
                RawKill {
                    delivered,
                    breach,
                    history,
                },
            of_command,
            unlogged,
            awaited,
        } = lookup;
        let user_stack = self.stack_of(delivered.stack_key());
        let place = self.place_of(awaited);
        Kill {
            at: delivered.at,
            cpu: delivered.cpu,
            task: delivered.task,
            of_command,
            signal: delivered.signal,
            fatal: delivered.fatal,
            by: delivered.by,
            code: delivered.code,
            breach,
            entry: delivered.entry.map(|entry| self.unlogged(entry, place)),
            history,
            unlogged: unlogged
                .into_iter()
                .map(|entry| self.unlogged(entry, UserPlace::default()))
                .collect(),
            user_stack,
        }
    }

    /// An entry without a record, with its names.
    fn unlogged(&mut self, raw: RawUnlogged, place: UserPlace) -> Unlogged {
        Unlogged {
            at: raw.at,
            duration: raw.duration,
            cause_name: self.names.cause_name(&raw.cause),
            cause: raw.cause,
            ip: raw.ip,
            location: place.location,
            source: place.source,
        }
    }
}
