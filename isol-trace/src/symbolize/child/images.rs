//! Files that are mapped, with what was parsed of them: those that were asked for last.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    fs::File,
    io,
    sync::Arc,
};

use super::line::Asker;
use crate::symbolize::{
    image::{FileOffset, Image},
    limits::{Limits, Missing},
    place::Place,
    program::Program,
    protocol::{DebugName, FileId, Given, Want},
    tables::Table,
};

/// Files with a part of split debug information that are looked for, of one program.
const SPLITS: usize = 1024;

/// Files that are mapped at a time.
const IMAGES: usize = 256;

/// A program or a library.
pub(super) struct Loaded {
    id: FileId,
    program: Program,
    /// The file with its debug information.
    debug: Option<FileId>,
    /// Which further files were looked for.
    looked_for: LookedFor,
    /// How it is unwound.
    table: OnceCell<Option<Arc<Table>>>,
    /// When it was last asked for.
    used: u64,
}

/// Which further files were looked for.
#[derive(Debug, Default)]
struct LookedFor {
    debug: bool,
    package: bool,
    splits: HashSet<String>,
}

impl Loaded {
    /// The place of an offset. Says which file it reads.
    pub(super) fn place(
        &mut self,
        offset: FileOffset,
        beyond: u64,
        limits: Limits,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Place>> {
        let Some(at) = self.program.linked_address(offset) else {
            return Ok(None);
        };
        if !self.looked_for.debug {
            self.looked_for.debug = true;
            self.find_debug(limits, asker)?;
        }
        // Debug information is read before all else, and most of it.
        asker.reading(self.debug.unwrap_or(self.id))?;
        let mut place = self.program.place(at, beyond);
        while let Some(Missing::Split(name)) = &place.missing {
            let name = name.to_string();
            // All of them in one file first, and then the one.
            let name = if self.looked_for.package {
                DebugName::Split(name)
            } else {
                self.looked_for.package = true;
                DebugName::Package
            };
            if let DebugName::Split(name) = &name
                && (self.looked_for.splits.len() >= SPLITS
                    || !self.looked_for.splits.insert(name.clone()))
            {
                break;
            }
            if let Some((_, split)) = self.open(name, limits, asker)? {
                self.program.add_split(split);
                place = self.program.place(at, beyond);
            }
        }
        Ok((place != Place::default()).then_some(place))
    }

    /// How it is unwound.
    pub(super) fn table(&self) -> Option<Arc<Table>> {
        let bytes = self.program.image().bytes();
        self.table
            .get_or_init(|| Table::parse(bytes).map(Arc::new))
            .clone()
    }

    /// Finds the file with its debug information: by the note that both have, or else by the name that it gives; and
    /// the file that several share.
    fn find_debug(&mut self, limits: Limits, asker: &mut Asker<'_, '_>) -> io::Result<()> {
        let image = self.program.image();
        let build_id = image.build_id().map(<[u8]>::to_vec);
        let link = image.debug_link().cloned();
        let mut found = None;
        if let Some(build_id) = build_id.clone() {
            found = self.open(DebugName::BuildId(build_id), limits, asker)?;
        }
        if found.is_none()
            && let Some(link) = link
        {
            let named = self.open(DebugName::Link(link.name.into()), limits, asker)?;
            // The one of another program, or of another version of it, would give wrong names.
            found = named.filter(|(_, image)| match (&build_id, image.build_id()) {
                (Some(own), Some(theirs)) => own == theirs,
                _ => crc32fast::hash(image.bytes()) == link.crc,
            });
        }
        if let Some((id, image)) = found {
            self.debug = Some(id);
            self.program.set_debug(image);
        }
        let with_debug = self.program.debug().unwrap_or(self.program.image());
        if let Some(shared) = with_debug.alt_link() {
            let name = DebugName::BuildId(shared.build_id.to_vec());
            if let Some((_, image)) = self.open(name, limits, asker)? {
                self.program.set_shared(image);
            }
        }
        Ok(())
    }

    /// Opens a further file.
    fn open(
        &self,
        name: DebugName,
        limits: Limits,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<(FileId, Image)>> {
        let wanted = Want::Debug { of: self.id, name };
        let Some((id, file)) = given(asker.want(wanted)?) else {
            return Ok(None);
        };
        asker.reading(id)?;
        let image = Image::open(&file, limits).ok();
        asker.reading(self.id)?;
        Ok(image.map(|image| (id, image)))
    }

    fn memory(&self) -> u64 {
        let table = self.table.get().and_then(Option::as_ref);
        self.program.memory() + table.map_or(0, |table| table.bytes())
    }
}

/// The programs.
pub(super) struct Images {
    /// What one may take, and all of them.
    limits: Limits,
    all: HashMap<FileId, Loaded>,
    /// Counts what is asked.
    uses: u64,
}

impl Images {
    /// None yet; together they take at most what `limits` allows one of them.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: HashMap::new(),
            uses: 0,
        }
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// A program that the tracer has asked about; it is asked for where it is not there. `None` where it cannot be
    /// had, or is none.
    pub(super) fn get(
        &mut self,
        id: FileId,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<&mut Loaded>> {
        asker.reading(id)?;
        self.uses += 1;
        if !self.all.contains_key(&id) {
            let wanted = given(asker.want(Want::File(id))?);
            let Some((_, file)) = wanted.filter(|(it, _)| *it == id) else {
                return Ok(None);
            };
            let Ok(image) = Image::open(&file, self.limits) else {
                return Ok(None);
            };
            self.make_room();
            let loaded = Loaded {
                id,
                program: Program::new(image),
                debug: None,
                looked_for: LookedFor::default(),
                table: OnceCell::new(),
                used: self.uses,
            };
            self.all.insert(id, loaded);
        }
        let mut loaded = self.all.get_mut(&id);
        if let Some(loaded) = &mut loaded {
            loaded.used = self.uses;
        }
        Ok(loaded)
    }

    /// Forgets who was not asked for the longest, until there is room for one more.
    fn make_room(&mut self) {
        let mut memory: u64 = self.all.values().map(Loaded::memory).sum();
        while self.all.len() >= IMAGES || memory > self.limits.memory / 2 {
            let oldest = self.all.values().min_by_key(|loaded| loaded.used);
            let Some(id) = oldest.map(|loaded| loaded.id) else {
                return;
            };
            let forgotten = self.all.remove(&id);
            memory -= forgotten.as_ref().map_or(0, Loaded::memory);
        }
    }
}

/// A file that was given.
pub(super) fn given((given, file): (Given, Option<File>)) -> Option<(FileId, File)> {
    match given {
        Given::File(id) => Some((id, file?)),
        Given::Code { .. } | Given::Nothing => None,
    }
}
