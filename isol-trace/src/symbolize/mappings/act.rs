//! What a record of the kernel says that a process did.

use perf_event::data::{
    Comm, Exit, Fork, Lost, Mmap2, RecordMetadata, Visitor,
    endian::Native,
    parse::{ParseConfig, ParseError, Parser},
};

use crate::{
    event::ids::{MonoNanos, Pid},
    symbolize::shared::maps::{FileNumber, Mapping},
};

/// A name that came with another program: `PERF_RECORD_MISC_COMM_EXEC` (`include/uapi/linux/perf_event.h`, v6.12).
const EXECUTES: u16 = 1 << 13;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::symbolize) enum Act {
    /// A process has mapped code.
    Map { pid: Pid, mapping: Mapping },
    /// It was seen to have this code, and no other.
    Read { pid: Pid, code: Vec<Mapping> },
    /// It has the memory of its parent, or a copy of it.
    Fork { pid: Pid, parent: Pid },
    /// It executes another program: nothing of its memory is left.
    Exec { pid: Pid },
    /// It has ended.
    Exit { pid: Pid },
    /// Nobody knows: there was no room for so many records. None was lost before `since`, which a record does not say.
    Lost { records: u64, since: MonoNanos },
}

/// Reads a record, its header included. `None` where it says nothing of a process's memory.
pub(super) fn parse(
    record: &[u8],
    config: ParseConfig<Native>,
) -> Result<Option<(MonoNanos, Act)>, ParseError> {
    Parser::new(record, config).parse_record(Reading)
}

/// Takes from each kind of record what counts.
struct Reading;

impl Visitor<'_> for Reading {
    type Output = Option<(MonoNanos, Act)>;

    fn visit_unimplemented(self, _: RecordMetadata) -> Self::Output {
        None
    }

    fn visit_mmap2(self, record: Mmap2<'_>, metadata: RecordMetadata) -> Self::Output {
        let executable = record.prot & libc::PROT_EXEC.cast_unsigned() != 0;
        let act = Act::Map {
            pid: process(record.pid)?,
            mapping: Mapping::recorded(
                record.addr,
                record.len,
                record.pgoff,
                FileNumber {
                    device: (record.maj().unwrap_or(0), record.min().unwrap_or(0)),
                    inode: record.ino().unwrap_or(0),
                },
                &record.filename,
            ),
        };
        executable.then(|| at(&metadata, act))?
    }

    fn visit_fork(self, record: Fork, metadata: RecordMetadata) -> Self::Output {
        // A thread that has its process's memory is nothing new.
        let act = (record.pid != record.ppid).then_some(Act::Fork {
            pid: process(record.pid)?,
            parent: Pid(record.ppid),
        })?;
        at(&metadata, act)
    }

    fn visit_comm(self, record: Comm<'_>, metadata: RecordMetadata) -> Self::Output {
        let executes = metadata.misc() & EXECUTES != 0;
        let pid = process(record.pid)?;
        executes.then(|| at(&metadata, Act::Exec { pid }))?
    }

    fn visit_exit(self, record: Exit, metadata: RecordMetadata) -> Self::Output {
        let pid = process(record.pid)?;
        let is_first_thread = record.tid == record.pid;
        is_first_thread.then(|| at(&metadata, Act::Exit { pid }))?
    }

    fn visit_lost(self, record: Lost, metadata: RecordMetadata) -> Self::Output {
        let lost = Act::Lost {
            records: record.lost,
            since: MonoNanos(0),
        };
        at(&metadata, lost)
    }
}

/// With its time.
fn at(metadata: &RecordMetadata, act: Act) -> Option<(MonoNanos, Act)> {
    Some((MonoNanos(metadata.sample_id().time()?), act))
}

