//! What an entry of debug information is called.

use gimli::{AttributeValue, UnitOffset};

use super::{
    file::{DebugFile, INFO, Slice, Unit, damaged},
    index::UnitIndex,
};
use crate::symbolize::{child::parse::limits::Steps, shared::place::Missing};

/// Entries that are followed for one name: from an inlined call to the function, to its declaration.
/// Entries may refer to each other in a circle.
const HOPS: usize = 8;

/// An entry that a name leads to.
enum Next {
    /// In the same unit.
    Here(UnitOffset),
    /// Somewhere in this file.
    There(usize),
    /// In the file that is shared with others.
    Shared(usize),
}

/// Files that names are looked up in.
pub(super) struct Names<'f, 'a> {
    pub(super) file: &'f DebugFile<'a>,
    pub(super) index: Option<&'f UnitIndex>,
    pub(super) shared: Option<(&'f DebugFile<'a>, &'f UnitIndex)>,
}

impl<'a> Names<'_, 'a> {
    /// The name of the entry that `value` refers to.
    pub(super) fn of_reference(
        &self,
        unit: &Unit<'a>,
        value: AttributeValue<Slice<'a>>,
        steps: &mut Steps,
    ) -> Result<Option<Vec<u8>>, Missing> {
        match next(value) {
            Some(next) => self.follow(unit, next, steps),
            None => Ok(None),
        }
    }

    /// The name of an entry.
    pub(super) fn of_entry(
        &self,
        unit: &Unit<'a>,
        entry: UnitOffset,
        steps: &mut Steps,
    ) -> Result<Option<Vec<u8>>, Missing> {
        self.follow(unit, Next::Here(entry), steps)
    }

    fn follow(
        &self,
        unit: &Unit<'a>,
        first: Next,
        steps: &mut Steps,
    ) -> Result<Option<Vec<u8>>, Missing> {
        let (mut file, mut index) = (self.file, self.index);
        let mut other: Option<Unit<'a>> = None;
        let mut next = first;
        let mut plain = None;
        for _ in 0..HOPS {
            let entry = match next {
                Next::Here(entry) => entry,
                Next::There(offset) | Next::Shared(offset) => {
                    if matches!(next, Next::Shared(_)) {
                        let Some(shared) = self.shared else {
                            return Ok(plain);
                        };
                        (file, index) = (shared.0, Some(shared.1));
                    }
                    let Some(at) = index.and_then(|index| index.of_offset(offset)) else {
                        return Ok(plain);
                    };
                    other = Some(file.unit_at(at, steps)?);
                    UnitOffset(offset - at)
                }
            };
            let unit = other.as_ref().unwrap_or(unit);
            let found = read(file, unit, entry, steps)?;
            if found.linkage.is_some() {
                return Ok(found.linkage);
            }
            plain = plain.or(found.name);
            match found.next {
                Some(further) => next = further,
                None => break,
            }
        }
        Ok(plain)
    }
}

struct Found {
    linkage: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    next: Option<Next>,
}

fn read<'a>(
    file: &DebugFile<'a>,
    unit: &Unit<'a>,
    entry: UnitOffset,
    steps: &mut Steps,
) -> Result<Found, Missing> {
    let mut found = Found {
        linkage: None,
        name: None,
        next: None,
    };
    let mut entries = unit.inner.entries_raw(Some(entry)).map_err(damaged)?;
    let Some(abbreviation) = entries.read_abbreviation().map_err(damaged)? else {
        return Ok(found);
    };
    steps.take(abbreviation.attributes().len() as u64, INFO)?;
    let text = |value| Some(file.string(&unit.inner, value)?.slice().to_vec());
    for spec in abbreviation.attributes() {
        let attribute = entries.read_attribute(*spec).map_err(damaged)?;
        let value = attribute.value();
        match attribute.name() {
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                found.linkage = text(value);
            }
            gimli::DW_AT_name => found.name = text(value),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                found.next = next(value);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn next(value: AttributeValue<Slice<'_>>) -> Option<Next> {
    match value {
        AttributeValue::UnitRef(offset) => Some(Next::Here(offset)),
        AttributeValue::DebugInfoRef(offset) => Some(Next::There(offset.0)),
        AttributeValue::DebugInfoRefSup(offset) => Some(Next::Shared(offset.0)),
        _ => None,
    }
}
