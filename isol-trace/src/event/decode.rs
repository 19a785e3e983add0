//! Bytes from a ring become a record, once.

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    kill::{KILL_ENTRY, Kill, KillRecord, Raiser},
    record::{
        ActivityRecord, Back, End, Entry, FEW_ACTIVITIES, FullEntry, Kin, Kind, MAX_ACTIVITIES,
        Moved, Task,
    },
    send::{Send, Via},
    user_stack::{STACK_PIECE, UserStack},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::signal::Signal;

/// Bytes that are no record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all.
    #[error("a record of no bytes")]
    Empty,
    /// A kind that this version does not know.
    #[error("a record of unknown kind {0}")]
    UnknownKind(u8),
    /// Fewer bytes than the kind has, or bytes off their alignment.
    #[error("a {} record of only {length} bytes", kind.word())]
    Short {
        /// Which kind.
        kind: Kind,
        /// How many bytes.
        length: usize,
    },
    /// A number outside its list.
    #[error("a record with the {what} {number}, which does not exist")]
    UnknownNumber {
        /// Of what.
        what: &'static str,
        /// Which.
        number: u8,
    },
    /// A stack of which more was copied than there is room for, or a part of a piece.
    #[error("a stack of {0} bytes, which is not a number of whole pieces that fit")]
    StackLength(u32),
}

/// A record with its numbers checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A kernel entry.
    Entry(EntryView<'a>),
    /// A thread's name.
    Task(&'a Task),
    /// A task is back.
    Back(&'a Back),
    /// Something was asked of a watched CPU.
    Send(Via, &'a Send),
    /// A task goes to another CPU.
    Moved(&'a Moved),
    /// Whose a task is.
    Kin(&'a Kin),
    /// Where that sender was in user mode, and the bytes of its stack.
    UserStack(&'a UserStack, &'a [u8]),
    /// A signal that ends a task, or that strict mode raised.
    ///
    /// The entry that led to it, if it is there, has not ended: its [`EntryView::end`] means nothing.
    Kill(Raiser, Signal, &'a Kill, Option<EntryView<'a>>),
}

/// A kernel entry whose numbers are words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// The fields.
    pub entry: &'a Entry,
    /// Why.
    pub cause: Cause,
    /// How it ended.
    pub end: End,
    /// The system call's arguments, where it is one.
    pub args: Option<&'a [u64; 6]>,
    /// Idle time inside.
    pub idle_ns: u64,
    /// What the kernel did, each with its word.
    pub activities: &'a [ActivityRecord],
}

/// Reads one record.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let number = *bytes.first().ok_or(DecodeError::Empty)?;
    let kind = Kind::from_wire(number).ok_or(DecodeError::UnknownKind(number))?;
    let short = DecodeError::Short {
        kind,
        length: bytes.len(),
    };
    match kind {
        Kind::Entry => {
            let (entry, _) = Entry::ref_from_prefix(bytes).map_err(|_unused| short)?;
            view(entry, None, 0, &[]).map(Record::Entry)
        }
        Kind::EntrySyscall => view_beginning(bytes).map(Record::Entry),
        Kind::EntryFew => {
            let (full, _) =
                FullEntry::<FEW_ACTIVITIES>::ref_from_prefix(bytes).map_err(|_unused| short)?;
            view_full(full)
        }
        Kind::EntryMany => {
            let (full, _) =
                FullEntry::<MAX_ACTIVITIES>::ref_from_prefix(bytes).map_err(|_unused| short)?;
            view_full(full)
        }
        Kind::Task => {
            let (task, _) = Task::ref_from_prefix(bytes).map_err(|_unused| short)?;
            Ok(Record::Task(task))
        }
        Kind::Back => {
            let (back, _) = Back::ref_from_prefix(bytes).map_err(|_unused| short)?;
            Ok(Record::Back(back))
        }
        Kind::Send => {
            let (send, _) = Send::ref_from_prefix(bytes).map_err(|_unused| short)?;
            let via = Via::from_wire(send.via).filter(|&via| via != Via::PerfEvent);
            let via = via.ok_or(DecodeError::UnknownNumber {
                what: "way of asking",
                number: send.via,
            })?;
            Ok(Record::Send(via, send))
        }
        Kind::Moved => {
            let (moved, _) = Moved::ref_from_prefix(bytes).map_err(|_unused| short)?;
            Ok(Record::Moved(moved))
        }
        Kind::Kin => {
            let (kin, _) = Kin::ref_from_prefix(bytes).map_err(|_unused| short)?;
            Ok(Record::Kin(kin))
        }
        Kind::UserStack => {
            let (stack, _) = UserStack::ref_from_prefix(bytes).map_err(|_unused| short)?;
            let copied = usize::try_from(stack.length)
                .ok()
                .filter(|length| length.is_multiple_of(STACK_PIECE))
                .and_then(|length| stack.bytes.get(..length))
                .ok_or(DecodeError::StackLength(stack.length))?;
            Ok(Record::UserStack(stack, copied))
        }
        Kind::Kill => {
            let (record, _) = KillRecord::ref_from_prefix(bytes).map_err(|_unused| short)?;
            let kill = &record.kill;
            let unknown = |what, number| DecodeError::UnknownNumber { what, number };
            let raiser = Raiser::from_wire(kill.raiser).ok_or(unknown("raiser", kill.raiser))?;
            let signal = Signal::new(kill.signal.into()).ok_or(unknown("signal", kill.signal))?;
            let is_there = kill.flags & KILL_ENTRY != 0;
            let entry = is_there.then(|| view_under_way(record.entry.as_bytes()));
            Ok(Record::Kill(raiser, signal, kill, entry.transpose()?))
        }
    }
}

/// Views an entry with everything, such as the one in a CPU's state.
pub fn view_full<const N: usize>(full: &FullEntry<N>) -> Result<Record<'_>, DecodeError> {
    let listed = usize::from(full.entry.activities);
    let activities = full
        .activities
        .get(..listed)
        .ok_or(DecodeError::UnknownNumber {
            what: "count of activities",
            number: full.entry.activities,
        })?;
    view(&full.entry, Some(&full.args), full.idle_ns, activities).map(Record::Entry)
}

/// Views an entry and its arguments, with which entries of every kind begin in a CPU's memory.
pub fn view_beginning(bytes: &[u8]) -> Result<EntryView<'_>, DecodeError> {
    let (entry, args) = beginning(bytes)?;
    view(entry, Some(args), 0, &[])
}

/// Views an entry that has no end yet.
fn view_under_way(bytes: &[u8]) -> Result<EntryView<'_>, DecodeError> {
    let (entry, args) = beginning(bytes)?;
    view_ending(entry, End::Return, Some(args), 0, &[])
}