/// A process that our PID namespace knows (`kernel/events/core.c:perf_event_pid_type`, v6.12).
fn process(pid: u32) -> Option<Pid> {
    (pid != 0 && pid != u32::MAX).then_some(Pid(pid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::symbolize::{
        mappings::rings::{attributes, with_header},
        shared::maps::Backing,
    };

    // `enum perf_event_type`.
    const LOST: u32 = 2;
    const COMM: u32 = 3;
    const EXIT: u32 = 4;
    const FORK: u32 = 7;
    const MMAP2: u32 = 10;

    /// What follows every record: process, thread, time, CPU (`perf_event__output_id_sample`).
    const ID: [u64; 3] = [7 | 7 << 32, 4711, 3];

    fn read(kind: u32, misc: u16, words: &[u64]) -> Option<(MonoNanos, Act)> {
        let bytes: Vec<u8> = words
            .iter()
            .chain(&ID)
            .flat_map(|it| it.to_ne_bytes())
            .collect();
        read_bytes(kind, misc, &bytes).expect("a whole record")
    }

    fn read_bytes(
        kind: u32,
        misc: u16,
        bytes: &[u8],
    ) -> Result<Option<(MonoNanos, Act)>, ParseError> {
        let config = ParseConfig::from(*attributes().attrs());
        parse(&with_header(kind, misc, bytes), config)
    }

    fn name(text: &[u8]) -> u64 {
        u64::from_ne_bytes(text.try_into().expect("a word"))
    }

    fn mapped(rights: u64, inode: u64, path: &[u8]) -> Option<(MonoNanos, Act)> {
        let place = [7 | 8 << 32, 0x40_1000, 0x2000, 0x1000];
        let file = [0xfe, inode, 1, rights, name(path)];
        read(MMAP2, 0, &[&place[..], &file].concat())
    }

    #[test]
    fn mapped_code_comes_with_its_file() {
        let (at, act) = mapped(5, 131, b"/b/spin\0").expect("code");
        assert_eq!(at, MonoNanos(4711));
        let mapping = Mapping {
            start: 0x40_1000,
            end: 0x40_3000,
            offset: 0x1000,
            backing: Backing::File {
                path: "/b/spin".into(),
                file: FileNumber {
                    device: (0xfe, 0),
                    inode: 131,
                },
            },
        };
        let pid = Pid(7);
        assert_eq!(act, Act::Map { pid, mapping });
        assert_eq!(mapped(3, 131, b"/b/spin\0"), None, "data");
    }

    #[test]
    fn code_without_a_file_says_so() {
        let backing = |path: &[u8]| match mapped(5, 0, path) {
            Some((_, Act::Map { mapping, .. })) => (mapping.backing, mapping.offset),
            other => panic!("{other:?}"),
        };
        assert_eq!(backing(b"//anon\0\0"), (Backing::Anonymous, 0));
        let special = |name: &str| (Backing::Special(name.to_owned()), 0);
        assert_eq!(backing(b"[vdso]\0\0"), special("[vdso]"));
        assert_eq!(backing(b"//enomem"), special("[path not known]"));
    }

    #[test]
    fn lives_begin_change_and_end() {
        let task = |kind, pid: u64, parent: u64, tid: u64| {
            let found = read(kind, 0, &[pid | parent << 32, tid | parent << 32, 4711]);
            found.map(|(_, act)| act)
        };
        let (pid, parent) = (Pid(7), Pid(5));
        let fork = Some(Act::Fork { pid, parent });
        assert_eq!(task(FORK, 7, 5, 7), fork);
        assert_eq!(task(FORK, 7, 7, 8), None, "a thread");
        assert_eq!(task(EXIT, 7, 5, 7), Some(Act::Exit { pid }));
        assert_eq!(task(EXIT, 7, 5, 8), None, "a thread");
        for unknown in [0, u64::from(u32::MAX)] {
            assert_eq!(task(FORK, unknown, 5, unknown), None);
        }
        let comm = |misc| read(COMM, misc, &[7 | 7 << 32, name(b"spin\0\0\0\0")]);
        let (_, exec) = comm(EXECUTES).expect("another program");
        assert_eq!(exec, Act::Exec { pid });
        assert_eq!(comm(0), None, "another name");
        let (_, lost) = read(LOST, 0, &[1, 12]).expect("it counts");
        let since = MonoNanos(0);
        assert_eq!(lost, Act::Lost { records: 12, since });
    }

    proptest! {
        /// Whatever the bytes are, they are read or refused.
        #[test]
        fn any_bytes(
            kind in 0_u32..30,
            misc in any::<u16>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = read_bytes(kind, misc, &bytes);
        }
    }
}
