//! Files that are mapped, with what was parsed of them: of each user those that were asked for last.

use std::{cell::OnceCell, collections::HashSet, fs::File, io, sync::Arc};

use super::{
    line::Asker,
    parse::{
        image::{FileOffset, Image, MAX_FILE},
        limits::{ImageError, Limits},
        program::Program,
        tables::Table,
    },
    sandbox::ADDRESS_SPACE,
};
use crate::symbolize::shared::{
    place::{Missing, Place},
    protocol::{DebugName, FileId, Given, Payer, Want},
    shared_table::{Entry, Need, SharedTable},
};

/// Files with a part of split debug information that are looked for, of one program.
const SPLITS: usize = 1024;

/// Programs that are kept at a time.
const IMAGES: usize = 256;

/// Bytes of files that are mapped for one program: itself, and the further ones that were found for it.
const OF_ONE: u64 = 24 << 30;

/// Bytes of files that are mapped for all others meanwhile. With [`OF_ONE`] it stays well below the address space that
/// there is: a sparse file costs its owner nothing, and a mapping of it is as long as it says.
const OF_OTHERS: u64 = 16 << 30;

/// Bytes of a file that may be holes.
const SMALL: u64 = 256 << 20;

/// Of a larger one this part has to be on its disk. With less, a handful of files that cost their owner nothing have all
/// others mapped and read anew each time.
const ON_DISK: u64 = 64;

const _: () = assert!(MAX_FILE <= OF_ONE && OF_ONE + OF_OTHERS <= ADDRESS_SPACE / 4 * 3);

/// A program or a library.
struct Loaded {
    id: FileId,
    program: Program,
    /// Which further files were looked for.
    looked_for: LookedFor,
    /// How it is unwound.
    table: OnceCell<Option<Arc<Table>>>,
}

/// Which further files were looked for.
#[derive(Debug, Default)]
struct LookedFor {
    debug: bool,
    package: bool,
    splits: HashSet<String>,
}

impl Loaded {
    /// The place of an offset.
    fn place(
        &mut self,
        offset: FileOffset,
        beyond: u64,
        others: &mut OthersFor<'_>,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Place>> {
        let Some(at) = self.program.linked_address(offset) else {
            return Ok(None);
        };
        if !self.looked_for.debug {
            self.looked_for.debug = true;
            self.find_debug(others, asker)?;
        }
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
            if let Some(split) = self.open(name, others, asker)? {
                self.program.add_split(split);
                place = self.program.place(at, beyond);
            }
        }
        Ok((place != Place::default()).then_some(place))
    }

    /// How it is unwound.
    fn table(&self) -> Option<Arc<Table>> {
        let bytes = self.program.image().bytes();
        self.table
            .get_or_init(|| Table::parse(bytes).map(Arc::new))
            .clone()
    }

    /// Finds the file with its debug information: by the note that both have, or else by the name that it gives; and
    /// the file that several share. What has another note is of another program, or of another version of it: whatever
    /// lies there by that name, its names would be wrong ones.
    fn find_debug(
        &mut self,
        others: &mut OthersFor<'_>,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<()> {
        let image = self.program.image();
        let build_id = image.build_id().map(<[u8]>::to_vec);
        let link = image.debug_link().cloned();
        let mut found = None;
        if let Some(build_id) = &build_id {
            found = self.open_noted(build_id, others, asker)?;
        }
        if found.is_none()
            && let Some(link) = link
        {
            let named = self.open(DebugName::Link(link.name.into()), others, asker)?;
            found = named.filter(|image| match (&build_id, image.build_id()) {
                (Some(own), Some(theirs)) => own == theirs,
                _ => crc32fast::hash(image.bytes()) == link.crc,
            });
        }
        if let Some(image) = found {
            self.program.set_debug(image);
        }
        let with_debug = self.program.debug().unwrap_or(self.program.image());
        if let Some(shared) = with_debug.alt_link() {
            let build_id = shared.build_id.to_vec();
            if let Some(image) = self.open_noted(&build_id, others, asker)? {
                self.program.set_shared(image);
            }
        }
        Ok(())
    }

    /// Opens a further file, if it has the note by which it is asked for.
    fn open_noted(
        &self,
        build_id: &[u8],
        others: &mut OthersFor<'_>,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Image>> {
        let found = self.open(DebugName::BuildId(build_id.to_vec()), others, asker)?;
        Ok(found.filter(|image| image.build_id() == Some(build_id)))
    }

    /// Opens a further file.
    fn open(
        &self,
        name: DebugName,
        others: &mut OthersFor<'_>,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Image>> {
        let wanted = Want::Debug { of: self.id, name };
        let Some((_, file)) = given(asker.want(wanted)?) else {
            return Ok(None);
        };
        let room = OF_ONE.saturating_sub(self.program.mapped());
        Ok(others.map(&file, room))
    }

    fn memory(&self) -> u64 {
        let table = self.table.get().and_then(Option::as_ref);
        self.program.memory() + table.map_or(0, |table| table.bytes())
    }

    fn mapped(&self) -> u64 {
        self.program.mapped()
    }
}

/// How a program is unwound.
pub(super) enum Tables {
    /// By these, if it has any.
    Of(Option<Arc<Table>>),
    /// It cannot be had.
    NotGiven,
}

/// The programs.
pub(super) struct Images(Others);

/// The programs that nothing is asked about at the moment: they can be forgotten.
struct Others {
    /// What one may take, and all of them.
    limits: Limits,
    /// Memory that something else takes of that.
    elsewhere: u64,
    /// Shared among the users who have them mapped.
    all: SharedTable<FileId, Loaded>,
}

/// These, while a user asks.
struct OthersFor<'a> {
    others: &'a mut Others,
    payer: Payer,
}

