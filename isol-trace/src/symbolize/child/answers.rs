//! From a question to its answer.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::Arc,
};

use super::{
    compilers::Compilers,
    images::{Images, Tables},
    line::Asker,
    parse::{
        image::{FileOffset, Image},
        limits::Limits,
        tables::Table,
        unwind::{Finder, Found, unwind},
    },
};
use crate::symbolize::shared::{
    maps::{Mapping, UserMaps},
    place,
    protocol::{
        self, Allowance, Answer, Code, CodeOf, Given, INLINED, Payer, Place, Question, REASON,
        SPACES, Stack, WITH_LINE, Want,
    },
    shared_table::SharedTable,
    text::{NAME, SOURCE, limited},
};

/// Bytes of a list of mappings that are read: some 100,000 lines.
const MAPS: u64 = 8 << 20;

/// Mappings of code that are kept of a process.
const CODE: usize = 1024;

/// Bytes of mappings in a message.
const PART: usize = protocol::MESSAGE / 2;

/// What answers.
pub(super) struct Answers {
    images: Images,
    compilers: Compilers,
    /// The vDSO as a file, and how it is unwound.
    vdso: Option<(Image, Option<Arc<Table>>)>,
    /// Code of address spaces, as it was given. The tracer has a table of the same spaces, and puts the same in at the same
    /// questions.
    spaces: SharedTable<u64, Vec<Code>>,
}

impl Answers {
    pub(super) fn new(allowance: Allowance, vdso: Option<Box<[u8]>>) -> Self {
        // The rest is for messages, the allocator and what is under way.
        let limits = Limits {
            memory: allowance.memory / 4 * 3,
            ..Limits::default()
        };
        let vdso = vdso.and_then(|bytes| {
            let table = Table::parse(&bytes).map(Arc::new);
            Some((Image::from_bytes(bytes, limits).ok()?, table))
        });
        Self {
            images: Images::new(limits),
            compilers: Compilers::new(limits),
            vdso,
            spaces: SharedTable::new(SPACES),
        }
    }

