//! What compilers at run time write of the code that they make: `/tmp/perf-PID.map`, which grows.

use std::{fs::File, io};

use super::{
    images::given,
    line::Asker,
    parse::{limits::Limits, perf_map::PerfMap},
};
use crate::symbolize::shared::{
    protocol::{FileId, Payer, Want},
    shared_table::{Need, SharedTable},
};

/// Maps that are open at a time.
const MAPS: usize = 16;

/// The part of the memory that all of them may take. The programs have the rest.
const SHARE: u64 = 8;

/// The maps, shared among the users whose processes they are of.
pub(super) struct Compilers {
    limits: Limits,
    all: SharedTable<FileId, (File, PerfMap)>,
}

impl Compilers {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: SharedTable::new(MAPS),
        }
    }

    /// A map with what has been added to it. It is asked for where it is not there; `None` where it cannot be had or read.
    pub(super) fn get(
        &mut self,
        id: FileId,
        payer: Payer,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<&PerfMap>> {
        let mut entry = if let Some(entry) = self.all.take(&id, payer) {
            entry
        } else {
            let wanted = given(asker.want(Want::File(id))?);
            let Some((_, file)) = wanted.filter(|(it, _)| *it == id) else {
                return Ok(None);
            };
            self.all.held((file, PerfMap::new(&self.limits)), payer)
        };
        let (file, map) = &mut entry.value;
        // What was read before stays true.
        let _ = map.update(file);
        let weight = map.memory();
        let room = (self.limits.memory / SHARE).saturating_sub(weight);
        let need = Need { payer, weight };
        self.all.keep_to(room, need, |(_, map)| map.memory());
        self.all.put(id, entry);
        Ok(self.all.peek(&id).map(|(_, map)| map))
    }

    /// Memory that they take.
    pub(super) fn memory(&self) -> u64 {
        self.all.values().map(|(_, map)| map.memory()).sum()
    }
}