fn beginning(bytes: &[u8]) -> Result<(&Entry, &[u64; 6]), DecodeError> {
    let short = DecodeError::Short {
        kind: Kind::EntrySyscall,
        length: bytes.len(),
    };
    let (entry, rest) = Entry::ref_from_prefix(bytes).map_err(|_unused| short)?;
    let (args, _) = <[u64; 6]>::ref_from_prefix(rest).map_err(|_unused| short)?;
    Ok((entry, args))
}

fn view<'a>(
    entry: &'a Entry,
    args: Option<&'a [u64; 6]>,
    idle_ns: u64,
    activities: &'a [ActivityRecord],
) -> Result<EntryView<'a>, DecodeError> {
    let end = End::from_wire(entry.end).ok_or(DecodeError::UnknownNumber {
        what: "end",
        number: entry.end,
    })?;
    view_ending(entry, end, args, idle_ns, activities)
}

fn view_ending<'a>(
    entry: &'a Entry,
    end: End,
    args: Option<&'a [u64; 6]>,
    idle_ns: u64,
    activities: &'a [ActivityRecord],
) -> Result<EntryView<'a>, DecodeError> {
    let unknown = |what, number| DecodeError::UnknownNumber { what, number };
    let cause = Cause::from_wire(entry.cause).ok_or(unknown("cause", entry.cause))?;
    if let Some(odd) = activities
        .iter()
        .find(|item| Activity::from_wire(item.kind).is_none())
    {
        return Err(unknown("activity", odd.kind));
    }
    let args = args.filter(|_| cause == Cause::Syscall);
    Ok(EntryView {
        entry,
        cause,
        end,
        args,
        idle_ns,
        activities,
    })
}

