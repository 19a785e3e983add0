//! What compilers at run time write of the code that they make: `/tmp/perf-PID.map`, which grows.

use std::{collections::HashMap, fs::File, io};

use super::{images::given, line::Asker};
use crate::symbolize::{
    limits::Limits,
    perf_map::PerfMap,
    protocol::{FileId, Want},
};

/// Maps that are open at a time; beyond that all are closed.
const MAPS: usize = 16;

/// The maps.
pub(super) struct Compilers {
    limits: Limits,
    all: HashMap<FileId, (File, PerfMap)>,
}

impl Compilers {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: HashMap::new(),
        }
    }

    /// A map with what has been added to it. It is asked for where it is not there; `None` where it cannot be had or read.
    pub(super) fn get(
        &mut self,
        id: FileId,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<&PerfMap>> {
        if !self.all.contains_key(&id) {
            let wanted = given(asker.want(Want::File(id))?);
            let Some((_, file)) = wanted.filter(|(it, _)| *it == id) else {
                return Ok(None);
            };
            let memory: u64 = self.all.values().map(|(_, map)| map.memory()).sum();
            if self.all.len() >= MAPS || memory > self.limits.memory / 4 {
                self.all.clear();
            }
            self.all.insert(id, (file, PerfMap::new(&self.limits)));
        }
        let Some((file, map)) = self.all.get_mut(&id) else {
            return Ok(None);
        };
        // What was read before stays true.
        let _ = map.update(file);
        Ok(Some(map))
    }
}
