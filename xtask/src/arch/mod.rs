//! What the architecture of a guest decides, behind one interface: the items that are exported here.
//!
//! An architecture is a file of this folder with these items, and the lines below that choose it.

mod x86_64;

use x86_64 as guest;

pub(crate) use guest::{
    CLOCK, CONSOLE, EMULATED_CPU, IMAGE, IMAGE_IN_TREE, MACHINE, MAKE, NMI_EVERYWHERE,
    PACKAGE_SUFFIX, QEMU_PACKAGE, QEMU_PROGRAM, QUIET,
};