#[cfg(test)]
mod tests {
    use isol_trace_common::user_stack::STACK_BYTES;
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    use super::*;

    /// Bytes at an address that is a multiple of eight, as a ring's are.
    fn aligned(bytes: &[u8]) -> Vec<u64> {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        words
    }

    fn syscall() -> Entry {
        Entry {
            kind: Kind::EntrySyscall as u8,
            cause: Cause::Syscall as u8,
            end: End::Return as u8,
            tid: 7,
            number: 39,
            ..Entry::default()
        }
    }

    #[test]
    fn a_system_call_comes_with_its_arguments() {
        let mut bytes = syscall().as_bytes().to_vec();
        bytes.extend_from_slice([1_u64, 2, 3, 4, 5, 6].as_bytes());
        let words = aligned(&bytes);
        let Record::Entry(view) = decode(words.as_bytes()).unwrap() else {
            panic!("not an entry")
        };
        assert_eq!(view.cause, Cause::Syscall);
        assert_eq!(view.end, End::Return);
        assert_eq!(view.args, Some(&[1, 2, 3, 4, 5, 6]));
        assert!(view.activities.is_empty());
    }

    #[test]
    fn what_is_not_a_record_is_named() {
        assert_eq!(decode(&[]), Err(DecodeError::Empty));
        assert_eq!(
            decode(&[99, 0, 0, 0, 0, 0, 0, 0]),
            Err(DecodeError::UnknownKind(99))
        );
        let words = aligned(syscall().as_bytes());
        assert_eq!(
            decode(words.as_bytes()),
            Err(DecodeError::Short {
                kind: Kind::EntrySyscall,
                length: 48
            })
        );
        let odd = Entry {
            kind: Kind::Entry as u8,
            end: 77,
            ..syscall()
        };
        let words = aligned(odd.as_bytes());
        assert_eq!(
            decode(words.as_bytes()),
            Err(DecodeError::UnknownNumber {
                what: "end",
                number: 77
            })
        );
    }

    #[test]
    fn more_activities_than_there_is_room_for_are_refused() {
        let mut full = FullEntry {
            entry: Entry {
                kind: Kind::EntryFew as u8,
                activities: 5,
                ..syscall()
            },
            args: [0; 6],
            idle_ns: 0,
            activities: [ActivityRecord {
                kind: Activity::Timer as u8,
                ..Default::default()
            }; FEW_ACTIVITIES],
        };
        assert!(view_full(&full).is_err());
        full.entry.activities = 4;
        assert!(view_full(&full).is_ok());
    }

    #[test]
    fn a_stack_is_as_long_as_what_was_copied() {
        let stack = |length| UserStack {
            kind: Kind::UserStack as u8,
            length,
            bytes: [7; STACK_BYTES],
            ..UserStack::EMPTY
        };
        for length in [0, 256, 4096] {
            let words = aligned(stack(length).as_bytes());
            let Ok(Record::UserStack(_, copied)) = decode(words.as_bytes()) else {
                panic!("no stack of {length} bytes")
            };
            assert_eq!(copied, &[7; STACK_BYTES][..length as usize]);
        }
        for length in [8, 255, 4097, 4352, u32::MAX] {
            let words = aligned(stack(length).as_bytes());
            assert_eq!(
                decode(words.as_bytes()),
                Err(DecodeError::StackLength(length))
            );
        }
        let words = aligned(stack(256).as_bytes());
        assert_eq!(
            decode(&words.as_bytes()[..4000]),
            Err(DecodeError::Short {
                kind: Kind::UserStack,
                length: 4000
            })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
            let words = aligned(&bytes);
            let _ = decode(&words.as_bytes()[..bytes.len()]);
        }
    }
}
