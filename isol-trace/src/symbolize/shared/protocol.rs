//! What tracer and symbolizer say to each other, and what of it is believed.
//!
//! One message is one packet of a `SOCK_SEQPACKET` pair, at most [`MESSAGE`] bytes, encoded by postcard.
//! The tracer asks one [`Question`] at a time. Before the symbolizer answers, it may ask back for a file or for what
//! lies at an address ([`Want`]), and gets a [`Given`].
//!
//! The symbolizer parses what strangers wrote, and may say anything once one of them has taken it over. So the tracer
//! checks every message ([`Report::check`]): lengths, characters, numbers of files that it knows. One that is wrong ends
//! that symbolizer.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    maps::Mapping,
    text::{NAME, SOURCE, is_hidden},
};

/// Bytes of a message.
pub(crate) const MESSAGE: usize = 64 << 10;

/// Bytes of an inlined function's name with its line.
pub(crate) const WITH_LINE: usize = NAME + SOURCE + " ()".len();

/// Bytes of a sentence on what is missing.
pub(crate) const REASON: usize = 300;

/// Functions that were inlined at one place.
pub(crate) const INLINED: usize = 32;

/// Frames of a stack, innermost first.
pub(crate) const FRAMES: usize = 64;

/// Address spaces whose code the symbolizer keeps.
pub(crate) const SPACES: usize = 64;

/// Bytes of a path, as the kernel bounds it (`PATH_MAX`).
const PATH: usize = 4096;

/// A file that the tracer has opened and checked. Its number is never another file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileId(pub(crate) u32);

/// Tells questions apart, so that a late answer is not taken for another question's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Number(pub(crate) u64);

/// Who pays for what is asked about a process: its user, or whoever made the user namespace that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Payer {
    /// This user.
    User(u32),
    /// Nobody knows: it ended before that could be found out. All such processes are one user's.
    Unknown,
}

impl Payer {
    /// It is root.
    pub(crate) const ROOT: Self = Self::User(0);

    /// This one, or else the other one, where this one is not known.
    pub(crate) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::User(_) => self,
            Self::Unknown => other(),
        }
    }
}

impl From<Option<u32>> for Payer {
    fn from(user: Option<u32>) -> Self {
        user.map_or(Self::Unknown, Self::User)
    }
}

/// From the tracer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// First of all: what the symbolizer may take.
    Begin(Allowance),
    /// A question, and who pays for it.
    Ask(Number, Payer, Question),
    /// The answer to a [`Want`].
    Give(Number, Given),
}

/// What the symbolizer may take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Allowance {
    /// Private memory, in bytes.
    pub(crate) memory: u64,
    /// The tracer's process, with which it ends.
    pub(crate) tracer: u32,
}

/// What the tracer asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Which function lies at an offset of a file? Offsets in it are shown `beyond` more than that.
    Place {
        file: FileId,
        offset: u64,
        beyond: u64,
    },
    /// The same at an offset of the vDSO.
    Vdso { offset: u64, beyond: u64 },
    /// The same at an address of code that was made at run time, by the map that its compiler writes.
    Jit {
        map: FileId,
        address: u64,
        beyond: u64,
    },
    /// Who are the callers?
    Unwind(Stack),
    /// What code is listed in the file that comes with this, a `/proc/PID/maps`?
    Maps,
}

/// Registers, and bytes of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stack {
    /// The address space: a number that is never another one's.
    pub(crate) space: u64,
    /// Instruction pointer, stack pointer, frame pointer.
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    pub(crate) bp: u64,
    /// Address of the first of the bytes.
    pub(crate) base: u64,
    /// The stack from there on.
    pub(crate) bytes: Vec<u8>,
}

impl Stack {
    /// The word at an address; `None` where that was not copied.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.base)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// What the tracer gives.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Given {
    /// The file that was asked for, with a descriptor of it.
    File(FileId),
    /// What lies at the address. `lasting`: it may be kept for the question's address space.
    Code { code: Code, lasting: bool },
    /// Nothing.
    Nothing,
}