impl Images {
    /// None yet; together they take at most what `limits` allows one of them.
    pub(super) fn new(limits: Limits) -> Self {
        Self(Others {
            limits,
            elsewhere: 0,
            all: SharedTable::new(IMAGES),
        })
    }

    /// The place of an offset of a program.
    pub(super) fn place(
        &mut self,
        id: FileId,
        payer: Payer,
        offset: FileOffset,
        beyond: u64,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Place>> {
        let Some(mut loaded) = self.take(id, payer, asker)? else {
            return Ok(None);
        };
        let mut others = OthersFor {
            others: &mut self.0,
            payer,
        };
        let place = loaded.value.place(offset, beyond, &mut others, asker);
        self.0.all.put(id, loaded);
        place
    }

    /// How a program is unwound. Says which one it reads from here on.
    pub(super) fn table(
        &mut self,
        id: FileId,
        payer: Payer,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Tables> {
        asker.reading(id)?;
        let Some(loaded) = self.take(id, payer, asker)? else {
            return Ok(Tables::NotGiven);
        };
        let table = loaded.value.table();
        self.0.all.put(id, loaded);
        Ok(Tables::Of(table))
    }

    /// Leaves so much of the memory for something else, which counts as this user's.
    pub(super) fn leave(&mut self, memory: u64, payer: Payer) {
        self.0.elsewhere = memory;
        let weight = memory;
        let left = self.0.limits.memory.saturating_sub(memory);
        let need = Need { payer, weight };
        self.0.all.keep_to(left, need, Loaded::memory);
    }

    /// Takes out a program that the tracer has asked about; it is asked for where it is not there. `None` where it
    /// cannot be had, or is none.
    fn take(
        &mut self,
        id: FileId,
        payer: Payer,
        asker: &mut Asker<'_, '_>,
    ) -> io::Result<Option<Entry<Loaded>>> {
        let others = &mut self.0;
        if let Some(known) = others.all.take(&id, payer) {
            // It may have grown since it was loaded.
            let (memory, mapped) = (known.value.memory(), known.value.program.mapped());
            others.keep_to(payer, memory, mapped);
            return Ok(Some(known));
        }
        let wanted = given(asker.want(Want::File(id))?);
        let Some((_, file)) = wanted.filter(|(it, _)| *it == id) else {
            return Ok(None);
        };
        others.keep_to(payer, others.limits.memory / 2, 0);
        let Some(image) = others.map(payer, &file, OF_ONE) else {
            return Ok(None);
        };
        let loaded = Loaded {
            id,
            program: Program::new(image),
            looked_for: LookedFor::default(),
            table: OnceCell::new(),
        };
        Ok(Some(others.all.held(loaded, payer)))
    }
}

impl Others {
    /// Has users give programs until so much memory is left for the one that this user asks about, of which so many bytes
    /// are mapped.
    fn keep_to(&mut self, payer: Payer, memory: u64, mapped: u64) {
        let weight = memory;
        let taken = memory.saturating_add(self.elsewhere);
        let left = self.limits.memory.saturating_sub(taken);
        self.all
            .keep_to(left, Need { payer, weight }, Loaded::memory);
        let weight = mapped;
        self.all
            .keep_to(OF_OTHERS, Need { payer, weight }, Loaded::mapped);
    }

    /// Maps a file of at most so many bytes. Where there is less address space than this process would give itself, others
    /// make room: they can be asked for again, and a file that was refused once is not.
    fn map(&mut self, payer: Payer, file: &File, room: u64) -> Option<Image> {
        if is_hollow(file) {
            return None;
        }
        loop {
            match Image::open_within(file, room, self.limits) {
                Err(ImageError::Map(error)) if error.raw_os_error() == Some(libc::ENOMEM) => {
                    let mapped: u64 = self.all.values().map(Loaded::mapped).sum();
                    let fewer = mapped.checked_sub(1)?;
                    let weight = rustix::fs::fstat(file).map_or(0, |it| it.st_size);
                    let weight = u64::try_from(weight).unwrap_or_default();
                    self.all
                        .keep_to(fewer, Need { payer, weight }, Loaded::mapped);
                }
                image => return image.ok(),
            }
        }
    }
}

impl OthersFor<'_> {
    /// As [`Others::map`].
    fn map(&mut self, file: &File, room: u64) -> Option<Image> {
        self.others.map(self.payer, file, room)
    }
}

/// Whether next to nothing of a large file is on its disk.
fn is_hollow(file: &File) -> bool {
    let Ok(data) = rustix::fs::fstat(file) else {
        return false;
    };
    let length = u64::try_from(data.st_size).unwrap_or_default();
    let blocks = u64::try_from(data.st_blocks).unwrap_or_default();
    // Not every file system counts them.
    length > SMALL && blocks > 0 && blocks.saturating_mul(512) < length / ON_DISK
}

/// A file that was given.
pub(super) fn given((given, file): (Given, Option<File>)) -> Option<(FileId, File)> {
    match given {
        Given::File(id) => Some((id, file?)),
        Given::Code { .. } | Given::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_large_file_of_holes_is_told_from_others() {
        let hollow = |written: usize, length: u64| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&vec![1; written]).expect("room");
            file.set_len(length).expect("room");
            is_hollow(&file)
        };
        assert!(hollow(4096, 12 << 30));
        assert!(hollow(512 << 10, 257 << 20));
        assert!(!hollow(5 << 20, 257 << 20), "a part is there");
        assert!(!hollow(4096, SMALL), "small");
        assert!(!hollow(0, 0));
        assert!(
            !hollow(0, 12 << 30),
            "nobody counts its blocks, or there are none"
        );
    }
}
