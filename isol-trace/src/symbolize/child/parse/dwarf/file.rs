//! The debug information of one file, as gimli reads it, and one of its units.
//!
//! gimli takes what a file says: it reads tables of abbreviations and of source files whole, into
//! memory that is some ten times their size. So each is measured first.

use std::{cell::RefCell, sync::Arc};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfoOffset, DebugLocListsBase,
    DebugRngListsBase, DebugStrOffsetsBase, DwAt, DwarfFileType, EndianSlice, Reader as _,
    RunTimeEndian, Section as _, UnitHeader, UnitType,
};

use crate::symbolize::{child::parse::limits::Steps, shared::place::Missing};

/// The bytes of a section.
pub(super) type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Bytes of a table of abbreviations; the largest of an honest program have some ten thousand.
const MAX_ABBREVIATIONS: usize = 256 << 10;

/// Bytes of a name that are looked at for its end.
const MAX_STRING: usize = 4096;

/// Tables of abbreviations that a question keeps.
const TABLES: usize = 8;

/// What a failure of gimli is blamed on.
pub(super) const INFO: &str = ".debug_info";

/// The debug information of one file.
pub(super) struct DebugFile<'a> {
    pub(super) dwarf: gimli::Dwarf<Slice<'a>>,
    tables: RefCell<Vec<(usize, Arc<Abbreviations>)>>,
}

/// One unit, with what its first entry says.
pub(super) struct Unit<'a> {
    pub(super) inner: gimli::Unit<Slice<'a>>,
    pub(super) ranges: RangeAttributes<'a>,
    /// Offset of its line program.
    pub(super) lines: Option<usize>,
    /// The name of the file with its split debug information.
    pub(super) split: Option<AttributeValue<Slice<'a>>>,
}

/// What says which addresses an entry covers.
#[derive(Clone, Copy, Default)]
pub(super) struct RangeAttributes<'a> {
    low: Option<AttributeValue<Slice<'a>>>,
    high: Option<AttributeValue<Slice<'a>>>,
    list: Option<AttributeValue<Slice<'a>>>,
}

impl<'a> RangeAttributes<'a> {
    /// Takes an attribute, if it is one of them.
    pub(super) fn take(&mut self, name: DwAt, value: AttributeValue<Slice<'a>>) {
        match name {
            gimli::DW_AT_low_pc => self.low = Some(value),
            gimli::DW_AT_high_pc => self.high = Some(value),
            gimli::DW_AT_ranges => self.list = Some(value),
            _ => {}
        }
    }

    /// There are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.low.is_none() && self.list.is_none()
    }
}

pub(super) fn damaged(_: gimli::Error) -> Missing {
    Missing::Damaged(INFO)
}

impl<'a> DebugFile<'a> {
    pub(super) const fn new(dwarf: gimli::Dwarf<Slice<'a>>) -> Self {
        Self {
            dwarf,
            tables: RefCell::new(Vec::new()),
        }
    }

