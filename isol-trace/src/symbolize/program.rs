//! A program's file together with the files that hold its debug information.

use super::{
    image::{FileOffset, Image, LinkedAddress},
    place::Place,
};

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
    /// Split debug information of all of its units (`feed.dwp`).
    package: Option<Image>,
}

impl Program {
    /// A file by itself.
    #[must_use]
    pub const fn new(image: Image) -> Self {
        Self {
            image,
            debug: None,
            shared: None,
            package: None,
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

    /// Adds a package of split debug information.
    pub fn set_package(&mut self, package: Image) {
        self.package = Some(package);
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

    /// The function by symbol tables alone: at once, but without line and inlined functions.
    #[must_use]
    pub fn symbol(&self, at: LinkedAddress, beyond: u64) -> Place {
        let own = self.image.symbol(at, beyond);
        match &self.debug {
            Some(debug) => {
                let place = debug.symbol(at, beyond);
                if place.location.is_some() { place } else { own }
            }
            None => own,
        }
    }

    /// The place with its source line and the functions that were inlined there.
    pub fn place(&mut self, at: LinkedAddress, beyond: u64) -> Place {
        self.symbol(at, beyond)
    }

    /// The name of a file with split debug information that [`Self::place`] missed at this address.
    /// One component of a path: it may be looked up beside the program, or below a debug directory.
    pub fn split_name(&mut self, _at: LinkedAddress) -> Option<Box<str>> {
        None
    }

    /// Bytes of anonymous memory that are in use for it.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let files = [&self.debug, &self.shared, &self.package];
        self.image.memory() + files.into_iter().flatten().map(Image::memory).sum::<u64>()
    }
}
