//! The functions of a unit by address, and what was inlined into one of them.

use gimli::{AttributeValue, UnitOffset};

use super::{
    MAX_INLINED,
    file::{DebugFile, INFO, RangeAttributes, Slice, Unit, damaged},
    intervals::{Intervals, IntervalsBuilder},
};
use crate::symbolize::{child::parse::limits::Steps, shared::place::Missing};

/// Functions before an address that are looked at: a cold part of another may lie between.
const OVERLAPS: usize = 256;

/// Functions of a unit, each by the offset of its entry there.
#[derive(Debug, Default)]
pub(super) struct Functions(Intervals<usize>);

/// A call of a function that was inlined.
pub(super) struct Inlined<'a> {
    /// The entry that names it.
    pub(super) origin: Option<AttributeValue<Slice<'a>>>,
    /// Where it was called: the number of the source file, and the line.
    pub(super) file: Option<u64>,
    pub(super) line: Option<u64>,
}

impl Functions {
    /// Reads the entries of a unit. At most `room` bytes are taken.
    pub(super) fn read(
        file: &DebugFile<'_>,
        unit: &Unit<'_>,
        room: u64,
        steps: &mut Steps,
    ) -> Result<Self, Missing> {
        let most = IntervalsBuilder::<usize>::capacity_in(room);
        let mut ranges = IntervalsBuilder::new();
        let mut entries = unit.inner.entries_raw(None).map_err(damaged)?;
        while !entries.is_empty() {
            let entry = entries.next_offset().0;
            let Some(abbreviation) = entries.read_abbreviation().map_err(damaged)? else {
                steps.take(1, INFO)?;
                continue;
            };
            let attributes = abbreviation.attributes();
            steps.take(1 + attributes.len() as u64 / 4, INFO)?;
            if abbreviation.tag() != gimli::DW_TAG_subprogram {
                entries.skip_attributes(attributes).map_err(damaged)?;
                continue;
            }
            let mut covers = RangeAttributes::default();
            for spec in attributes {
                let attribute = entries.read_attribute(*spec).map_err(damaged)?;
                covers.take(attribute.name(), attribute.value());
            }
            if covers.is_empty() {
                continue;
            }
            file.each_range(&unit.inner, &covers, steps, |begin, end| {
                ranges.add(begin, end, entry) < most
            })?;
            if ranges.len() >= most {
                return Err(Missing::Memory {
                    what: "the list of functions",
                    needs: room + 1,
                    limit: room,
                });
            }
        }
        Ok(Self(ranges.build()))
    }

    /// The entry of the narrowest function that covers an address, and where that begins.
    pub(super) fn find(&self, address: u64) -> Option<(UnitOffset, u64)> {
        let covering = self.0.covering(address, OVERLAPS);
        covering
            .min_by_key(|it| it.end - it.begin)
            .map(|it| (UnitOffset(it.value), it.begin))
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> u64 {
        self.0.memory() as u64
    }
}

/// What was inlined at an address into the function of that entry, outermost first. The entries are
/// read in their order, not by recursion: a file says how deep they are nested.
pub(super) fn inlined<'a>(
    file: &DebugFile<'a>,
    unit: &Unit<'a>,
    function: UnitOffset,
    address: u64,
    steps: &mut Steps,
) -> Result<Vec<Inlined<'a>>, Missing> {
    let mut chain: Vec<Inlined<'a>> = Vec::new();
    // How deep the last one is.
    let mut depth = 0;
    let mut entries = unit.inner.entries_raw(Some(function)).map_err(damaged)?;
    let mut is_function = true;
    while !entries.is_empty() && chain.len() < MAX_INLINED {
        let at = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation().map_err(damaged)? else {
            steps.take(1, INFO)?;
            if entries.next_depth() <= depth {
                break;
            }
            continue;
        };
        let attributes = abbreviation.attributes();
        steps.take(1 + attributes.len() as u64 / 4, INFO)?;
        if is_function || abbreviation.tag() != gimli::DW_TAG_inlined_subroutine {
            entries.skip_attributes(attributes).map_err(damaged)?;
            if is_function && !abbreviation.has_children() {
                break;
            }
            is_function = false;
            continue;
        }
        if at <= depth && !chain.is_empty() {
            break;
        }
        let mut covers = RangeAttributes::default();
        let mut call = Inlined {
            origin: None,
            file: None,
            line: None,
        };
        for spec in attributes {
            let attribute = entries.read_attribute(*spec).map_err(damaged)?;
            let value = attribute.value();
            covers.take(attribute.name(), value);
            match (attribute.name(), value) {
                (gimli::DW_AT_abstract_origin, value) => call.origin = Some(value),
                (gimli::DW_AT_call_file, AttributeValue::FileIndex(index)) => {
                    call.file = Some(index);
                }
                (gimli::DW_AT_call_file, value) => call.file = value.udata_value(),
                (gimli::DW_AT_call_line, value) => call.line = value.udata_value(),
                _ => {}
            }
        }
        let mut is_here = false;
        file.each_range(&unit.inner, &covers, steps, |begin, end| {
            is_here = (begin..end).contains(&address);
            !is_here
        })?;
        if is_here {
            chain.push(call);
            depth = at;
        }
    }
    Ok(chain)
}