/// Code in an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Code {
    /// Its first address.
    pub(crate) start: u64,
    /// The address behind its last.
    pub(crate) end: u64,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// What it is of.
    pub(crate) of: CodeOf,
}

/// What code is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CodeOf {
    /// A file.
    File(FileId),
    /// The vDSO.
    Vdso,
    /// No file: a compiler's at run time.
    Anonymous,
    /// Something that cannot be read.
    Unknown,
}

/// From the symbolizer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is confined and waits for questions.
    Ready(Confinement),
    /// Of a stack: it reads this file from here on.
    Reading(FileId),
    /// It needs something for its answer.
    Want(Number, Want),
    /// A part of the answer: more follows.
    Part(Number, Vec<Mapping>),
    /// The answer, or the last of it.
    Done(Number, Answer),
}

/// How far the symbolizer could confine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// Its system calls are filtered.
    pub(crate) filtered: bool,
}

/// What the symbolizer may ask for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Want {
    /// A file that it was asked about.
    File(FileId),
    /// A file with debug information of another one.
    Debug { of: FileId, name: DebugName },
    /// What lies at an address of the address space that it was asked about.
    Code(u64),
}

/// By what a file with debug information is known. It comes out of a stranger's file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum DebugName {
    /// The note that both files have.
    BuildId(Vec<u8>),
    /// The name of a file, below the directories for such files.
    Link(String),
    /// The package of split debug information: the program's name with `.dwp`.
    Package,
    /// One file of split debug information, by its name.
    Split(String),
}

/// What the symbolizer answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The place.
    Place(Place),
    /// The frames of a stack, innermost first: an address, and whether it is one to return to.
    Frames(Vec<(u64, bool)>),
    /// The rest of the code that was listed.
    Maps(Vec<Mapping>),
    /// It cannot tell.
    Nothing,
}

/// A place in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// `main+0x2e`.
    pub(crate) location: Option<String>,
    /// `spin.c:11`.
    pub(crate) source: Option<String>,
    /// Functions that were inlined there, innermost first.
    pub(crate) inlined: Vec<String>,
    /// The function that was compiled, with its line, where the place is another.
    pub(crate) outer: Option<String>,
    /// Why there is less than the file holds, as the end of a sentence.
    pub(crate) missing: Option<String>,
}

/// Why a message is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is none.
    #[error("it is no message")]
    NoMessage,
    /// A text is too long or has characters that are not shown.
    #[error("a text in it is too long or cannot be printed")]
    Text,
    /// A list is too long.
    #[error("a list in it is too long")]
    List,
    /// A mapping that no kernel would list.
    #[error("a mapping in it cannot be")]
    Mapping,
}

/// Writes a message.
pub(crate) fn encode<T: Serialize>(message: &T) -> Option<Vec<u8>> {
    let bytes = postcard::to_allocvec(message).ok()?;
    (bytes.len() <= MESSAGE).then_some(bytes)
}

/// Reads a message, all of it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Malformed::NoMessage),
    }
}

impl Report {
    /// Whether everything in it keeps to the limits.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        match self {
            Self::Ready(_) | Self::Reading(_) => Ok(()),
            Self::Want(_, want) => want.check(),
            Self::Part(_, maps) => check_maps(maps),
            Self::Done(_, answer) => answer.check(),
        }
    }
}

impl Want {
    fn check(&self) -> Result<(), Malformed> {
        match self {
            Self::File(_) | Self::Code(_) => Ok(()),
            Self::Debug { name, .. } => match name {
                DebugName::BuildId(id) if id.len() <= 64 => Ok(()),
                DebugName::BuildId(_) => Err(Malformed::List),
                // What it may lead to is the business of who opens it.
                DebugName::Link(name) | DebugName::Split(name) => text(name, PATH),
                DebugName::Package => Ok(()),
            },
        }
    }
}