    /// The unit at an offset of `.debug_info`.
    pub(super) fn unit_at(&self, offset: usize, steps: &mut Steps) -> Result<Unit<'a>, Missing> {
        let header = self
            .dwarf
            .unit_header(DebugInfoOffset(offset))
            .map_err(damaged)?;
        self.unit(header, steps)
    }

    /// Reads the first entry of a unit.
    pub(super) fn unit(
        &self,
        header: UnitHeader<Slice<'a>>,
        steps: &mut Steps,
    ) -> Result<Unit<'a>, Missing> {
        let encoding = header.encoding();
        let kind = self.dwarf.file_type;
        let abbreviations = self.abbreviations(&header, steps)?;
        let mut unit = gimli::Unit {
            abbreviations,
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
            addr_base: gimli::DebugAddrBase(0),
            loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
            rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
            line_program: None,
            dwo_id: match header.type_() {
                UnitType::Skeleton(id) | UnitType::SplitCompilation(id) => Some(id),
                _ => None,
            },
            header,
        };
        let (mut name, mut folder, mut lines, mut split) = (None, None, None, None);
        let mut ranges = RangeAttributes::default();
        {
            // A reader of its own: what is read goes into the unit.
            let abbreviations = unit.abbreviations.clone();
            let entries = unit.header.entries_raw(&abbreviations, None);
            let mut entries = entries.map_err(damaged)?;
            let root = entries.read_abbreviation().map_err(damaged)?;
            let root = root.ok_or(Missing::Damaged(INFO))?;
            steps.take(root.attributes().len() as u64, INFO)?;
            for spec in root.attributes() {
                let attribute = entries.read_attribute(*spec).map_err(damaged)?;
                let value = attribute.value();
                ranges.take(attribute.name(), value);
                match (attribute.name(), value) {
                    (gimli::DW_AT_name, value) => name = Some(value),
                    (gimli::DW_AT_comp_dir, value) => folder = Some(value),
                    (gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name, value) => {
                        split = Some(value);
                    }
                    (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => {
                        lines = Some(offset.0);
                    }
                    (_, AttributeValue::DebugStrOffsetsBase(base)) => unit.str_offsets_base = base,
                    (_, AttributeValue::DebugAddrBase(base)) => unit.addr_base = base,
                    (_, AttributeValue::DebugLocListsBase(base)) => unit.loclists_base = base,
                    (_, AttributeValue::DebugRngListsBase(base)) => unit.rnglists_base = base,
                    (gimli::DW_AT_GNU_dwo_id, AttributeValue::DwoId(id)) => {
                        unit.dwo_id = unit.dwo_id.or(Some(id));
                    }
                    _ => {}
                }
            }
        }
        unit.name = name.and_then(|value| self.string(&unit, value));
        unit.comp_dir = folder.and_then(|value| self.string(&unit, value));
        if let Some(low) = ranges.low {
            let low = self.dwarf.attr_address(&unit, low).map_err(damaged)?;
            unit.low_pc = low.unwrap_or(0);
        }
        Ok(Unit {
            inner: unit,
            ranges,
            lines,
            split,
        })
    }

    /// The split unit that belongs to a skeleton, in a file that holds that unit's sections.
    pub(super) fn split_unit(
        &self,
        skeleton: &Unit<'a>,
        steps: &mut Steps,
    ) -> Result<Option<Unit<'a>>, Missing> {
        debug_assert_eq!(self.dwarf.file_type, DwarfFileType::Dwo);
        let mut headers = self.dwarf.units();
        while let Some(header) = headers.next().map_err(damaged)? {
            steps.take(1, INFO)?;
            let mut unit = self.unit(header, steps)?;
            if unit.inner.dwo_id == skeleton.inner.dwo_id {
                unit.inner.copy_relocated_attributes(&skeleton.inner);
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }

    /// A name, as far as it is looked at; `None` where there is none.
    pub(super) fn string(
        &self,
        unit: &gimli::Unit<Slice<'a>>,
        value: AttributeValue<Slice<'a>>,
    ) -> Option<Slice<'a>> {
        let (section, offset) = match value {
            AttributeValue::String(string) => {
                let end = string.len().min(MAX_STRING);
                return Some(string.range_to(..end));
            }
            AttributeValue::DebugStrRef(offset) => (*self.dwarf.debug_str.reader(), offset.0),
            AttributeValue::DebugLineStrRef(offset) => {
                (*self.dwarf.debug_line_str.reader(), offset.0)
            }
            AttributeValue::DebugStrRefSup(offset) => {
                let shared = self.dwarf.sup()?;
                (*shared.debug_str.reader(), offset.0)
            }
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let offset = self.dwarf.string_offset(unit, index).ok()?;
                (*self.dwarf.debug_str.reader(), offset.0)
            }
            _ => return None,
        };
        cut(section, offset)
    }

    /// Calls `with` for each range of addresses that the attributes say, until it says that it is enough.
    pub(super) fn each_range(
        &self,
        unit: &gimli::Unit<Slice<'a>>,
        attributes: &RangeAttributes<'a>,
        steps: &mut Steps,
        mut with: impl FnMut(u64, u64) -> bool,
    ) -> Result<(), Missing> {
        if let Some(list) = attributes.list {
            let offset = self.dwarf.attr_ranges_offset(unit, list).map_err(damaged)?;
            let Some(offset) = offset else { return Ok(()) };
            // Counted first: gimli passes over empty ranges without coming back.
            let mut raw = self.dwarf.raw_ranges(unit, offset).map_err(damaged)?;
            while raw.next().map_err(damaged)?.is_some() {
                steps.take(1, ".debug_ranges")?;
            }
            let mut ranges = self.dwarf.ranges(unit, offset).map_err(damaged)?;
            while let Some(range) = ranges.next().map_err(damaged)? {
                if range.begin < range.end && !with(range.begin, range.end) {
                    break;
                }
            }
            return Ok(());
        }
        let Some(low) = attributes.low else {
            return Ok(());
        };
        let Some(begin) = self.dwarf.attr_address(unit, low).map_err(damaged)? else {
            return Ok(());
        };
        let end = match attributes.high {
            Some(AttributeValue::Udata(size)) => begin.checked_add(size),
            Some(high) => self.dwarf.attr_address(unit, high).map_err(damaged)?,
            None => None,
        };
        // A linker that drops a function leaves an address near the end of all, or zero.
        if let Some(end) = end
            && begin < end
            && !unit.header.is_tombstone_address(begin)
        {
            with(begin, end);
        }
        Ok(())
    }

    /// The abbreviations of a unit.
    fn abbreviations(
        &self,
        header: &UnitHeader<Slice<'a>>,
        steps: &mut Steps,
    ) -> Result<Arc<Abbreviations>, Missing> {
        let offset = header.debug_abbrev_offset();
        let mut tables = self.tables.borrow_mut();
        if let Some((_, table)) = tables.iter().find(|(at, _)| *at == offset.0) {
            return Ok(table.clone());
        }
        let mut section = *self.dwarf.debug_abbrev.reader();
        section
            .truncate(
                section
                    .len()
                    .min(offset.0.saturating_add(MAX_ABBREVIATIONS)),
            )
            .map_err(damaged)?;
        let length = abbreviations_length(section, offset.0).map_err(damaged)?;
        steps.take(length as u64, ".debug_abbrev")?;
        let table = DebugAbbrev::from(section)
            .abbreviations(offset)
            .map_err(damaged)?;
        let table = Arc::new(table);
        if tables.len() >= TABLES {
            tables.remove(0);
        }
        tables.push((offset.0, table.clone()));
        Ok(table)
    }
}

/// Bytes of a table of abbreviations (DWARF 5, 7.5.3).
fn abbreviations_length(mut section: Slice<'_>, offset: usize) -> gimli::Result<usize> {
    section.skip(offset)?;
    let before = section.len();
    while section.read_uleb128()? != 0 {
        section.read_uleb128()?;
        section.read_u8()?;
        loop {
            let name = section.read_uleb128()?;
            let form = section.read_uleb128()?;
            if form == u64::from(gimli::DW_FORM_implicit_const.0) {
                section.read_sleb128()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
        }
    }
    Ok(before - section.len())
}

/// The string at an offset of a section.
fn cut(mut section: Slice<'_>, offset: usize) -> Option<Slice<'_>> {
    section.skip(offset).ok()?;
    let head = section.range_to(..section.len().min(MAX_STRING));
    Some(head.find(0).map_or(head, |end| head.range_to(..end)))
}
