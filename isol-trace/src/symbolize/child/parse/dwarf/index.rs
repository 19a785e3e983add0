//! Which unit an address belongs to: by the first entry of each, without reading what follows.

use super::{
    file::{DebugFile, INFO},
    intervals::{Intervals, IntervalsBuilder},
};
use crate::symbolize::{
    child::parse::limits::{Limits, Steps},
    shared::place::Missing,
};

/// The part of the memory that the index may take.
const SHARE: u64 = 8;

/// Ranges before an address that are looked at: units of one file hardly overlap.
const OVERLAPS: usize = 1024;

/// Units that may claim one address.
const CLAIMS: usize = 8;

/// Units by address.
#[derive(Debug)]
pub(super) struct UnitIndex {
    /// Offsets in `.debug_info`, ascending.
    units: Vec<usize>,
    /// What they cover, each by its place in the list.
    ranges: Intervals<u32>,
}

impl UnitIndex {
    /// Reads the first entry of every unit.
    pub(super) fn read(file: &DebugFile<'_>, limits: &Limits) -> Result<Self, Missing> {
        let limit = limits.memory / SHARE;
        let room = IntervalsBuilder::<u32>::capacity_in(limit);
        let mut steps = Steps::new(limits);
        let mut units = Vec::new();
        let mut ranges = IntervalsBuilder::new();
        let mut headers = file.dwarf.units();
        loop {
            let header = match headers.next() {
                Ok(Some(header)) => header,
                Err(_) if units.is_empty() => return Err(Missing::Damaged(INFO)),
                // After a damaged unit, where the next begins is not known: those before it are good.
                Ok(None) | Err(_) => break,
            };
            steps.take(16, INFO)?;
            let Some(offset) = header.debug_info_offset() else {
                continue;
            };
            let number = u32::try_from(units.len()).unwrap_or(u32::MAX);
            units.push(offset.0);
            match file.unit(header, &mut steps) {
                Ok(unit) => {
                    let each = |begin, end| ranges.add(begin, end, number) < room;
                    let read = file.each_range(&unit.inner, &unit.ranges, &mut steps, each);
                    if let Err(steps @ Missing::Steps(_)) = read {
                        return Err(steps);
                    }
                }
                Err(steps @ Missing::Steps(_)) => return Err(steps),
                // One that is not understood leaves the others.
                Err(_) => {}
            }
            if ranges.len() >= room || units.len() >= room {
                return Err(Missing::Memory {
                    what: "the list of units",
                    needs: limit + 1,
                    limit,
                });
            }
        }
        units.shrink_to_fit();
        Ok(Self {
            units,
            ranges: ranges.build(),
        })
    }

    /// Offsets of the units that claim an address, the narrowest ranges first.
    pub(super) fn of_address(&self, address: u64) -> Vec<(u32, usize)> {
        let mut found: Vec<(u64, u32)> = Vec::new();
        for range in self.ranges.covering(address, OVERLAPS) {
            if found.len() == CLAIMS {
                break;
            }
            if !found.iter().any(|it| it.1 == range.value) {
                found.push((range.end - range.begin, range.value));
            }
        }
        found.sort_unstable();
        let offset = |&(_, unit): &(u64, u32)| Some((unit, *self.units.get(unit as usize)?));
        found.iter().filter_map(offset).collect()
    }

    /// The unit that an offset of `.debug_info` lies in.
    pub(super) fn of_offset(&self, offset: usize) -> Option<usize> {
        let end = self.units.partition_point(|&it| it <= offset);
        self.units.get(end.checked_sub(1)?).copied()
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> u64 {
        let units = self.units.capacity() * size_of::<usize>();
        (units + self.ranges.memory()) as u64
    }
}
