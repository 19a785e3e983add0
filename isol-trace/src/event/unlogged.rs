//! Entries of the kernel's memory: of those that found no room in a ring, the last ones of each CPU.

use zerocopy::IntoBytes as _;

use super::{
    decode::{EntryView, view_beginning},
    entry::{cause, duration},
    ids::{Address, MonoNanos, Tid},
    raw::RawUnlogged,
};

/// An entry of the kernel's memory, of the thread `tid`; `None` if it is another's or no entry at all.
#[must_use]
pub fn unlogged(words: &[u64], Tid(tid): Tid) -> Option<RawUnlogged> {
    let view = view_beginning(words.as_bytes()).ok()?;
    (view.entry.tid == tid).then(|| RawUnlogged::of(&view))
}

impl RawUnlogged {
    /// What there is of a record.
    pub(super) fn of(view: &EntryView<'_>) -> Self {
        Self {
            at: MonoNanos(view.entry.opened_ns),
            duration: duration(view.entry),
            cause: cause(view),
            ip: Address(view.entry.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use isol_trace_common::{
        cause::Cause,
        record::{End, Entry, FLAG_NO_DURATION},
    };

    use super::*;
    use crate::event::{cause::CauseDetail, ids::Nanos};

    const TID: u32 = 7;

    #[test]
    fn an_entry_is_remembered_for_its_own_thread() {
        let entry = Entry {
            kind: 2,
            cause: Cause::Syscall as u8,
            end: End::Return as u8,
            tid: TID,
            opened_ns: 10,
            duration_ns: 5,
            number: 1,
            ..Entry::default()
        };
        let mut words = [0_u64; 12];
        words.as_mut_bytes()[..48].copy_from_slice(entry.as_bytes());
        words[8] = 12;
        let told = unlogged(&words, Tid(TID)).unwrap();
        assert_eq!(told.duration, Some(Nanos(5)));
        let expected = CauseDetail::Syscall {
            number: Some(1),
            args: Some([0, 0, 12, 0, 0, 0]),
        };
        assert_eq!(told.cause, expected);
        assert_eq!(unlogged(&words, Tid(8)), None);
        let open = Entry {
            flags: FLAG_NO_DURATION,
            ..entry
        };
        words.as_mut_bytes()[..48].copy_from_slice(open.as_bytes());
        assert_eq!(unlogged(&words, Tid(TID)).unwrap().duration, None);
        assert_eq!(
            unlogged(&[0; 12], Tid(0)),
            None,
            "a zeroed place is no entry"
        );
    }
}
