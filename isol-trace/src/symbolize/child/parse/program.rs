//! A program's file together with the files that hold its debug information.

use super::{
    image::{FileOffset, Image, LinkedAddress, place_of},
    place::Function,
};
use crate::symbolize::shared::place::{Missing, Place};

/// Files with split debug information that are kept.
const SPLITS: usize = 16;

/// A program or library, and what was found for it. Which files these are, and that they are the
/// right ones, is the caller's to know: by build-id, or by name and sum.
#[derive(Debug)]
pub struct Program {
    /// The file that is mapped into processes.
    image: Image,
    /// Debug information that was taken out of it.
    debug: Option<Image>,
    /// Debug information that several files share ([`Image::alt_link`]).
    shared: Option<Image>,
    /// Split debug information: of all of its units (`feed.dwp`), or of single ones (`feed.dwo`).
    splits: Vec<Image>,
}

impl Program {
    /// A file by itself.
    #[must_use]
    pub const fn new(image: Image) -> Self {
        Self {
            image,
            debug: None,
            shared: None,
            splits: Vec::new(),
        }
    }

    /// Adds debug information that was taken out of it.
    pub fn set_debug(&mut self, debug: Image) {
        self.debug = Some(debug);
    }

    /// Adds the file that its debug information shares with others.
    pub fn set_shared(&mut self, shared: Image) {
        self.shared = Some(shared);
    }

    /// Adds split debug information: a package of all units, or the file of one. Of more than a few
    /// the oldest is dropped.
    pub fn add_split(&mut self, split: Image) {
        if self.splits.len() >= SPLITS {
            self.splits.remove(0);
        }
        self.splits.push(split);
        for image in [Some(&self.image), self.debug.as_ref()]
            .into_iter()
            .flatten()
        {
            image.forget_units();
        }
    }

    /// The file that is mapped into processes.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The file with its debug information, where that is another one.
    #[must_use]
    pub const fn debug(&self) -> Option<&Image> {
        self.debug.as_ref()
    }

    /// The address that a place of the mapped file is linked for.
    #[must_use]
    pub fn linked_address(&self, offset: FileOffset) -> Option<LinkedAddress> {
        self.image.linked_address(offset)
    }

    /// The place with its source line and the functions that were inlined there. Where
    /// [`Missing::Split`] is what it lacks, the caller may look for a file of that name, which is one
    /// component of a path, beside the program or below a debug directory, and [add](Self::add_split) it.
    #[must_use]
    pub fn place(&self, at: LinkedAddress, beyond: u64) -> Place {
        let splits: Vec<&Image> = self.splits.iter().collect();
        let debug = self.debug.as_ref().filter(|it| it.has_debug_information());
        let frames = |image: &Image| image.frames(self.shared.as_ref(), &splits, at);
        let found = match debug.map(frames) {
            // What the other file does not know, this one may.
            Some(Ok(Some(found))) if found.frames.is_empty() => match frames(&self.image) {
                Ok(Some(own)) if !own.frames.is_empty() => Ok(Some(own)),
                _ => Ok(Some(found)),
            },
            Some(found) => found,
            None => frames(&self.image),
        };
        place_of(self.function(at), found, beyond)
    }

    /// The function by the symbol tables, of the debug file first: the program's own may be stripped.
    fn function(&self, at: LinkedAddress) -> Result<Option<Function>, Missing> {
        let debug = self.debug.as_ref().map(|debug| debug.function(at));
        match debug {
            Some(Ok(Some(function))) => Ok(Some(function)),
            _ => self.image.function(at),
        }
    }

    /// Bytes of anonymous memory that are in use for it.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.files().map(Image::memory).sum()
    }

    /// Bytes of address space that the mappings of its files take.
    pub(in crate::symbolize::child) fn mapped(&self) -> u64 {
        self.files().map(Image::mapped).sum()
    }

    fn files(&self) -> impl Iterator<Item = &Image> {
        let files = [&self.debug, &self.shared].into_iter().flatten();
        files.chain(&self.splits).chain([&self.image])
    }
}
