//! Debug information (DWARF 2 to 5): from an address to the frames that are there.
//!
//! Built on gimli, without a table of a whole file: an index of units is made of the first entry of
//! each; the functions and lines of a unit are read when an address in it is asked for, and the units
//! that were used last are kept.

mod file;
mod functions;
mod index;
mod intervals;
mod lines;
mod names;

use std::cell::RefCell;

use gimli::{DwarfFileType, DwarfPackage, EndianSlice, RunTimeEndian, SectionId};

use self::{
    file::{DebugFile, Slice, Unit},
    functions::{Functions, inlined},
    index::UnitIndex,
    lines::Lines,
    names::Names,
};
use super::{
    limits::{Limits, Steps},
    sections::Sections,
};
use crate::symbolize::shared::place::Missing;

/// Functions that are listed as inlined at one address.
pub(super) const MAX_INLINED: usize = 32;

/// The part of the memory that parsed units may take, and one of them while it is parsed.
const SHARE: u64 = 8;

/// What the debug information says of a frame. Texts are as the file has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawFrame {
    pub(super) name: Option<Vec<u8>>,
    pub(super) path: Option<String>,
    pub(super) line: Option<u64>,
}

/// What it says of an address.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Innermost first; the last is the function that was compiled.
    pub(super) frames: Vec<RawFrame>,
    /// Of the address, in that function.
    pub(super) offset: Option<u64>,
    /// What was left out.
    pub(super) missing: Option<Missing>,
}

/// The debug information of one file: its sections, and what was read of them.
#[derive(Debug)]
pub(super) struct DebugData {
    sections: Sections,
    endian: RunTimeEndian,
    index: UnitIndex,
    /// The units that were used last, those last.
    units: RefCell<Vec<(u32, Parsed)>>,
}

/// What is kept of a unit.
#[derive(Debug)]
struct Parsed {
    functions: Functions,
    /// `None` where they take too much: the program is run for each question.
    lines: Option<Lines>,
    missing: Option<Missing>,
}

impl Parsed {
    fn memory(&self) -> u64 {
        self.functions.memory() + self.lines.as_ref().map_or(0, Lines::memory)
    }
}

/// A file's bytes with its debug information.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) data: &'a DebugData,
}

/// A file's bytes with its split debug information.
#[derive(Clone, Copy)]
pub(super) struct Split<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) sections: &'a Sections,
    pub(super) endian: RunTimeEndian,
}

fn section<'a>(
    sections: &'a Sections,
    bytes: &'a [u8],
    id: SectionId,
    endian: RunTimeEndian,
) -> Slice<'a> {
    EndianSlice::new(sections.get(bytes, id), endian)
}

impl DebugData {
    /// Reads the index of units.
    pub(super) fn read(
        sections: Sections,
        bytes: &[u8],
        endian: RunTimeEndian,
        limits: &Limits,
    ) -> Result<Self, Missing> {
        let dwarf = gimli::Dwarf::load(|id| Ok(section(&sections, bytes, id, endian)))
            .map_err(file::damaged)?;
        let index = UnitIndex::read(&DebugFile::new(dwarf), limits)?;
        Ok(Self {
            sections,
            endian,
            index,
            units: RefCell::new(Vec::new()),
        })
    }