    pub(super) fn to(
        &mut self,
        question: Question,
        payer: Payer,
        file: Option<File>,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Answer> {
        let place = match question {
            Question::Place {
                file,
                offset,
                beyond,
            } => {
                let at = FileOffset(offset);
                self.images.place(file, payer, at, beyond, asker)?
            }
            Question::Vdso { offset, beyond } => self.vdso.as_mut().and_then(|(image, _)| {
                let at = image.linked_address(FileOffset(offset))?;
                Some(image.place(at, beyond))
            }),
            Question::Jit {
                map,
                address,
                beyond,
            } => {
                let map = self.compilers.get(map, payer, asker)?;
                let place = map.and_then(|map| map.place(address, beyond));
                self.images.leave(self.compilers.memory(), payer);
                place
            }
            Question::Unwind(stack) => {
                return self.unwind(&stack, payer, asker).map(Answer::Frames);
            }
            Question::Maps => return maps(file, asker),
        };
        Ok(place.map_or(Answer::Nothing, |place| Answer::Place(on_the_wire(place))))
    }

    /// The frames of a stack.
    fn unwind(
        &mut self,
        stack: &Stack,
        payer: Payer,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Vec<(u64, bool)>> {
        if self.spaces.get(&stack.space, payer).is_none() {
            self.spaces.insert(stack.space, Vec::new(), payer);
        }
        let mut finder = Reader {
            answers: self,
            space: stack.space,
            payer,
            asker,
            failed: None,
        };
        let frames = unwind(stack, &mut finder);
        match finder.failed {
            Some(error) => Err(error),
            None => Ok(frames),
        }
    }

    /// What lies at an address, and how it is unwound.
    fn code(
        &mut self,
        space: u64,
        payer: Payer,
        address: u64,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Found>> {
        let lies_in = |code: &&Code| (code.start..code.end).contains(&address);
        let known = self.spaces.peek(&space);
        if let Some(code) = known.and_then(|all| all.iter().find(lies_in)).copied() {
            match self.tables(code, payer, asker)? {
                Tables::Of(table) => return Ok(Some(Found { code, table })),
                // The tracer may have forgotten the file by that number, and have another one for it.
                Tables::NotGiven => {
                    if let Some(all) = self.spaces.get(&space, payer) {
                        all.retain(|it| it.start != code.start);
                    }
                }
            }
        }
        let (Given::Code { code, lasting }, _) = asker.want(Want::Code(address))? else {
            return Ok(None);
        };
        if !lies_in(&&code) {
            return Ok(None);
        }
        if lasting
            && let Some(all) = self.spaces.get(&space, payer)
            && all.len() < CODE
        {
            all.push(code);
        }
        let table = match self.tables(code, payer, asker)? {
            Tables::Of(table) => table,
            Tables::NotGiven => None,
        };
        Ok(Some(Found { code, table }))
    }

    /// How code is unwound.
    fn tables(
        &mut self,
        code: Code,
        payer: Payer,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Tables> {
        Ok(match code.of {
            CodeOf::File(id) => self.images.table(id, payer, asker)?,
            CodeOf::Vdso => {
                let vdso = self.vdso.as_ref();
                Tables::Of(vdso.and_then(|(_, table)| table.clone()))
            }
            CodeOf::Anonymous | CodeOf::Unknown => Tables::Of(None),
        })
    }
}

/// Finds what a stack lies in, and says at which file it is.
struct Reader<'a, 'b, 'c> {
    answers: &'a mut Answers,
    space: u64,
    payer: Payer,
    asker: &'a mut Asker<'b, 'c>,
    failed: Option<io::Error>,
}

impl Finder for Reader<'_, '_, '_> {
    fn find(&mut self, address: u64) -> Option<Found> {
        let found = self
            .answers
            .code(self.space, self.payer, address, self.asker);
        found.unwrap_or_else(|error| {
            self.failed = Some(error);
            None
        })
    }

    fn return_to(&mut self, code: &Code) -> Option<()> {
        let CodeOf::File(file) = code.of else {
            return Some(());
        };
        let said = self.asker.reading(file);
        said.map_err(|error| self.failed = Some(error)).ok()
    }
}

/// The code that a list of mappings has, in parts.
fn maps(file: Option<File>, asker: &mut Asker<'_, '_>) -> io::Result<Answer> {
    let Some(file) = file else {
        return Ok(Answer::Nothing);
    };
    let mut text = Vec::new();
    // A process that has ended meanwhile has an empty file, and one that is ending may refuse.
    if file.take(MAPS).read_to_end(&mut text).is_err() {
        return Ok(Answer::Nothing);
    }
    let mut part = Vec::new();
    let mut bytes = 0;
    for mapping in UserMaps::parse(&text).into_code().into_iter().take(CODE) {
        let more = size_of::<Mapping>() + mapping.path_bytes();
        if bytes + more > PART {
            asker.part(std::mem::take(&mut part))?;
            bytes = 0;
        }
        bytes += more;
        part.push(mapping);
    }
    Ok(Answer::Maps(part))
}

/// A place as it is sent, which keeps to the limits.
fn on_the_wire(place: place::Place) -> Place {
    let text = |words: &str, limit| (!words.is_empty()).then(|| limited(words, limit).to_string());
    let inlined = place.inlined.iter().take(INLINED);
    Place {
        location: place.location.and_then(|words| text(&words, NAME)),
        source: place.source.and_then(|words| text(&words, SOURCE)),
        inlined: inlined.filter_map(|words| text(words, WITH_LINE)).collect(),
        outer: place.outer.and_then(|words| text(&words, WITH_LINE)),
        missing: place
            .missing
            .and_then(|missing| text(&missing.to_string(), REASON)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_keeps_to_what_is_checked() {
        let words: Arc<str> = "é\u{202e}".repeat(1000).into();
        let place = place::Place {
            location: Some(words.clone()),
            source: Some("".into()),
            inlined: vec![words; 100].into(),
            ..place::Place::default()
        };
        let place = on_the_wire(place);
        let location = place.location.as_deref().expect("it is there");
        assert!(location.len() <= NAME && location.ends_with('…'));
        assert_eq!(
            (place.source.as_deref(), place.inlined.len()),
            (None, INLINED)
        );
        let report = protocol::Report::Done(protocol::Number(1), Answer::Place(place));
        assert_eq!(report.check(), Ok(()));
        assert!(protocol::encode(&report).is_some(), "it fits in a packet");
    }
}