impl Answer {
    fn check(&self) -> Result<(), Malformed> {
        match self {
            Self::Place(place) => place.check(),
            Self::Frames(frames) if frames.len() <= FRAMES => Ok(()),
            Self::Frames(_) => Err(Malformed::List),
            Self::Maps(maps) => check_maps(maps),
            Self::Nothing => Ok(()),
        }
    }
}

impl Place {
    fn check(&self) -> Result<(), Malformed> {
        let each = [
            (&self.location, NAME),
            (&self.source, SOURCE),
            (&self.outer, WITH_LINE),
            (&self.missing, REASON),
        ];
        for (words, limit) in each {
            words.iter().try_for_each(|words| text(words, limit))?;
        }
        if self.inlined.len() > INLINED {
            return Err(Malformed::List);
        }
        self.inlined
            .iter()
            .try_for_each(|words| text(words, WITH_LINE))
    }
}

fn check_maps(maps: &[Mapping]) -> Result<(), Malformed> {
    for mapping in maps {
        if mapping.start >= mapping.end {
            return Err(Malformed::Mapping);
        }
        if mapping.path_bytes() > PATH {
            return Err(Malformed::List);
        }
    }
    Ok(())
}

/// A text that a terminal shows as it is.
fn text(words: &str, limit: usize) -> Result<(), Malformed> {
    if words.is_empty() || words.len() > limit || words.contains(is_hidden) {
        return Err(Malformed::Text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(location: &str) -> Report {
        let place = Place {
            location: Some(location.to_owned()),
            ..Place::default()
        };
        Report::Done(Number(1), Answer::Place(place))
    }

    #[test]
    fn words_keep_to_their_limits() {
        assert_eq!(place("main+0x2e").check(), Ok(()));
        assert_eq!(place(&"x".repeat(NAME)).check(), Ok(()));
        for wrong in [
            String::new(),
            "x".repeat(NAME + 1),
            "a\nb".to_owned(),
            "a\u{1b}[2J".to_owned(),
            "a\u{202e}b".to_owned(),
        ] {
            assert_eq!(place(&wrong).check(), Err(Malformed::Text), "{wrong:?}");
        }
    }

    #[test]
    fn lists_keep_to_their_limits() {
        let inlined = |count| {
            let place = Place {
                inlined: vec!["f".to_owned(); count],
                ..Place::default()
            };
            Report::Done(Number(1), Answer::Place(place)).check()
        };
        assert_eq!(inlined(INLINED), Ok(()));
        assert_eq!(inlined(INLINED + 1), Err(Malformed::List));
        let frames =
            |count| Report::Done(Number(1), Answer::Frames(vec![(1, true); count])).check();
        assert_eq!(frames(FRAMES), Ok(()));
        assert_eq!(frames(FRAMES + 1), Err(Malformed::List));
    }

    #[test]
    fn a_message_is_whole_and_nothing_follows_it() {
        let bytes =
            encode(&Order::Ask(Number(7), Payer::User(1000), Question::Maps)).expect("it is short");
        assert!(matches!(
            decode(&bytes),
            Ok(Order::Ask(Number(7), Payer::User(1000), Question::Maps))
        ));
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode::<Order>(&longer).is_err());
        assert!(decode::<Order>(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_message_beyond_a_packet_is_not_sent() {
        let stack = |length| Stack {
            space: 1,
            ip: 1,
            sp: 1,
            bp: 1,
            base: 1,
            bytes: vec![0; length],
        };
        let bytes = |length| encode(&Question::Unwind(stack(length)));
        assert!(bytes(4096).is_some());
        assert!(bytes(MESSAGE).is_none());
    }

    proptest! {
        /// Whatever the bytes are, they are read or refused.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(report) = decode::<Report>(&bytes) {
                let _ = report.check();
            }
        }
    }
}