    /// Forgets the units that were parsed: a file with split debug information came to them.
    pub(super) fn forget_units(&self) {
        self.units.borrow_mut().clear();
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> u64 {
        let units = self.units.borrow();
        let units: u64 = units.iter().map(|(_, unit)| unit.memory()).sum();
        self.sections.memory() + self.index.memory() + units
    }
}

/// A file's debug information as gimli reads it.
fn load(source: Source<'_>) -> Result<gimli::Dwarf<Slice<'_>>, Missing> {
    let Source { bytes, data } = source;
    gimli::Dwarf::load(|id| Ok(section(&data.sections, bytes, id, data.endian)))
        .map_err(file::damaged)
}

/// What is at an address of `main`. `shared` is the file that its debug information refers to.
pub(super) fn frames<'a>(
    main: Source<'a>,
    shared: Option<Source<'a>>,
    splits: &[Split<'a>],
    address: u64,
    limits: &Limits,
) -> Result<Found, Missing> {
    let mut steps = Steps::new(limits);
    let shared_file = match shared {
        Some(shared) => Some((DebugFile::new(load(shared)?), &shared.data.index)),
        None => None,
    };
    let mut dwarf = load(main)?;
    if let Some(shared) = shared {
        dwarf.set_sup(load(shared)?);
    }
    let file = DebugFile::new(dwarf);
    let question = Question {
        file: &file,
        index: &main.data.index,
        shared: shared_file.as_ref().map(|(file, index)| (file, *index)),
        splits,
        limits,
        address,
    };
    let mut found = Found::default();
    for (number, offset) in main.data.index.of_address(address) {
        let unit = file.unit_at(offset, &mut steps)?;
        question.unit(&main.data.units, number, &unit, &mut found, &mut steps)?;
        if !found.frames.is_empty() {
            break;
        }
    }
    if let Some(missing) = &main.data.sections.missing {
        found.missing.get_or_insert_with(|| missing.clone());
    }
    Ok(found)
}

struct Question<'q, 'a> {
    file: &'q DebugFile<'a>,
    index: &'q UnitIndex,
    shared: Option<(&'q DebugFile<'a>, &'q UnitIndex)>,
    splits: &'q [Split<'a>],
    limits: &'q Limits,
    address: u64,
}

impl<'a> Question<'_, 'a> {
    /// Adds what a unit says of the address.
    fn unit(
        &self,
        kept: &RefCell<Vec<(u32, Parsed)>>,
        number: u32,
        unit: &Unit<'a>,
        found: &mut Found,
        steps: &mut Steps,
    ) -> Result<(), Missing> {
        // Functions may be in a file of their own, lines never are.
        let split = match unit.split {
            Some(_) => self.split(unit, steps)?,
            None => None,
        };
        let is_absent = unit.split.is_some() && split.is_none();
        let (functions_file, functions_unit) = match &split {
            Some((file, unit)) => (file, unit),
            None => (self.file, unit),
        };
        let names = Names {
            file: functions_file,
            index: split.is_none().then_some(self.index),
            shared: self.shared,
        };
        let parsed = self.take_parsed(kept, number, unit, functions_file, functions_unit, steps);
        // A line program that cannot be read leaves the names.
        let program = lines::program(self.file, unit, self.limits).unwrap_or_default();
        let searched = match (&parsed.lines, &program) {
            (Some(lines), _) => Ok(lines.find(self.address)),
            (None, Some(program)) => lines::search(program.clone(), self.address, steps),
            (None, None) => Ok(None),
        };
        let function = parsed.functions.find(self.address);
        let calls = match function {
            Some((entry, _)) => inlined(functions_file, functions_unit, entry, self.address, steps),
            None => Ok(Vec::new()),
        };
        let missing = parsed.missing.clone();
        self.keep(kept, number, parsed);
        if is_absent {
            let name = unit
                .split
                .and_then(|value| self.file.string(&unit.inner, value));
            let name = name.map(|it| it.slice().to_vec()).unwrap_or_default();
            let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            if let Some(name) = super::note::component(last) {
                found.missing = Some(Missing::Split(name));
            }
        }
        if let Some(missing) = missing {
            found.missing.get_or_insert(missing);
        }
        // Without a line it is the function still.
        let line = searched.unwrap_or_else(|missing| {
            found.missing.get_or_insert(missing);
            None
        });
        if line.is_none() && function.is_none() {
            return Ok(());
        }
        let calls = calls.unwrap_or_else(|missing| {
            found.missing.get_or_insert(missing);
            Vec::new()
        });
        let path = |number| {
            let program = program.as_ref()?;
            lines::path(self.file, unit, program.header(), number)
        };
        // From the inside out: where the innermost function is, is what the line program says; where
        // each outer one is, is the call that the inner one was.
        let mut at = line.map_or((None, None), |(file, line)| (path(file), line));
        for call in calls.iter().rev() {
            let name = match call.origin {
                Some(origin) => names.of_reference(functions_unit, origin, steps)?,
                None => None,
            };
            found.frames.push(RawFrame {
                name,
                path: at.0,
                line: at.1,
            });
            at = (
                call.file.and_then(path),
                call.line.filter(|&line| line != 0),
            );
        }
        let name = match function {
            Some((entry, begin)) => {
                found.offset = Some(self.address - begin);
                names.of_entry(functions_unit, entry, steps)?
            }
            None => None,
        };
        found.frames.push(RawFrame {
            name,
            path: at.0,
            line: at.1,
        });
        Ok(())
    }

    /// The split unit of a skeleton; `None` where its file was not given.
    fn split(
        &self,
        unit: &Unit<'a>,
        steps: &mut Steps,
    ) -> Result<Option<(DebugFile<'a>, Unit<'a>)>, Missing> {
        let Some(id) = unit.inner.dwo_id else {
            return Ok(None);
        };
        for split in self.splits {
            let load = |id: SectionId| Ok(section(split.sections, split.bytes, id, split.endian));
            let is_package = !split
                .sections
                .get(split.bytes, SectionId::DebugCuIndex)
                .is_empty();
            let dwarf = if is_package {
                let empty = EndianSlice::new(&[], split.endian);
                let package = DwarfPackage::load(load, empty).map_err(file::damaged)?;
                match package
                    .find_cu(id, &self.file.dwarf)
                    .map_err(file::damaged)?
                {
                    Some(dwarf) => dwarf,
                    None => continue,
                }
            } else {
                let mut dwarf = gimli::Dwarf::load(load).map_err(file::damaged)?;
                dwarf.make_dwo(&self.file.dwarf);
                dwarf
            };
            debug_assert_eq!(dwarf.file_type, DwarfFileType::Dwo);
            let file = DebugFile::new(dwarf);
            if let Some(unit) = file.split_unit(unit, steps)? {
                return Ok(Some((file, unit)));
            }
        }
        Ok(None)
    }

    /// What is kept of a unit, out of what is kept; else it is read.
    fn take_parsed(
        &self,
        kept: &RefCell<Vec<(u32, Parsed)>>,
        number: u32,
        unit: &Unit<'a>,
        functions_file: &DebugFile<'a>,
        functions_unit: &Unit<'a>,
        steps: &mut Steps,
    ) -> Parsed {
        let mut units = kept.borrow_mut();
        if let Some(at) = units.iter().position(|(it, _)| *it == number) {
            return units.remove(at).1;
        }
        let room = self.limits.memory / SHARE;
        let mut missing = None;
        let functions = Functions::read(functions_file, functions_unit, room / 2, steps)
            .unwrap_or_else(|why| {
                missing = Some(why);
                Functions::default()
            });
        let read = lines::program(self.file, unit, self.limits).and_then(|program| match program {
            Some(program) => Lines::read(program, room / 2, steps),
            None => Ok(Some(Lines::default())),
        });
        let lines = read.unwrap_or_else(|why| {
            missing.get_or_insert(why);
            Some(Lines::default())
        });
        Parsed {
            functions,
            lines,
            missing,
        }
    }

    /// Keeps a unit, and forgets those that were used long ago.
    fn keep(&self, kept: &RefCell<Vec<(u32, Parsed)>>, number: u32, parsed: Parsed) {
        let mut units = kept.borrow_mut();
        units.push((number, parsed));
        let mut taken: u64 = units.iter().map(|(_, unit)| unit.memory() + 64).sum();
        while taken > self.limits.memory / SHARE && units.len() > 1 {
            let (_, forgotten) = units.remove(0);
            taken -= forgotten.memory() + 64;
        }
    }
}
